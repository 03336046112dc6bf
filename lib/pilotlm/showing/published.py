"""What the paper reports, read from ``paper/published.yml``, and the rules by which ours is held against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pilotlm.analyses.claims import DISTANCE_MARGIN
from pilotlm.errors import InputError
from pilotlm.records import project_folder
from pilotlm.showing.wording import percent
from pilotlm.yaml_files import explain_validation, read_yaml

AS_PUBLISHED, WEAKER, MIXED = "as published", "same direction, weaker", "mixed"
NOT_SEEN, OPPOSITE, UNKNOWN = "not seen", "opposite", "cannot be told"
MODEL, OPPONENT, EVEN = "model ahead", "opponent ahead", "no clear difference"
ORDER = (AS_PUBLISHED, WEAKER, MIXED, NOT_SEEN, OPPOSITE, UNKNOWN, MODEL, EVEN, OPPONENT)
"""All verdicts, in the order in which they are counted up."""

COLLAPSE = 0.25
"""A base model that gives at most this share of people's structures has collapsed. Ours: the paper states no limit."""
ALWAYS = 0.9
"""A gap of at least this is "close to 100 %". Ours, as above."""

RULES: dict[str, str] = {
    "structures_base": (
        "As published: at most {collapse} of the structures that as many people give. Weaker: clearly fewer than "
        "people give. Opposite: clearly more. Not seen: neither."
    ),
    "structures_tuned": (
        "As published: every fine-tuned arm gives at least {least} in {people} of people's count and is not "
        "clearly above {high} in {people}. Weaker: every arm's count is nearer to people's than the base model's, "
        "as a ratio. Opposite: every one's is farther. Mixed: arms differ."
    ),
    "joint_distance": (
        "As published: every fine-tuned arm is clearly nearer to people than the base model, in all answers "
        "together and in the mean of single answers. Weaker: clearly nearer in some, clearly farther in none. "
        "Opposite: clearly farther in all. Not seen: no clear difference. Mixed: some nearer, some farther."
    ),
    "subgroups": (
        "As published: in each group of the study's first grouping and for every fine-tuned arm the distance is "
        "at most {ratio} of the base model's. Cannot be told: it is, wherever other people of the group are that "
        "near at this n, but there are groups where even they are not. Weaker, opposite, not seen, mixed: by "
        "clear differences from the base model, as for the distribution of answers."
    ),
    "balanced": (
        "As published: in each group of the study's first grouping it is excluded, at 5 %, that the balanced pilot is "
        "nearer to people than the random one by {margin} or more. Mixed: it is clearly nearer in some groups. "
        "Opposite: in all. Cannot be told: neither."
    ),
    "persona": (
        "As published: in each group it is excluded, at 5 %, that the distance without the persona is larger by "
        "{margin} or more. Mixed: it is clearly larger in some groups. Opposite: in all. Cannot be told: neither."
    ),
    "gap_base": (
        "As published: the base model's gap is at least {always}. Weaker: clearly above people's. Opposite: "
        "clearly below. Not seen: neither."
    ),
    "gap_tuned": (
        "As published: for every arm fine-tuned on all treatments (on any, where there is none) the interval of "
        "the gap holds people's and lies below the arm's own level under independence. Weaker: it lies below that "
        "level, but does not hold people's gap. Opposite: it lies above that level. Not seen: it holds that "
        "level, so that no coherence was learnt however small the gap is. Mixed: arms differ."
    ),
    "regression": (
        "The finding is that recovery fails. Opposite: the best fine-tuned arm reaches the F1 of a fresh draw of "
        "people, at no higher a false-positive rate. Weaker: it does not, but exceeds the published F1 of {f1} "
        "below the published rate of {fpr}. As published: neither."
    ),
    "opponents_distance": (
        "Each fine-tuned arm that is told the persona against the best of the opponents fitted on the same rows. "
        "Model or opponent ahead: clearly nearer to people, for every arm. Mixed: arms differ."
    ),
    "opponents_gap": (
        "The same for the distance between the arm's gap and people's; an opponent or an arm whose gap is at its "
        "own level under independence is not counted as coherent and is behind one that is."
    ),
    "opponents_regression": (
        "The same for F1: ahead is who has the clearly higher F1 at a false-positive rate that is no higher than the "
        "other's or than that of a fresh draw of people."
    ),
}


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Finding(_Declared):
    """A finding of the paper, or a question that we add.

    Attributes
    ----------
    analysis : str
        The analysis that it belongs to.
    claim : str
        What was found.
    published : str
        With which values, markers filled in.
    values : dict
        Those values.
    source : str
        Where they are known from.
    """

    analysis: Literal["heterogeneity", "divergence", "subgroups", "coherence", "regression"]
    claim: str
    published: str
    values: dict[str, float] = {}
    source: str = ""

    @property
    def text(self) -> str:
        """The published values in words."""
        return self.published.format(**{name: f"{value:g}" for name, value in self.values.items()})


class _Paper(_Declared):
    citation: str
    key: str
    people: int
    treatments: int
    source: str


class Published(_Declared):
    """All that is known of the paper's results: the content of ``paper/published.yml``."""

    paper: _Paper
    findings: dict[str, Finding]
    questions: dict[str, Finding]

    @property
    def all(self) -> dict[str, Finding]:
        """Findings, then questions."""
        return {**self.findings, **self.questions}


@dataclass(frozen=True)
class Judged:
    """What was found on one finding in one study."""

    ours: str
    verdict: str
    why: str


def load_published() -> Published:
    """Read the published values.

    Raises
    ------
    InputError
        If the file is missing or not valid.
    """
    path = project_folder() / "paper" / "published.yml"
    content = read_yaml(path)
    try:
        return Published.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {explain_validation(error, Published)}") from None


def rule_text(key: str, finding: Finding) -> str:
    """The rule of a finding, with its limits filled in."""
    values = {name: f"{value:g}" for name, value in finding.values.items()}
    limits = {"collapse": percent(COLLAPSE), "always": percent(ALWAYS), "margin": f"{DISTANCE_MARGIN:g}"}
    return RULES[key].format(**{**values, **limits})
