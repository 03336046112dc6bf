"""Every number and every sentence of the pages that depends on a run: chosen by the results, never typed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.rectification import WRONG
from pilotlm.report.decision_page import decided
from pilotlm.report.evidence import Evidence, Interval
from pilotlm.report.labels import study_label
from pilotlm.report.paper import Take, error_rate, measured, placed, studies_in_order, variety
from pilotlm.report.published import CONTRADICTED, FINDING_VERDICTS, NOT_TESTABLE, SHOWN, UNDERPOWERED, load_published
from pilotlm.report.run_facts import facts_of_run, sampling, setting
from pilotlm.report.verdicts import NO_BASELINE, acts_on_beliefs, verdicts
from pilotlm.report.wording import (
    counted,
    listed,
    number,
    percent,
    percent1,
    quoted,
    slug,
    span,
    unquoted,
)
from pilotlm.study import Study

RANDOM_WEIGHTS = "tiny-random"
"""The model of `pilotlm.models.loading` for tests; naming it here spares every page the import of torch."""
NO_FINDING = "This run holds nothing on it."
CONSISTENT = (
    "the actions of every fine-tuned model agreed with its beliefs more often than chance",
    "those of at least one agreed less often than chance",
)
"""What is said of `pilotlm.report.verdicts.acts_on_beliefs`, which is none of the findings."""


def variables(
    metrics: pd.DataFrame,
    manifest: Mapping[str, Any],
    studies: Mapping[str, Study],
    decisions: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """All that the prose of paper and website takes from a run, as nested texts that are safe in Markdown.

    Synthetic studies are counted and quoted only where there is nothing else.
    """
    every = studies_in_order(metrics, studies)
    gathered = [one for one in every if not one.study.synthetic] or every
    names = {one.study.name: study_label(one.study) for one in gathered}
    found = verdicts(metrics, studies).assign(label=lambda rows: rows["study"].map(names)).dropna(subset=["label"])
    said, paper = _Said(gathered, found, decisions or {}), load_published().paper
    counts = Counter(found["verdict"])
    tally = "; ".join(f"{verdict} ({counts[verdict]})" for verdict in FINDING_VERDICTS if counts[verdict])
    return {
        "run": facts_of_run(manifest, metrics),
        "answer": {
            "warning": quoted(warning(manifest, studies)),
            "headline": quoted(said.headline()),
            "setting": quoted(setting(manifest)),
            "resampled": quoted(said.resampled()),
            "sure": quoted(sampling(manifest, metrics)),
            "verdicts": quoted(f"{tally or 'none'}, in {said.of_studies()}"),
        },
        "point": {name: quoted(text) for name, text in said.points().items()},
        "finding": {name: quoted(text) for name, text in said.paragraphs().items()},
        "published": {
            "people": str(paper.people), "treatments": str(paper.treatments), "source": quoted(paper.source),
        },
        "study": {slug(name): _study(study, manifest) for name, study in studies.items()},
    }  # fmt: skip


def findings_of_figures(values: Mapping[str, Any]) -> dict[str, str]:
    """What each figure of the report shows, in plain text, for its alternative text: label, finding."""
    shows = {"signs": "coefficients"}
    names = ("distance", "variety", "groups", "persona", "coherence", "likelihood", "signs")
    return {f"fig-{name}": unquoted(values["finding"][shows.get(name, name)]) for name in names}


def warning(manifest: Mapping[str, Any], studies: Mapping[str, Study]) -> str:
    """What a reader must know before any number, as a sentence; empty where there is nothing."""
    if RANDOM_WEIGHTS in str(manifest["model"]["name"]):
        return (
            "This run used a tiny model of random weights, which tests that everything runs. "
            "None of its numbers says anything about language models."
        )
    if studies and all(study.synthetic for study in studies.values()):
        return "Every study of this run is synthetic: nothing here is evidence about people."
    return ""


class _Said:
    """The sentences on what was found in some studies."""

    def __init__(
        self, gathered: Sequence[Evidence], found: pd.DataFrame, decisions: Mapping[str, Mapping[str, Any]]
    ) -> None:
        consistent = [
            {"key": "consistent", "label": study_label(one.study), "verdict": acts_on_beliefs(one)} for one in gathered
        ]
        self.gathered, self.decisions = gathered, decisions
        self.found = pd.concat([found, pd.DataFrame(consistent)], ignore_index=True)

    def of_studies(self) -> str:
        """How many studies of which kind."""
        kind = "synthetic" if all(one.study.synthetic for one in self.gathered) else "real"
        return counted(len(self.gathered), f"{kind} study", f"{kind} studies")

    def headline(self) -> str:
        """One measure and one baseline, both named before any comparison."""
        nearer, ahead = (self.found[self.found["key"] == key] for key in ("joint_distance", "baselines_distance"))
        if set(nearer["verdict"]) | set(ahead["verdict"]) <= {NOT_TESTABLE}:
            return "This run has no arms to compare."
        first = self.by_verdict("joint_distance", by_name=False)
        if ahead["why"].str.contains(NO_BASELINE, regex=False).all():
            return f"{first} {NO_BASELINE[:-1]}, so no comparison with one is made."
        return f"{first} {self.by_verdict('baselines_distance', by_name=False)}"

    def by_verdict(self, key: str, by_name: bool = True) -> str:
        """In which studies a finding is shown, contradicted, or neither: a sentence."""
        finding = load_published().all.get(key)
        holds, fails = (finding.holds, finding.fails) if finding else CONSISTENT
        rows = self.found[self.found["key"] == key]
        names = {verdict: rows.loc[rows["verdict"] == verdict, "label"].tolist() for verdict in FINDING_VERDICTS}

        def where(verdict: str) -> str:
            mine = names[verdict]
            if len(mine) == len(rows):
                return "the one study" if len(mine) == 1 else f"all {self.of_studies()}"
            if by_name:
                return listed(mine)
            return f"{len(mine)} of {self.of_studies()}" if verdict == SHOWN else str(len(mine))

        said = {CONTRADICTED: fails, UNDERPOWERED: "these data cannot tell", NOT_TESTABLE: "it cannot be tested"}
        rest = [f"in {where(verdict)} {text}" for verdict, text in said.items() if names[verdict]]
        if names[SHOWN]:
            return "; ".join([f"In {where(SHOWN)} {holds}", *rest]) + "."
        if set(rows["verdict"]) <= {NOT_TESTABLE}:
            return f"Whether {holds} cannot be tested in this run."
        return f"No study shows that {holds}: {'; '.join(rest)}."

    def each(self, role: str, take: Take) -> list[tuple[Evidence, Interval]]:
        """What was measured of a role's arm, study by study, as far as it has an estimate."""
        found = [(one, take(one, one.main[role])) for one in self.gathered if role in one.main]
        return [(one, value) for one, value in found if value is not None and value.known]

    def values(self, role: str, take: Take) -> list[Interval]:
        """The same without the studies."""
        return [value for _, value in self.each(role, take)]

    def ranges(self, template: str, take: Take, roles: Mapping[str, str]) -> str:
        """A template filled with the range over studies of each role: ``the base model 0.59 to 1.12``; or nothing."""
        parts = {words: self.values(role, take) for role, words in roles.items()}
        said = [f"{words} {_range(found)}" for words, found in parts.items() if found]
        return template.format(listed(said)) if said else ""

    def resampled(self) -> str:
        """What resampling the pilot's people gives, and what it does not."""
        place, structures = self.values("bootstrap", placed), self.values("bootstrap", variety)
        if not place or not structures:
            return ""
        return (
            f"Resampling the pilot's people, each with all answers, scores {_range(place)} on this scale, but it only "
            f"repeats real rows: it contains nobody from outside the pilot, and {_range(structures)} times as many "
            "different belief structures as the same number of people."
        )

    def points(self) -> dict[str, str]:
        """The key points, a sentence or two each."""
        keys = {
            "nearer": "joint_distance", "baseline": "baselines_distance", "coherence": "consistent",
            "coefficients": "regression",
        }  # fmt: skip
        return {name: self.by_verdict(key) for name, key in keys.items()} | {"decision": self._decided() or NO_FINDING}

    def paragraphs(self) -> dict[str, str]:
        """The finding in prose of each subsection of the paper."""
        three = {"base": "the base model", "tuned": "the fine-tuned model", "baseline": "the best baseline"}
        every = {**three, "pooled": "the pool of model and baseline", "bootstrap": "the resampled pilot"}
        two = {role: three[role] for role in ("tuned", "baseline")}
        signs = _range(self.values("tuned", measured("sign_f1", "all")), "human_benchmark")
        texts = {
            "distance": [
                *map(self.by_verdict, ("joint_distance", "baselines_distance")),
                self.ranges("From the nearest study to the farthest: {}.", placed, every),
            ],
            "variety": [
                *map(self.by_verdict, ("structures_base", "structures_tuned")),
                self.ranges("As multiples of what as many people give: {}.", variety, three),
            ],
            "groups": [*map(self.by_verdict, ("subgroups", "balanced", "persona"))],
            "coherence": [*map(self.by_verdict, ("consistent", "gap_tuned", "gap_base")), self._gaps()],
            "persona": [self._persona(three)],
            "controls": [self._shuffled(), self._copies()],
            "likelihood": [
                self._losses("tuned", "The fine-tuned model"),
                self._losses("pooled", "The pool of model and baseline"),
                self.ranges(
                    "Correlation of predicted means and given answers within treatments: {}.",
                    measured("rho_S", "mean"), two,
                ),
            ],
            "coefficients": [
                *map(self.by_verdict, ("regression", "baselines_regression")),
                self.ranges(
                    f"A fresh draw of as many people reached an F1 of {signs}; {{}}.", measured("sign_f1", "all"), three
                ),
            ],
            "decision": [self._decided(), self._errors()],
        }  # fmt: skip
        joined = {name: " ".join(text for text in parts if text) for name, parts in texts.items()}
        return {name: text or NO_FINDING for name, text in joined.items()}

    def _gaps(self) -> str:
        tuned = self.values("tuned", measured("gap", None))
        names = ("human_benchmark", "estimate", "random_benchmark")
        people, own, chance = (_range(tuned, name, percent) for name in names)
        said = (
            f"People's actions contradicted their beliefs in {people} of cases, the fine-tuned model's in {own}; with "
            f"its beliefs and actions paired at random it would be {chance}."
        )
        return said if tuned else ""

    def _persona(self, roles: Mapping[str, str]) -> str:
        take = measured("association", "persona")
        found = self.each("tuned", take)
        shown = listed([study_label(one.study) for one, value in found if value.low > 0]) or "no study"
        people = _range([value for _, value in found], "human_benchmark")
        return self.ranges(
            f"The persona explains {people} of the variance of people's answers; by arm: {{}}. That the fine-tuned "
            f"model's answers depend on the persona is shown in {shown}.",
            take, roles,
        )  # fmt: skip

    def _shuffled(self) -> str:
        said = []
        for one in self.gathered:
            for arm in one.present:
                loss = one.value(arm.name, "nll_over_unshuffled", "all")
                if arm.shuffled and loss is not None and loss.known:
                    cost = "cost" if loss.low > 0 else "is not shown to cost anything:"
                    said.append(
                        f"In {study_label(one.study)}, shuffling the {arm.shuffled} of the pilot before fine-tuning "
                        f"{cost} {number(loss.estimate)} nats a person [{number(loss.low)}, {number(loss.high)}]."
                    )
        return " ".join(said)

    def _copies(self) -> str:
        copies = self.values("tuned", measured("copies", "answers"))
        own, others = (_range(copies, name, percent) for name in ("estimate", "human_benchmark"))
        said = (
            f"The fine-tuned model gave exactly the answers of somebody in its pilot in {own} of rows; of people "
            f"outside the pilot {others} do."
        )
        return said if copies else ""

    def _losses(self, role: str, subject: str) -> str:
        """Whether held-out answers were more probable than under the best baseline, by the interval of each study."""
        found = {study_label(one.study): value for one, value in self.each(role, measured("nll_over_baseline", "all"))}
        better = listed([name for name, value in found.items() if value.high < 0]) or "no study"
        worse = listed([name for name, value in found.items() if value.low > 0])
        neither = listed([name for name, value in found.items() if value.low <= 0 <= value.high])
        said = (
            f"{subject} gave people's own answers a higher probability than the best baseline in {better}"
            f"{f'; a lower one in {worse}' if worse else ''}{f'; undecided in {neither}' if neither else ''} "
            f"(difference in loss {_range(list(found.values()))} nats a person, below 0 better)."
        )
        return said if found else ""

    def _decided(self) -> str:
        tuned = [(one.study.name, one.main["tuned"].name) for one in self.gathered if "tuned" in one.main]
        found = [decided(self.decisions.get(study, {}), arm) for study, arm in tuned]
        known = [one for one in found if one is not None]
        said = [verdict for verdict, _, _ in known]
        outside, targets = sum(k for _, _, k in known), sum(len(some) for _, some, _ in known)
        use, rectify = (said.count(word) or "none" for word in ("use", "use with rectification"))
        text = (
            f"By rules fixed beforehand, simulated answers may be used as they are in {use} of {self.of_studies()}, "
            f"with prediction-powered inference in {rectify}. They are shown to mislead on {outside} of {targets} "
            "targets, all seeds counted."
        )
        return text if known else ""

    def _errors(self) -> str:
        tuned = [(one, one.main["tuned"]) for one in self.gathered if "tuned" in one.main]
        rates = [[error_rate(*pair, how) for pair in tuned] for how in WRONG]
        used, advised, refused = (span(some, percent1) for some in rates)
        text = (
            f"On pilots drawn from the same people the rules wrongly allowed use on {used} of targets, wrongly advised "
            f"prediction-powered inference on {advised}, and wrongly refused one of the two on {refused}."
        )
        return text if any(not math.isnan(rate) for some in rates for rate in some) else ""


def _range(values: Sequence[Interval], name: str = "estimate", written: Callable[[float], str] = number) -> str:
    """The range of the estimates of some values, or of their benchmarks."""
    return span([getattr(value, name, math.nan) for value in values], written)


def _study(study: Study, manifest: Mapping[str, Any]) -> dict[str, str]:
    return {
        "kind": "synthetic" if study.synthetic else "real people",
        "people": str(manifest["studies"].get(study.name, {}).get("participants") or "unknown"),
    }
