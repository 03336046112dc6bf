"""The page of the benchmarks: each ratio beside its bar, met or not, and how it was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from pilotlm.showing.benchmarks import GROWTH, Result
from pilotlm.showing.quoting import quoted
from pilotlm.showing.staged import SHOWN, table_of

Picture = Callable[[str, str, str], str]
"""Takes a file's name, a caption and an alternative text, and returns Markdown."""

NONE_YET = "No benchmark has been run here yet: `make bench` runs them and writes `benchmarks/results.json`."
RATIOS_PICTURE, GROWTH_PICTURE = "benchmarks-ratios.png", "benchmarks-growth.png"


def benchmark_page(results: Sequence[Result], picture: Picture) -> str:
    """The page's text.

    Parameters
    ----------
    results : sequence of Result
        All rows of a run.
    picture : callable
        Puts a picture on the page: `on_site`, or `beside` for plain pages.

    Returns
    -------
    str
        Markdown that Quarto and nbconvert both read.
    """
    if not results:
        return NONE_YET + "\n"
    ratios, curves = (picture(name, *words) for name, words in _CAPTIONS.items())
    parts = [
        _verdict(results),
        _conditions(results),
        f"## Speed\n\n{ratios}\n\n{speed_table(results)}\n\n{_SPEED_NOTE}",
        f"## Growth\n\n{curves}\n\n{growth_table(results)}",
        f"## Memory\n\n{memory_table(results)}",
        f"## Exactness\n\n{exactness_table(results)}\n\n{_EXACT_NOTE}",
        f"## What has not run\n\n{_missing(results)}",
        f"## Machine and versions\n\n{machine_table(results)}",
    ]
    return "\n\n".join(parts) + "\n"


def on_site(name: str, caption: str, alternative: str) -> str:
    """A picture among the generated pages, as Quarto reads it, with an alternative text."""
    return f"![{quoted(caption)}](/{SHOWN}/{name}){{fig-alt={json.dumps(alternative)}}}"


def beside(name: str, caption: str, alternative: str) -> str:
    """A picture in the folder of a plain page, with its caption in a line below."""
    return f"![{quoted(alternative)}]({name})\n\n*{quoted(caption)}*"


def speed_table(results: Sequence[Result]) -> str:
    """A line a peer: both rates, the ratio and its bar."""
    heads = ["What", "Precision", "Peer", "Ours", "Peer's", "Ratio", "Bar", ""]
    rows = [
        (
            r.name, r.precision, r.peer, _rate(r.ours, r.unit), _rate(r.theirs, r.unit), _times(r.ratio), bar_of(r),
            mark_of(r),
        )
        for r in results
        if r.name in ("sampling", "training")
    ]  # fmt: skip
    return table_of(heads, rows, (9, 9, 26, 12, 12, 9, 14, 9))


def growth_table(results: Sequence[Result]) -> str:
    """A line a point of the growth curves."""
    heads = ["Grows with", "Size", "People", "Seconds an answer", "Held against size", "Ratio", "Bar", ""]
    rows = [
        (
            GROWTH[r.name], _size(r), r.settings["people"], _digits(r.ours), _size(r, "against_size"),
            f"{r.ratio:.2f}" if r.ratio is not None else "–", bar_of(r), mark_of(r),
        )
        for r in results if r.name in GROWTH
    ]  # fmt: skip
    return table_of(heads, rows, (20, 8, 8, 14, 14, 9, 14, 9))


def memory_table(results: Sequence[Result]) -> str:
    """The peak memory."""
    rows = [
        (r.settings.get("people", "–"), r.precision, _amount(r), bar_of(r), mark_of(r))
        for r in results
        if r.name == "memory"
    ]
    return table_of(["People", "Precision", "Peak", "Bar", ""], rows, (15, 15, 25, 25, 15))


def exactness_table(results: Sequence[Result]) -> str:
    """How exact ours is: a line a comparison."""
    rows = [
        (r.name, r.precision, r.peer, r.unit, _exact(r.ours), r.settings.get("people", "–"), bar_of(r), mark_of(r))
        for r in results
        if r.name.startswith("exactness") or r.name == "precision"
    ]
    heads = ["What", "Precision", "Against", "Measure", "Value", "People", "Bar", ""]
    return table_of(heads, rows, (16, 9, 20, 20, 9, 7, 12, 7))


def machine_table(results: Sequence[Result]) -> str:
    """The hardware and the versions of the run."""
    settings = results[0].settings
    hardware, versions = settings["hardware"], settings["versions"]
    rows = [
        ("Processor", f"{hardware['cpu']}, {hardware['cores']} cores"),
        ("Its instructions", ", ".join(hardware["flags"]) or "unknown"),
        ("Memory", f"{hardware['memory_gib']} GiB"),
        ("Accelerators", ", ".join(hardware["gpus"]) or "none"),
        ("Threads", settings["threads"]),
        ("Load at the start", f"{settings['load_at_start']} (processes that compute or wait, over the last minute)"),
        ("Versions", ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())),
        ("Started", settings["started"]),
    ]  # fmt: skip
    return table_of(["", ""], rows, (22, 78))


def bar_of(result: Result) -> str:
    """The bar in words, a dash where there is none."""
    if "bar" not in result.settings:
        return "–"
    return f"{result.settings['bar_kind']} {result.settings['bar']:g}"


def mark_of(result: Result) -> str:
    """Whether the bar is met, in words."""
    if "not_run" in result.settings:
        return "not run"
    return {True: "met", False: "NOT MET", None: ""}[result.met]


_CAPTIONS = {
    RATIOS_PICTURE: (
        "How many times as fast as each peer ours is, on a logarithmic scale. Small dots are single repeats, the bar "
        "is what was asked for; left of the line at 1, ours is slower.",
        "Dot plot: a line a peer, our speed over the peer's, with the bar.",
    ),
    GROWTH_PICTURE: (
        "Seconds against the number of participants, the length of the scenario and the answers on the form. Small "
        "dots are single repeats, the dashed line is growth in proportion to the first point.",
        "Three line charts of seconds against participants, length of the scenario, and answers.",
    ),
}
_SPEED_NOTE = (
    "An answer is a participant's whole form; an example is a participant's prompt and form. Every ratio is the median "
    "of repeats in which ours and the peer were timed one after the other; the two rates are those of the repeat that "
    "has the median ratio. `transformers` writes as many tokens as a form has, freely: whether they are a valid form "
    "is not checked, which is less work than ours and `outlines` do. The time that `outlines` needs to compile the "
    "form is left out. A training peer is shown at the batch size, of those tried, at which it does best against ours."
)
_EXACT_NOTE = (
    "Logits: the log-probability of every valid answer against a plain forward pass of the whole text. Gradients: one "
    "step against the plain loss of people read one by one. Batches: whether anybody gets another answer when more or "
    "fewer people are read at a time. Precision: the total variation distance between the distributions of answers in "
    "bfloat16 and in float32, over a study's people and lines; it says what bfloat16 costs and has no bar."
)


def _verdict(results: Sequence[Result]) -> str:
    held = [r for r in results if r.met is not None]
    missed = [r for r in held if not r.met]
    text = f"**{len(held) - len(missed)} of {len(held)} bars are met.**"
    if missed:
        lines = [f"- {quoted(_title(r))}: {_said(r)}, asked for is {bar_of(r)}" for r in missed]
        text += " Not met:\n\n" + "\n".join(lines)
    if results[0].settings["quick"]:
        text = f"**This was a trial with few people and one repeat, on a machine in use: not a result.**\n\n{text}"
    return text


def _conditions(results: Sequence[Result]) -> str:
    settings = next((r.settings for r in results if "prompt_tokens_own" in r.settings), None)
    first = results[0].settings
    text = (
        f"Everybody is given the same people of the study `{first['study']}`, with the same text, model "
        f"(`{first['model']}`), precision and threads ({first['threads']}), in one run."
    )
    if settings is None:
        return text
    return (
        f"{text} The scenario's text stands {first['scenario_times']} times in the prompt, because the study's own is "
        f"short: {settings['prompt_tokens_shared']} tokens are then shared by everyone of a treatment, "
        f"{settings['prompt_tokens_own']} are a participant's own, and a filled form has "
        f"{settings['answer_tokens']}."
    )


def _missing(results: Sequence[Result]) -> str:
    lines = [f"- {quoted(_title(r))}: {quoted(r.settings['not_run'])}" for r in results if "not_run" in r.settings]
    if not results[0].settings["hardware"]["gpus"]:
        lines.append("- Nothing here has run on a GPU: the ratios are those of a processor.")
    if not any(r.precision == "bfloat16" for r in results if r.name == "training"):
        lines.append("- Training was timed in float32 only.")
    return "\n".join(lines) or "Nothing was left out."


def _title(result: Result) -> str:
    size = f" at {_size(result)}" if "size" in result.settings else ""
    against = f", against {result.peer}" if result.ratio is not None or "not_run" in result.settings else ""
    return f"{result.name}{size}{', ' + result.precision if result.precision else ''}{against}"


def _said(result: Result) -> str:
    return "not run" if result.value is None else f"{result.value:.3g}"


def _size(result: Result, key: str = "size") -> str:
    size = result.settings[key]
    return str(size) if result.name == "growth, participants" else f"x{size}"


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _exact(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}×"


def _rate(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.3g} {unit}"


def _amount(result: Result) -> str:
    return "–" if result.ours is None else f"{result.ours:.0f} {result.unit}"
