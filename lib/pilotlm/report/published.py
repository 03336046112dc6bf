"""What the paper reports, read from ``paper/published.yml``, and what is tested of it here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from pilotlm.analyses.subgroups import DISTANCE_MARGIN
from pilotlm.errors import InputError
from pilotlm.records import project_folder
from pilotlm.report.wording import percent
from pilotlm.variables import Spec
from pilotlm.yaml_files import explain_validation, read_yaml

SHOWN, CONTRADICTED, UNDERPOWERED = "shown", "contradicted", "underpowered"
NOT_TESTABLE = "not testable here"
FINDING_VERDICTS = (SHOWN, CONTRADICTED, UNDERPOWERED, NOT_TESTABLE)

COLLAPSE = 0.25
"""A base model that gives at most this share of people's structures has collapsed. Ours: the paper states no limit."""
ALWAYS = 0.9
"""A gap of at least this is "close to 100 %". Ours, as above."""
GAP_MARGIN = 0.05
"""A gap that is within this of people's is like theirs. Ours: five in a hundred people act otherwise."""

GENERAL_RULE = (
    "A verdict is about a statement on a quantity that has an interval over people and seeds. There are four verdicts. "
    "Shown: the whole interval lies on the statement's side of the threshold. Contradicted: the whole interval lies on "
    "the other side. Underpowered: the interval contains the threshold. Not testable here: the run or the study lacks "
    "what the statement needs. A statement about every arm or group is shown if it is shown for each in which it can "
    "be tested, contradicted if it is contradicted for at least one, with an interval lengthened for their number "
    "(Bonferroni), and otherwise underpowered; the number of each is given. Intervals are 95 %, or 90 % for the two "
    "one-sided tests of equivalence. The interval of a difference treats the two sides as independent, which makes it "
    "too long rather than too short; the benchmarks are treated as known. Beside an underpowered verdict stands about "
    "how many times as many pilots, each with as many people, would tell, with a chance of 80 %, if the estimates "
    "stayed as they are."
)


class Finding(Spec):
    """A finding of the paper, or a question that we add.

    ``published`` and ``rule`` have markers for values; ``holds`` and ``fails`` are clauses for where the claim is shown
    and where it is contradicted.
    """

    analysis: Literal["heterogeneity", "divergence", "subgroups", "coherence", "regression"]
    claim: str
    published: str
    rule: str
    holds: str
    fails: str
    values: dict[str, float] = Field(default_factory=dict)
    source: str = ""

    @property
    def _written(self) -> dict[str, str]:
        return {name: f"{value:g}" for name, value in self.values.items()}

    @property
    def text(self) -> str:
        """The published values in words."""
        return self.published.format(**self._written)

    @property
    def tested(self) -> str:
        """What is tested of it, with its limits filled in."""
        limits = {
            "collapse": percent(COLLAPSE), "always": percent(ALWAYS), "margin": f"{DISTANCE_MARGIN:g}",
            "gap_margin": f"{100 * GAP_MARGIN:g} percentage points",
        }  # fmt: skip
        return self.rule.format(**self._written, **limits)


class _Paper(Spec):
    citation: str
    key: str
    people: int
    treatments: int
    source: str


class Published(Spec):
    """All that is known of the paper's results: the content of ``paper/published.yml``."""

    paper: _Paper
    findings: dict[str, Finding]
    questions: dict[str, Finding]

    @property
    def all(self) -> dict[str, Finding]:
        """Findings, then questions."""
        return {**self.findings, **self.questions}


def load_published() -> Published:
    """Read the published values, or raise an `InputError` that says what is wrong with the file."""
    path = project_folder() / "paper" / "published.yml"
    try:
        return Published.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {explain_validation(error, Published)}") from None
