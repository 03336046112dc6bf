"""The figure of a training. It stands apart so that a change to other figures does not call for training anew."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

LINE, STAR = "#0072b2", "#d55e00"


def training_curve(history: pd.DataFrame, learning_rate: float, epoch: int) -> Figure:
    """The validation loss of each learning rate over the epochs, the state kept marked."""
    with sns.axes_style("whitegrid"):
        figure: Figure = plt.figure(figsize=(4.6, 2.8), dpi=160)
        axis = figure.subplots()
        styles = ["-", "--", ":", "-."]
        for style, (rate, rows) in zip(styles * 4, history.groupby("learning_rate"), strict=False):
            axis.plot(rows["epoch"], rows["validation_nll"], style, color=LINE, marker="o", markersize=3)
            last = rows.iloc[-1]
            axis.annotate(f" {rate:g}", (last["epoch"], last["validation_nll"]), va="center")
        kept = history[(history["learning_rate"] == learning_rate) & (history["epoch"] == epoch)]
        axis.plot(kept["epoch"], kept["validation_nll"], "*", color=STAR, markersize=12)
        axis.set_xlabel("epoch")
        axis.set_ylabel("nats a person")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.margins(x=0.15)
        plt.close(figure)
    return figure
