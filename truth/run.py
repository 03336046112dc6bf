"""Run the proof: ``python -m truth.run [--replications K]``; `make truth` does it in full.

It writes ``truth/results.json``. Each replication is kept as it ends, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from pilotlm.errors import InputError
from pilotlm.records import project_folder, results_folder, write_json
from truth.gathered import gathered
from truth.replications import ANALYSES, Size, replicate
from truth.summary import summary

SIZES = (Size(48, tuple(name for name in ANALYSES if name != "regression")), Size(200, tuple(ANALYSES)))
REPLICATIONS, REPEATS, DRAWS = 500, 60, 2000


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m truth.run", description=__doc__)
    parser.add_argument("--replications", type=int, default=REPLICATIONS, help="how many (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="how many at a time (default: %(default)s)")
    parser.add_argument("--kept", action="store_true", help="summarise the replications that there are, run none")
    parser.add_argument("--output", type=Path, help="where the table goes (default: truth/results.json, if in full)")
    options = parser.parse_args(words)
    if options.replications < 2:
        sys.stderr.write("truth: a proof needs 2 replications or more\n")
        return 1
    folder = results_folder() / "truth"
    full = options.replications >= REPLICATIONS
    path = options.output or (project_folder() / "truth" / "results.json" if full else folder / "trial.json")
    try:
        numbers = () if options.kept else range(1, options.replications + 1)
        with ProcessPoolExecutor(options.processes) as pool:
            for _ in tqdm(pool.map(partial(_replicate, folder), numbers), "replications", len(numbers)):
                pass
        lines = gathered(summary(folder, SIZES, options.replications, DRAWS)).round(6)
        write_json(path, lines.astype(object).where(lines.notna(), None).to_dict("records"))
    except InputError as error:
        sys.stderr.write(f"truth: {error}\n")
        return 1
    return 0


def _replicate(folder: Path, replication: int) -> None:
    for size in SIZES:
        replicate(size, replication, REPEATS, folder)


if __name__ == "__main__":
    sys.exit(main())
