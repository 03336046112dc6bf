"""The figure of a training. It stands apart so that a change to other figures does not call for training anew."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def training_curve(history: pd.DataFrame) -> Figure:
    """The mean loss of each epoch; ``history`` as in `pilotlm.models.lora.Tuned`."""
    with sns.axes_style("whitegrid"):
        figure: Figure = plt.figure(figsize=(4.6, 2.8), dpi=160)
        axis = figure.subplots()
        axis.plot(history["epoch"], history["train_loss"], color="#0072b2", marker="o", markersize=4)
        axis.set_xlabel("epoch")
        axis.set_ylabel("nats an answer token")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        plt.close(figure)
    return figure
