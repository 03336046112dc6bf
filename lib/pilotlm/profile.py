"""Run profiles: which studies, arms and settings a run of the whole graph has (``config/<profile>.yml``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from pilotlm.arms import Arms, load_arms
from pilotlm.errors import InputError, nearest
from pilotlm.records import project_folder
from pilotlm.stages import EMBEDDED_MODEL, LARGEST_SEED, STAGES, check_parameters
from pilotlm.study import load_study, study_names
from pilotlm.variables import Spec
from pilotlm.yaml_files import explain_validation, read_yaml

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
_SET_BY_THE_PROFILE = frozenset({
    "study", "run", "seed", "arm", "model", "revision", "people", "simulated", "arms", "seeds", "against", "repeats",
})  # fmt: skip


def _seeds_that_differ(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("seeds must differ from each other")
    return seeds


class StudyRun(Spec):
    """What is run of one study.

    Attributes
    ----------
    arms : tuple of str
        The language-model arms; the baselines of their pilots are added. None in a profile of trials.
    simulated : int
        The most people simulated per arm, 0 for everybody compared.
    seeds : tuple of int
        In place of the profile's.
    """

    arms: tuple[str, ...] = ()
    simulated: int = Field(default=0, ge=0, le=1_000_000)
    seeds: tuple[Seed, ...] = ()

    @field_validator("seeds")
    @classmethod
    def _differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _seeds_that_differ(value)


class Needs(Spec):
    """What a node that works with the model asks of the machine; Snakemake's executors read it.

    Memory in megabytes, the longest ``runtime`` in minutes, 0 for the executor's own limit, and GPUs.
    """

    mem_mb: int = Field(ge=100, le=10_000_000)
    runtime: int = Field(default=0, ge=0, le=100_000)
    gpu: int = Field(default=0, ge=0, le=64)


EMBEDDED_NEEDS = {"finetune": Needs(mem_mb=3000), "simulate": Needs(mem_mb=2500)}


class Profile(Spec):
    """A run profile.

    Attributes
    ----------
    about : str
        What it is for.
    model, revision : str
        The language model.
    seeds : tuple of int
        Each is a pilot draw, a training and a simulation of its own.
    studies : dict
        Study name, then what is run of it.
    people : {"held-out", "all"}
        Whom the arms are compared with: people that no answerer learnt from, or all, as the paper does.
    tuning, simulating, deciding : dict
        Parameters of the fine-tuning, simulation and decision notebooks that differ from their defaults.
    repeats : int
        Random halves and bootstrap draws of the analyses.
    trials : dict
        Pilot design, then the seeds that it is drawn by: in place of arms, trials of small pilots are run
        (`pilotlm.analyses.small_pilots`) with ``simulated`` held-out people of each study.
    ways : dict
        Study, then the seeds of pilots of sixty people on which ways of using the persona are tried; in a profile of
        trials.
    threads : int
        Threads of a node that computes with the model; ``tuning`` or ``simulating`` may say another number.
    needs : dict
        "finetune" or "simulate", then what such a node asks of the machine.
    """

    about: str
    model: str = EMBEDDED_MODEL
    revision: str = ""
    seeds: tuple[Seed, ...] = Field(default=(1,), min_length=1)
    studies: dict[str, StudyRun] = Field(min_length=1)
    people: Literal["held-out", "all"] = "held-out"
    tuning: dict[str, Any] = Field(default_factory=dict)
    simulating: dict[str, Any] = Field(default_factory=dict)
    deciding: dict[str, Any] = Field(default_factory=dict)
    repeats: int = Field(default=200, ge=20, le=100_000)
    trials: dict[str, tuple[Seed, ...]] = Field(default_factory=dict)
    ways: dict[str, tuple[Seed, ...]] = Field(default_factory=dict)
    threads: int = Field(default=1, ge=0, le=1024)
    needs: dict[Literal["finetune", "simulate"], Needs] = Field(default_factory=dict)

    @field_validator("seeds")
    @classmethod
    def _differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _seeds_that_differ(value)

    @field_validator("tuning", "simulating", "deciding")
    @classmethod
    def _parameters_of_a_stage(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        stage = {"tuning": "finetune", "simulating": "simulate", "deciding": "decision"}[str(info.field_name)]
        allowed = set(STAGES[stage].model_fields) - _SET_BY_THE_PROFILE
        for name in value:
            if name not in allowed:
                raise ValueError(f"unknown parameter '{name}'; {nearest(name, allowed)}")
        check_parameters(stage, value)
        return value

    def needs_of(self, stage: Literal["finetune", "simulate"]) -> dict[str, int]:
        """The resources of a rule, those of the embedded model unless the profile says more; what is 0 is not asked."""
        needs = self.needs.get(stage, EMBEDDED_NEEDS[stage]).model_dump()
        return {name: value for name, value in needs.items() if value}

    def seeds_of(self, study: str) -> tuple[int, ...]:
        """The seeds of a study: its own, else the profile's."""
        return self.studies[study].seeds or self.seeds

    def pilots(self, arms: Arms, study: str) -> list[str]:
        """The pilot designs whose baselines are run for a study, in the order of its arms."""
        return list(dict.fromkeys(arms.arm(name).pilot for name in self.studies[study].arms))


def load_profile(name: str, study: str = "") -> Profile:
    """Read and check a run profile; of it ``study`` alone is run, one that it does not have in the way of its first."""
    path = project_folder() / "config" / f"{name}.yml"
    if name not in profile_names():
        raise InputError(f"There is no profile '{name}'; {nearest(name, profile_names())}.")
    try:
        profile = Profile.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {explain_validation(error, Profile)}") from None
    if study:
        way = profile.studies.get(study, next(iter(profile.studies.values())))
        profile = profile.model_copy(update={"studies": {study: way}})
    _check_names(path, profile, load_arms())
    return profile


def profile_names() -> list[str]:
    """The names of the profiles."""
    return sorted(p.stem for p in (project_folder() / "config").glob("*.yml") if p.stem != "arms")


def _check_names(path: Path, profile: Profile, arms: Arms) -> None:
    models = {arm.name for arm in arms.arms.values() if arm.is_model}
    for pilot in profile.trials:
        arms.pilot(pilot)
    for study, run in profile.studies.items():
        if not run.arms and not profile.trials:
            raise InputError(f"{path}, study '{study}': the profile names no arm; name one, such as 'base'.")
        if study not in study_names():
            raise InputError(f"{path}: there is no study '{study}'; {nearest(study, study_names())}.")
        for arm in run.arms:
            if arm not in models:
                raise InputError(f"{path}, study '{study}': there is no arm '{arm}'; {nearest(arm, models)}.")
        load_study(study)
