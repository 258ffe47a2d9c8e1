"""More context views than in training: whether predictions become better or worse.

A sum of representations grows with the number of views, so that numbers beyond those of training are new to the rest of the
model; a mean or attention does not.
"""

from __future__ import annotations

from collections.abc import Mapping

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.requirements import missing_views
from zoo.analysis.scores import Scores, panels_of, score_by_context
from zoo.analysis.trends import trend_figure, trend_table
from zoo.errors import DataError
from zoo.training.trained_model import TrainedModel

QUANTITIES = {"mse": "MSE of the mean prediction", "nelbo_excess": "excess NELBO (nats)"}


def missing(trained: TrainedModel) -> str | None:
    """Returns what a model lacks: images predicted from views."""
    return missing_views(trained)


def run(given: AnalysisInputs) -> Findings:
    """Scores the same images with 1 to V - 1 context views.

    Raises:
        DataError: if a scene has no more views than a model was given in training, and one to predict.
    """
    trained_with = {label: trained.variant.training.contexts.maximum for label, trained in given.models.items()}
    most = given.scenes.num_views - 1
    for label, number in trained_with.items():
        if number >= most:
            raise DataError(
                f"{given.scenes.name}: has {most + 1} views, expected {number + 2} or more: {label} was trained with {number}"
            )
    scores: dict[str, Scores] = {}
    numbers = range(1, most + 1)
    for label, trained in given.models.items():
        given.log(f"{label}: scoring with 1 to {most} views")
        scores[label] = score_by_context(given, trained, contexts=numbers)
    named = {f"{label}, trained with up to {trained_with[label]}": found for label, found in scores.items()}
    panels = panels_of(named, QUANTITIES)
    return Findings(
        claims=extrapolation_claims(scores, trained_with=trained_with),
        table=trend_table(panels, along="context views"),
        draw=trend_figure(panels, along="context views", title=ANALYSES["extrapolation"].title),
    )


def extrapolation_claims(scores: Mapping[str, Scores], *, trained_with: Mapping[str, int]) -> list[Claim]:
    """Compares the most views with the most of training, on the same images."""
    expectations = []
    for label, found in scores.items():
        inside, most = trained_with[label], max(found)
        for metric, title, unit in (("mse", "error", "MSE"), ("nelbo_excess", "NELBO", "nats")):
            text = f"{label}: the {title} is lower given {most} views than given {inside}, the most of training"
            expectations.append(Expectation.less(text, found[most][metric], found[inside][metric], unit=unit))
    return conclude(expectations)
