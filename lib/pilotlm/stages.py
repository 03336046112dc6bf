"""What every notebook begins with: its parameters, checked, and where its files lie.

A notebook's cell tagged ``parameters`` holds exactly the fields of its stage's class below. `begin` reads them from the
notebook's names and refuses a name that the stage does not have: papermill only warns of one, and then runs a setting
that nobody asked for.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pilotlm.arms import Arms, load_arms
from pilotlm.errors import InputError, nearest, shown
from pilotlm.records import Places, write_json
from pilotlm.study import STUDY_NAME, Study, load_study

EMBEDDED_MODEL = "smollm2-135m-instruct"
SCRATCH = "scratch"
"""The run of whoever opens a notebook by itself."""
LARGEST_SEED = 2**31 - 1
Schedule = Literal["constant", "cosine"]
"""What the learning rate does after its rise: stay, or fall along half a cosine."""


class Parameters(BaseModel):
    """What every stage has: ``run`` is the folder under ``results`` that all is read from and written to."""

    # A seed list of one number, or a single learning rate, arrives from papermill as a number.
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    run: str = SCRATCH

    @model_validator(mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, given: Any) -> Any:
        for name, value in given.items():
            if isinstance(value, bool) and name in cls.model_fields and cls.model_fields[name].annotation is not bool:
                raise ValueError(f"'{name}' cannot be {str(value).lower()}")
        return given

    @field_validator("run")
    @classmethod
    def _a_folder_name(cls, value: str) -> str:
        if not STUDY_NAME.match(value):
            raise ValueError("must be a name of letters, digits, '.', '_' and '-'")
        return value


class StudyParameters(Parameters):
    """A stage that works on one study."""

    study: str = "framing"


class _Seeded(StudyParameters):
    seed: int = Field(default=1, ge=0, le=LARGEST_SEED)


class _WithModel(_Seeded):
    model: str = EMBEDDED_MODEL
    revision: str = ""
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    batch: int = Field(default=32, ge=1, le=4096)
    threads: int = Field(default=0, ge=0, le=1024)


class FineTuneParameters(_WithModel):
    """Fine-tuning: see `pilotlm.models.lora.TuningSettings`."""

    arm: str = "tuned_all_25"
    learning_rate: float = Field(default=1e-3, gt=0, le=1, allow_inf_nan=False)
    epochs: int = Field(default=4, ge=1, le=1000)
    least_steps: int = Field(default=16, ge=0, le=100_000)
    batch: int = Field(default=8, ge=1, le=4096)
    rank: int = Field(default=16, ge=1, le=1024)
    alpha: int = Field(default=32, ge=1, le=4096)
    warmup: int = Field(default=3, ge=0, le=100_000)
    schedule: Schedule = "constant"
    at_a_time: int = Field(default=4, ge=1, le=4096)


class SimulateParameters(_WithModel):
    """Simulation by a model.

    ``simulated`` is the most people to simulate, 0 means all that are compared; ``predictions`` says whether the exact
    distributions at the people's own answers are written too.
    """

    arm: str = "base"
    predictions: bool = True
    people: Literal["held-out", "all"] = "held-out"
    simulated: int = Field(default=0, ge=0, le=1_000_000)
    draws: int = Field(default=1, ge=1, le=10_000)


class BaselineParameters(_Seeded):
    """Simulation by the baselines of one pilot design."""

    pilot: str = "all_25"
    people: Literal["held-out", "all"] = "held-out"
    simulated: int = Field(default=0, ge=0, le=1_000_000)


class AnalysisParameters(StudyParameters):
    """An analysis; ``arms`` and ``seeds`` are separated by spaces and mean all that there are when empty.

    ``repeats`` is the number of random halves or bootstrap draws.
    """

    arms: str = ""
    seeds: str = ""
    against: Literal["held-out", "all"] = "held-out"
    repeats: int = Field(default=200, ge=20, le=100_000)


class DecisionParameters(AnalysisParameters):
    """The decision on augmenting a pilot; ``arms`` are those that are judged, by default every one fine-tuned.

    ``others`` is the number of people who would be simulated, ``margin`` is in standard deviations of an answer, and
    the prices, in any one currency, are of asking a person and of an hour of the machine.
    """

    others: int = Field(default=1000, ge=1, le=10_000_000)
    margin: float = Field(default=0.2, gt=0, le=10)
    price_of_a_person: float = Field(default=4.0, ge=0, le=1e6)
    price_of_an_hour: float = Field(default=0.1, ge=0, le=1e6)


class TrialParameters(_WithModel):
    """Arms at one small pilot: ``simulated`` is the most held-out people whose answers are forecast, 0 means all."""

    pilot: str = "n_30"
    simulated: int = Field(default=0, ge=0, le=1_000_000)


class ReportParameters(Parameters):
    """The report on a run; ``studies`` are separated by spaces and mean all that there are when empty."""

    studies: str = ""


STAGES: dict[str, type[Parameters]] = {
    "prepare": StudyParameters,
    "finetune": FineTuneParameters,
    "simulate": SimulateParameters,
    "baselines": BaselineParameters,
    "heterogeneity": AnalysisParameters,
    "divergence": AnalysisParameters,
    "subgroups": AnalysisParameters,
    "coherence": AnalysisParameters,
    "regression": AnalysisParameters,
    "accuracy": AnalysisParameters,
    "controls": AnalysisParameters,
    "rectification": AnalysisParameters,
    "decision": DecisionParameters,
    "report": ReportParameters,
    "trial": TrialParameters,
    "ways": TrialParameters,
    "thirty": Parameters,
}
"""Every notebook, in the order of the story."""
ANALYSES = tuple(stage for stage, parameters in STAGES.items() if parameters is AnalysisParameters)
_CHECKED = "_pilotlm_names_checked"


@dataclass(frozen=True)
class Begun:
    """A stage that has begun, with its `Parameters` as checked and all declared arms."""

    stage: str
    parameters: Any
    arms: Arms
    _study: Study | None
    _started: float = field(default_factory=time.monotonic)

    @property
    def study(self) -> Study:
        """The study that the stage works on."""
        if self._study is None:
            raise InputError(f"The stage '{self.stage}' does not work on one study.")
        return self._study

    @property
    def places(self) -> Places:
        """Where the files of the study in this run lie."""
        return Places(self.parameters.run, self.study.name)

    @property
    def title(self) -> str:
        """The run in a line."""
        given = ", ".join(f"{name} = {value}" for name, value in self.parameters.model_dump().items() if value != "")
        return f"{self.stage}: {given}"

    def record(self, node: str, **facts: Any) -> None:
        """Write this stage's part of the manifest under the name of its node; what the node left unfinished goes."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        facts = {
            "stage": self.stage,
            "parameters": self.parameters.model_dump(),
            "wall_seconds": round(time.monotonic() - self._started, 2),
            "peak_memory_mib": round(peak / (1024 if sys.platform != "darwin" else 1024**2)),
            **facts,
        }
        write_json(self.places.record(node), facts)
        self.places.unfinished(node).unlink(missing_ok=True)


def notebook_of(stage: str) -> Path:
    """The notebook of a stage, from the project's folder; its number is its place in `STAGES`."""
    return Path("notebooks", f"{list(STAGES).index(stage) + 1:02d}-{stage}.ipynb")


def begin(stage: str, names: MutableMapping[str, Any]) -> Begun:
    """Check a notebook's parameters, given its ``globals()``, and load its study.

    Raises
    ------
    InputError
        If a parameter is unknown, missing or out of range, or the study, arm or pilot does not exist.
    """
    checked = check_parameters(stage, _given(stage, names))
    names[_CHECKED] = True
    arms = load_arms()
    study = load_study(checked.study) if isinstance(checked, StudyParameters) else None
    if isinstance(checked, FineTuneParameters | SimulateParameters):
        _check_arm(stage, arms, checked.arm)
    if isinstance(checked, BaselineParameters | TrialParameters):
        arms.pilot(checked.pilot)
    return Begun(stage, checked, arms, study)


def check_parameters(stage: str, given: dict[str, Any]) -> Parameters:
    """Check the parameters of a stage."""
    if stage not in STAGES:
        raise InputError(f"There is no stage '{stage}'; {nearest(stage, STAGES)}.")
    model = STAGES[stage]
    for name in given:
        if name not in model.model_fields:
            raise InputError(f"The stage '{stage}' has no parameter '{name}'; {nearest(name, model.model_fields)}.")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise InputError(f"The parameters of '{stage}': {message}.") from None
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"The parameter '{place}' of '{stage}': {message}, got {shown(first['input'])}.") from None


def _given(stage: str, names: MutableMapping[str, Any]) -> dict[str, Any]:
    """The parameters among a notebook's names: every scalar that was set before the first check."""
    fields = STAGES[stage].model_fields if stage in STAGES else {}
    missing = [name for name in fields if name not in names]
    if missing:
        raise InputError(f"The notebook of the stage '{stage}' does not set the parameter(s) {', '.join(missing)}.")
    scalars = {
        name: value
        for name, value in names.items()
        if not name.startswith("_") and isinstance(value, str | int | float | bool | None)
    }
    if names.get(_CHECKED):
        # Run again in an open notebook: by now later cells have names of their own.
        return {name: value for name, value in scalars.items() if name in fields}
    return scalars


def _check_arm(stage: str, arms: Arms, name: str) -> None:
    allowed = [arm for arm in arms.arms.values() if (arm.is_trained if stage == "finetune" else arm.is_model)]
    if arms.arm(name) not in allowed:
        raise InputError(
            f"The stage '{stage}' cannot use the arm '{name}'; allowed: {', '.join(a.name for a in allowed)}."
        )
