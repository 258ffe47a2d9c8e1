"""What training did not show: more context views, more objects, and cameras off the ring of the rooms.

A sum of representations grows with the number of views, so that numbers beyond those of training are new to the rest of the
model; a mean or attention does not. Objects and cameras are changed in the built-in rooms that are seen from a ring; models
of other data sets are given more views alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from zoo.analysis.claims import Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.requirements import missing_views
from zoo.analysis.scores import COMPARED, QUANTITIES, Scores, panels_of, score_by_context
from zoo.analysis.trends import trend_figure, trend_findings, trend_table
from zoo.analysis.unseen_rooms import (
    draw_unseen_rooms,
    ring_recipe,
    room_expectations,
    room_groups,
    room_panels,
    score_rooms,
)
from zoo.errors import DataError

ALONG = "context views"

missing = missing_views


def run(given: AnalysisInputs) -> Findings:
    """Scores the same images with 1 to V - 1 context views, and rooms with more objects and other cameras.

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
    expectations = context_expectations(scores, trained_with=trained_with)
    panels = panels_of(named, QUANTITIES)
    findings = trend_findings("extrapolation", claims=conclude(expectations), panels=panels, along=ALONG)
    recipe = ring_recipe(given.scenes.name)
    if recipe is None:
        given.log(
            f"{given.scenes.name}: objects and cameras are not changed, which needs built-in rooms seen from a ring"
        )
        return findings
    rooms = draw_unseen_rooms(
        recipe,
        num_scenes=given.num_scenes,
        num_context=min(trained_with.values()),
        image_size=given.scenes.image_size,
        seed=given.seed,
    )
    errors = {}
    for label, trained in given.models.items():
        given.log(f"{label}: predicting rooms with more objects, and from other cameras")
        errors[label] = score_rooms(given, trained, rooms)
    changes = room_panels(errors, rooms)
    return findings._replace(
        claims=conclude([*expectations, *room_expectations(errors, rooms)]),
        table=pd.concat([findings.table, trend_table(changes, along=ALONG)], ignore_index=True),
        sheets={
            "rooms": trend_figure(changes, along=ALONG, title="Objects and cameras that training did not show"),
            "images": room_groups(errors, rooms),
        },
    )


def context_expectations(scores: Mapping[str, Scores], *, trained_with: Mapping[str, int]) -> list[Expectation]:
    """Compares the most views with the most of training, on the same images."""
    expectations = []
    for label, found in scores.items():
        inside, most = trained_with[label], max(found)
        for metric, title, unit in COMPARED:
            text = f"{label}: the {title} is lower given {most} views than given {inside}, the most of training"
            expectations.append(Expectation.less(text, found[most][metric], found[inside][metric], unit=unit))
    return expectations
