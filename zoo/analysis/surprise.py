"""Bayesian surprise of the same images against the number of context views.

The surprise of an image x, given the context and the viewpoint y, is IG(x, y) = KL(q(z | x, y) || p(z | y)), nats (Eslami et
al. 2018). It must fall with the views of the scene, and stay where the views are those of another scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.requirements import missing_views
from zoo.analysis.scores import Scores, panels_of
from zoo.analysis.trends import trend_findings
from zoo.evaluation.bounds import score_scenes
from zoo.figures.trends import TrendPanel
from zoo.training.trained_model import TrainedModel

KL, ELSEWHERE, EXCESS = "kl", "kl_elsewhere", "nelbo_excess"  # ELSEWHERE: given the views of another scene

missing = partial(missing_views, latents=True, several=True)


def run(given: AnalysisInputs) -> Findings:
    """Scores the first target of every scene, given its own views and given those of another scene."""
    scores = {label: measure(given, trained, label=label) for label, trained in given.models.items()}
    claims, panels = surprise_claims(scores), surprise_panels(scores)
    return trend_findings("surprise", claims=claims, panels=panels, along="context views")


def measure(given: AnalysisInputs, trained: TrainedModel, *, label: str) -> Scores:
    """Returns number of context views -> metric -> [scenes] float64, nats per target."""
    found = {}
    for number in given.contexts():
        given.log(f"{label}: {number} context views")
        evaluation = given.evaluation(trained, num_context=number)
        own = score_scenes(trained.model, evaluation)
        other = score_scenes(trained.model, replace(evaluation, shift=1))
        found[number] = {KL: own[KL], EXCESS: own[EXCESS], ELSEWHERE: other[KL]}
    return found


def surprise_panels(scores: Mapping[str, Scores]) -> list[TrendPanel]:
    """Returns the panels of the surprise and of the excess NELBO."""
    title = "Bayesian surprise KL(q || p) (nats)"
    own, elsewhere, excess = panels_of(scores, {KL: title, ELSEWHERE: title, EXCESS: "excess NELBO (nats)"})
    others = [trend._replace(label=f"{trend.label}, views of another scene") for trend in elsewhere.trends]
    return [own._replace(trends=[*own.trends, *others]), excess]


def surprise_claims(scores: Mapping[str, Scores]) -> list[Claim]:
    """Compares numbers of context views on the same images."""
    expectations = []
    for label, found in scores.items():
        few, more, *_ = numbers = list(found)
        many = numbers[-1]
        pairs = [(few, more, KL, "an image is less surprising"), (few, many, EXCESS, "the NELBO is lower")]
        if many != more:
            pairs.insert(1, (more, many, KL, "an image is less surprising"))
        for fewer, larger, metric, text in pairs:
            text = f"{label}: {text} given {larger} views than given {fewer}"
            expectations.append(Expectation.less(text, found[larger][metric], found[fewer][metric], unit="nats"))
        text = f"{label}: given {many} views an image is less surprising than given those of another scene"
        expectations.append(Expectation.less(text, found[many][KL], found[many][ELSEWHERE], unit="nats"))
    return conclude(expectations)
