"""Arms: who answers, fitted on which pilot rows, prompted how. They are declared in ``config/arms.yml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pilotlm.errors import InputError, nearest
from pilotlm.records import project_folder
from pilotlm.yaml_files import explain_validation, read_yaml

BASELINES = {"bootstrap": "Bootstrap", "marginals": "Marginals", "logit": "Logit", "copula": "Copula"}
"""The answerers that are not language models, with their names on figures."""
Shuffled = Literal["", "personas", "answers"]
Decoding = Literal["whole", "token", "free"]


FileName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
"""The name of an arm or a pilot, which becomes a part of files' names."""


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PilotDesign(_Declared):
    """How the pilot rows are drawn.

    Attributes
    ----------
    label : str
        Its name on figures.
    treatments : {"all", "one"}
        From every treatment, or from a single one that the seed chooses.
    share : float or None
        The share of those participants that is drawn, in (0, 1]; None where their number is given.
    people : int or None
        The number of them that is drawn, at random over treatments; draws of one seed lie inside each other.
    at_most : int or None
        The most people that are drawn, and the most rows of theirs; None for no limit. Of a form with many lines
        fewer: see `pilotlm.data.pilot.limit_of`.
    balanced : bool
        Whether the same number is drawn from each group of the study's first subgroup, in place of a random draw.
    """

    label: str
    treatments: Literal["all", "one"]
    share: float | None = Field(default=None, gt=0, le=1)
    people: int | None = Field(default=None, ge=1)
    at_most: int | None = Field(default=None, ge=1)
    balanced: bool = False

    @model_validator(mode="after")
    def _a_size(self) -> PilotDesign:
        if (self.share is None) == (self.people is None):
            raise ValueError("a pilot needs either 'share' or 'people'")
        if self.balanced and self.treatments == "one":
            raise ValueError("a balanced pilot is drawn from all treatments")
        return self


class _Answering(_Declared):
    """What an arm that is declared and one of a run share; see `Arm`."""

    label: str
    pilot: str
    persona: bool = True
    shuffled: Shuffled = ""
    persona_first: bool = False
    reversed_options: bool = False
    examples: int = Field(default=0, ge=0, le=100)
    adapter_of: str = ""
    pooled_with: Literal["logit", "copula"] = "copula"
    temperature: float = Field(default=1.0, ge=0, le=100)
    decoding: Decoding = "whole"
    pilot_seed: int | None = Field(default=None, ge=0)


class ModelArm(_Answering):
    """A declared arm: a language model as it came, fine-tuned, or fine-tuned and pooled with a baseline."""

    answerer: Literal["base", "tuned", "pooled"]

    @model_validator(mode="after")
    def _fits_together(self) -> ModelArm:
        if self.shuffled and self.answerer != "tuned":
            raise ValueError(f"only a fine-tuned arm learns from rows that can be shuffled, not '{self.answerer}'")
        if self.answerer == "pooled" and not self.adapter_of:
            raise ValueError("a pooled arm needs 'adapter_of': the fine-tuned arm that it pools with a baseline")
        if self.answerer == "base" and self.adapter_of:
            raise ValueError("the base model has no adapter; take away 'adapter_of'")
        if self.answerer == "pooled" and self.decoding != "whole":
            raise ValueError("a pooled arm has the decoding 'whole': a baseline knows whole answers only")
        return self


class Arm(_Answering):
    """One arm of a run.

    Attributes
    ----------
    name, label : str
        Its name in tables and on figures.
    answerer : str
        "base", "tuned" (fine-tuned on the pilot), "pooled" (fine-tuned and pooled with a baseline of the same pilot,
        see `pilotlm.models.pool`) or the name of a baseline.
    pilot : str
        The pilot design; for the base model it says only which people count as held out.
    persona : bool
        Whether the answerer knows who the participant is.
    shuffled : {"", "personas", "answers"}
        For a negative control: what of the pilot's rows is shuffled before the model is fine-tuned on them; see
        `pilotlm.data.pilot.shuffled_rows`.
    persona_first, reversed_options : bool
        How the prompt is worded; see `pilotlm.data.prompts.Wording`.
    examples : int
        How many people of the pilot the prompt shows with their answers.
    adapter_of : str
        The fine-tuned arm whose adapter is used, where the arm differs in how it answers only.
    pooled_with : {"logit", "copula"}
        The baseline that a pooled arm is pooled with.
    temperature : float
        Divides the log-probabilities before an answer is drawn; 0 takes the likeliest.
    decoding : {"whole", "token", "free"}
        Answers from the distribution over whole valid answers, over valid tokens one after the other, or free text
        read by a strict parser.
    pilot_seed : int or None
        Draws the pilot in place of the run's seed, so that every seed trains anew on the same people.
    """

    name: str
    answerer: str

    @property
    def is_model(self) -> bool:
        """Whether a language model answers."""
        return self.answerer in ("base", "tuned", "pooled")

    @property
    def adapter(self) -> str:
        """The arm whose adapter answers; "" where there is none."""
        return self.adapter_of or (self.name if self.answerer == "tuned" else "")

    @property
    def is_trained(self) -> bool:
        """Whether an adapter is trained for this arm."""
        return self.answerer == "tuned" and not self.adapter_of

    @property
    def is_variant(self) -> bool:
        """Whether it differs from the paper's arms.

        It is a negative control, keeps its pilot over the seeds, or asks or answers in another way.
        """
        asked = self.persona_first or self.reversed_options or self.examples > 0
        made = bool(self.shuffled) or self.pilot_seed is not None
        return made or asked or self.temperature != 1 or self.decoding != "whole"

    def draws_pilot_by(self, seed: int) -> int:
        """The seed that the pilot is drawn by in a seed of the run."""
        return seed if self.pilot_seed is None else self.pilot_seed

    @property
    def has_predictions(self) -> bool:
        """Whether there is a probability for every valid answer.

        A bootstrap has none for what its pilot lacks, free text has one for any text, and taking the likeliest answer
        leaves none for the others.
        """
        return self.answerer != "bootstrap" and self.decoding != "free" and self.temperature > 0


class _ArmFile(_Declared):
    pilots: dict[FileName, PilotDesign]
    arms: dict[FileName, ModelArm]


@dataclass(frozen=True)
class Arms:
    """All arms that there are, and the pilot designs they use."""

    pilots: dict[str, PilotDesign]
    arms: dict[str, Arm]

    def arm(self, name: str) -> Arm:
        """The arm with a name; an InputError names the nearest one where there is none."""
        if name not in self.arms:
            raise InputError(f"There is no arm '{name}'; {nearest(name, self.arms)}.")
        return self.arms[name]

    def pilot(self, name: str) -> PilotDesign:
        """The pilot design with a name; an InputError names the nearest one where there is none."""
        if name not in self.pilots:
            raise InputError(f"There is no pilot design '{name}'; {nearest(name, self.pilots)}.")
        return self.pilots[name]

    def unshuffled(self, arm: Arm) -> Arm | None:
        """The arm that a negative control is held against: the same, with its pilot's rows as they are."""
        if not arm.shuffled:
            return None
        there = (a for a in self.arms.values() if not a.shuffled)
        usual = arm.model_copy(update={"shuffled": ""})
        return next((a for a in there if a == usual.model_copy(update={"name": a.name, "label": a.label})), None)

    def baselines_of(self, pilot: str) -> list[Arm]:
        """The baselines that are fitted on the rows of a pilot design."""
        return [arm for arm in self.arms.values() if arm.pilot == pilot and not arm.is_model]


def load_arms(path: Path | None = None) -> Arms:
    """Read the declared arms and add, for each pilot design, the baselines fitted on the same rows."""
    path = path or project_folder() / "config" / "arms.yml"
    try:
        declared = _ArmFile.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {explain_validation(error, _ArmFile)}") from None
    arms: dict[str, Arm] = {}
    for name, arm in declared.arms.items():
        if arm.pilot not in declared.pilots:
            known = nearest(arm.pilot, declared.pilots)
            raise InputError(f"{path}: arm '{name}' names the pilot '{arm.pilot}'; {known}.")
        arms[name] = Arm(name=name, **arm.model_dump())
    for made in arms.values():
        _check_adapter(path, made, arms)
    for pilot, design in declared.pilots.items():
        for baseline, label in BASELINES.items():
            name = f"{baseline}_{pilot}"
            arms[name] = Arm(name=name, label=f"{label}, {design.label}", answerer=baseline, pilot=pilot)
    return Arms(pilots=declared.pilots, arms=arms)


def _check_adapter(path: Path, arm: Arm, arms: dict[str, Arm]) -> None:
    """Refuse an adapter that nobody trains, or that was trained on other rows or another wording."""
    if not arm.adapter_of:
        return
    trained = [name for name, other in arms.items() if other.is_trained]
    if arm.adapter_of not in trained:
        raise InputError(
            f"{path}: arm '{arm.name}': no arm '{arm.adapter_of}' is fine-tuned; {nearest(arm.adapter_of, trained)}."
        )
    of = arms[arm.adapter_of]
    for name in ("pilot", "pilot_seed", "persona", "persona_first", "reversed_options", "examples"):
        if getattr(arm, name) != getattr(of, name):
            raise InputError(
                f"{path}: arm '{arm.name}' uses the adapter of '{of.name}', which has '{name}: {getattr(of, name)}'; "
                "give it the same, or an adapter of its own."
            )
