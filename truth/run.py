"""Run the proof: ``python -m truth.run [--quick]``. Replications are kept, so that a run that is stopped goes on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pilotlm.records import project_folder, results_folder, write_csv
from truth.replications import ANALYSES, Size, replicate
from truth.summary import summary

SIZES = (Size(48, tuple(a for a in ANALYSES if a != "regression")), Size(200, tuple(ANALYSES)))
REPEATS = 60


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; a trial never takes the place of the full result."""
    parser = argparse.ArgumentParser(prog="python -m truth.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few replications: a trial, not a result")
    quick = parser.parse_args(words).quick
    count, draws = (6, 100) if quick else (500, 2000)
    folder = results_folder() / "known-truth"
    for replication in range(1, count + 1):
        for size in SIZES:
            replicate(size, replication, REPEATS, folder)
        if replication % 10 == 0:
            print(f"{replication} of {count} replications", flush=True)
    path: Path = folder / "trial.csv" if quick else project_folder() / "truth" / "results.csv"
    write_csv(path, summary(folder, SIZES, count, draws))
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
