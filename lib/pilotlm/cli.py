"""The command ``pilotlm``: a study of one's own, a look at it, and what the graph calls."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pilotlm.errors import InputError

_GRAMMARS = "rfc3987_syntax"
"""A package that jsonschema, which nbformat uses, imports where it finds it."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command."""
    arguments = _parser().parse_args(words)
    try:
        with _without_grammars():
            arguments.command(arguments)
        _flush()
    except InputError as error:
        # A column's name may hold a line break, or what a terminal would obey.
        line = "".join(c if c.isprintable() else " " for c in str(error))
        sys.stderr.write(f"pilotlm: {' '.join(line.split())}\n")
        return 1
    except OSError as error:
        with suppress(OSError):
            _flush()
        where = f" ({error.filename})" if error.filename else ""
        sys.stderr.write(f"pilotlm: a file could not be read or written: {error.strerror or error}{where}\n")
        return 1
    except MemoryError:
        sys.stderr.write("pilotlm: there is too little memory for this; use a smaller file or model\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("pilotlm: stopped\n")
        return 130
    return 0


@contextmanager
def _without_grammars() -> Iterator[None]:
    """Import nbformat without the rules for addresses in JSON, which take seconds to compile; notebooks have none."""
    left_out = _GRAMMARS not in sys.modules
    if left_out:
        sys.modules[_GRAMMARS] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if left_out:
            sys.modules.pop(_GRAMMARS, None)


def _flush() -> None:
    """Write out what was printed; where nobody takes it, forget it, or Python would complain once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pilotlm", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: Callable[[argparse.Namespace], None], words: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=words)
        added.set_defaults(command=does)
        return added

    def cores(of: argparse.ArgumentParser, what: str = "processes") -> None:
        of.add_argument("--cores", type=int, default=2, help=f"{what} at a time (default: %(default)s)")

    new = command("new-study", _new_study, "write a commented study.yml for a file of your own")
    new.add_argument("name", help="the study's name, a new folder under data/")
    new.add_argument(
        "--data", required=True, type=Path, help="a file of CSV, Excel (.xlsx), SPSS (.sav) or Stata (.dta)"
    )
    new.add_argument(
        "--action", help="the column of the action (default: the last one); a+b joins one question's columns"
    )
    for name, what in (("beliefs", "beliefs"), ("persona", "persona")):
        several = f"the columns of the {what}, between commas or in several --{name}; a name may hold commas itself"
        new.add_argument(f"--{name}", action="append", default=[], metavar="COLUMN", help=several)
    new.add_argument("--treatment", action="append", help="the column of the treatment, or those of a factorial design")
    new.add_argument("--baseline", help="the treatment that others are compared with (default: one named as a control)")
    new.add_argument("--participant", metavar="COLUMN", help="the id of who answered, where people have several rows")
    new.add_argument("--weight", metavar="COLUMN", help="the survey weights")
    new.add_argument("--missing", action="append", default=[], metavar="CODE", help="what means a missing answer")
    check = command("check", _check, "read and validate a study and show prompts as a model sees them")
    check.add_argument("study", help="a study's name, or the path of its file")
    decide = command("decide", _decide, "fine-tune on part of a study's people and write its decision page")
    decide.add_argument("study", help="the name of a folder under data/")
    decide.add_argument("--profile", default="decide", help="how it is run (default: %(default)s)")
    cores(decide)
    simulate = command(
        "simulate", _simulate, "let the model that a decision left answer for as many people as you name"
    )
    simulate.add_argument("study", help="the name of a folder under data/")
    simulate.add_argument("--people", type=int, required=True, help="how many people are simulated")
    simulate.add_argument("--profile", default="decide", help="that of the decision (default: %(default)s)")
    run = command("run", _run, "run a profile to its rendered pages; what is there already is not run again")
    run.add_argument("profile", help="the name of a file under config/")
    cores(run)
    execute = command("execute", _execute, "run a notebook with parameters, whole or not at all")
    execute.add_argument("notebook", type=Path)
    execute.add_argument("output", type=Path)
    execute.add_argument("parameters", nargs="*", metavar="name=value")
    page = command("page", _page, "write an executed notebook as one HTML page, without its code")
    page.add_argument("notebook", type=Path)
    page.add_argument("page", type=Path)
    pack = command("pack", _pack, "keep a finished run's tables, simulated answers and analyses in a folder")
    pack.add_argument("run", help="a folder under results/")
    pack.add_argument("target", type=Path, help="the folder to make")
    verify = command("verify", _verify, "compute the analyses of a packed run again and compare the numbers")
    verify.add_argument("packed", type=Path, help="a packed run, such as results/reference")
    verify.add_argument("--study", nargs="+", default=[], help="which studies (default: all)")
    verify.add_argument("--analysis", nargs="+", default=[], help="which analyses (default: all, and the decision)")
    cores(verify, "notebooks")
    stage = command("stage", _stage, "put a run where Quarto reads it; `quarto render` does this by itself")
    stage.add_argument("run", nargs="?", default="", help="default: the newest finished run, else the reference run")
    stage.add_argument("--if-needed", action="store_true", help="leave it as it is if that run is there already")
    render = command("render", _render, "render paper and website from a run's executed notebooks")
    render.add_argument("run", help="a folder under results/")
    render.add_argument("studies", nargs="*", help="which studies, in that order (default: all of the run)")
    return parser


def _new_study(arguments: argparse.Namespace) -> None:
    from pilotlm.data.draft import Roles, draft_study

    roles = Roles(
        action=arguments.action,
        beliefs=tuple(arguments.beliefs),
        persona=tuple(arguments.persona),
        treatment=",".join(arguments.treatment) if arguments.treatment else None,
        baseline=arguments.baseline,
        participant=arguments.participant,
        weight=arguments.weight,
        missing=tuple(arguments.missing),
    )

    def said(line: str) -> None:
        sys.stdout.write(f"Look at this: {' '.join(line.split())}.\n")

    path = draft_study(arguments.name, arguments.data, roles, said)
    sys.stdout.write(f"Wrote {path}. Put the questions into words there, then run: pilotlm check {arguments.name}\n")


def _check(arguments: argparse.Namespace) -> None:
    from pilotlm.data.check import describe_study

    sys.stdout.write(describe_study(arguments.study))


def _decide(arguments: argparse.Namespace) -> None:
    from pilotlm.graph import decide_study

    page = decide_study(
        arguments.study, arguments.profile, arguments.cores, lambda taken: sys.stderr.write(f"{taken}\n")
    )
    sys.stdout.write(f"The decision page: {page}\n")


def _simulate(arguments: argparse.Namespace) -> None:
    from tqdm.auto import tqdm

    from pilotlm.report.simulated import new_people, write_simulated

    made = new_people(arguments.study, arguments.profile, arguments.people)
    # What can be refused is refused before torch is loaded.
    from pilotlm.models.new_people import answer_for_new_people

    dtype = str(made.profile.simulating.get("dtype", "float32"))
    with tqdm(total=len(made.rows), desc="simulate", unit=" people", mininterval=2) as bar:
        responses = answer_for_new_people(
            made.study, made.people, made.rows, made.places, made.arms, made.arm, made.seed, dtype, bar.update
        )
    path, verdict = write_simulated(made, responses)
    plain = verdict.replace("**", "")
    sys.stdout.write(f"Wrote {path}, with a codebook beside it. The decision on such answers: {plain}\n")


def _run(arguments: argparse.Namespace) -> None:
    from pilotlm.graph import run_profile
    from pilotlm.records import results_folder
    from pilotlm.report.wording import duration

    seconds = run_profile(arguments.profile, arguments.cores)
    found = (results_folder() / arguments.profile / "rendered.txt").read_text(encoding="utf-8")
    took = "Nothing had to be done." if seconds is None else f"It took {duration(seconds)}."
    active = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX")
    command = "pilotlm" if active else os.path.relpath(Path(sys.prefix) / "bin" / "pilotlm")
    sys.stdout.write(f"{found}{took}\nNext: read the page, then try data of your own: {command} new-study --help\n")


def _page(arguments: argparse.Namespace) -> None:
    from pilotlm.report.notebooks import write_decision_page

    write_decision_page(arguments.notebook, arguments.page)


def _execute(arguments: argparse.Namespace) -> None:
    from pilotlm.execution import parse_parameters, run_notebook

    run_notebook(arguments.notebook, arguments.output, parse_parameters(arguments.parameters))


def _render(arguments: argparse.Namespace) -> None:
    from pilotlm.report.site import render

    sys.stdout.write(f"{render(arguments.run, arguments.studies)}\n")


def _stage(arguments: argparse.Namespace) -> None:
    from pilotlm.report.site import stage_for_quarto

    run = stage_for_quarto(arguments.run, anew=not arguments.if_needed)
    sys.stdout.write(f"The pages show the run '{run}'.\n")


def _pack(arguments: argparse.Namespace) -> None:
    from pilotlm.reference import pack

    sys.stdout.write(f"Packed into {pack(arguments.run, arguments.target)}\n")


def _verify(arguments: argparse.Namespace) -> None:
    from pilotlm.records import git_state, read_json
    from pilotlm.reference import PACKED_BY, verify

    def said(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    packed: Path = arguments.packed
    results = verify(packed, arguments.study, arguments.analysis, arguments.cores, said)
    made = read_json(packed / "manifest.json", PACKED_BY).get("environment", {}).get("git_revision") or "unknown"
    sys.stdout.write(f"Made by revision {made}, computed again by {git_state()['git_revision'] or 'unknown'}\n")
    for one in results:
        found = f"{one.numbers} numbers, largest difference {one.largest:.1g}"
        sys.stdout.write(f"{one.study} {one.analysis}: {'; '.join(one.wrong) or f'equal, {found}'}\n")
    wrong = sum(bool(one.wrong) for one in results)
    if wrong:
        raise InputError(f"{wrong} of {len(results)} tables of {packed} differ from what is computed now; see above.")


if __name__ == "__main__":
    sys.exit(main())
