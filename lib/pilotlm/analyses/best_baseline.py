"""The baseline that arms are compared with: named by cross-validation inside the pilots, before anybody held out."""

from __future__ import annotations

import pandas as pd

from pilotlm.arms import Arms


def best_baseline(metrics: pd.DataFrame, study: str, pilot: str, arms: Arms) -> str | None:
    """The baseline of a pilot design with the smallest cross-validated loss.

    Parameters
    ----------
    metrics : DataFrame
        A tidy table; of it only the rows of metric ``cv_loss`` are read: nats a person, inside the pilot.
    study : str
        The study.
    pilot : str
        The name of the pilot design.
    arms : Arms
        The declared arms.

    Returns
    -------
    str or None
        The name of its arm; the first declared of several that are equal. Losses are averaged over the seeds in which
        every baseline with a loss has one, so that all are judged on the same pilots; None where there is none. The
        bootstrap has no predictive distribution, hence no loss, and is never the best.
    """
    names = [arm.name for arm in arms.baselines_of(pilot)]
    losses = metrics[(metrics["study"] == study) & (metrics["metric"] == "cv_loss") & metrics["arm"].isin(names)]
    losses = losses.astype({"estimate": float}).dropna(subset=["estimate"])
    by_seed = losses.pivot_table(index="seed", columns="arm", values="estimate").dropna()
    mean = by_seed.mean().reindex([name for name in names if name in by_seed])
    return None if by_seed.empty else str(mean.idxmin())
