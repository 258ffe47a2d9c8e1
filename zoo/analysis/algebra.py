"""Scene algebra: r(A) - r(B) + r(C), rendered by the generator (Eslami et al. 2018, figure 3).

The r of a red sphere minus that of a red cube plus that of a blue cube must render as a blue sphere. All four rooms have the
same walls, floor, light and cameras, and the true image of the answer is rendered from cameras that are not in the
context. Baselines: r(A) itself (no calculation), and the nearest r of the rooms A, B and C of all analogies. The r of
views of the answer itself is the best that the generator can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from zoo.analysis.analogies import OTHER, AnalogyViews, draw_analogies, render_analogies
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.intervals import interval_findings, interval_of
from zoo.analysis.single_objects import draw_single_object_rooms
from zoo.episode import ScheduleValues
from zoo.evaluation.representations import decode, encode_views, is_decodable
from zoo.figures.intervals import Interval
from zoo.figures.sheets import ImageGroup
from zoo.figures.views import frames_of
from zoo.model.scene_model import SceneModel
from zoo.training.trained_model import TrainedModel

NUM_CONTEXT, NUM_QUERIES = 5, 2  # views; fewer for a model that was trained with fewer
ROWS = 3  # analogies of each factor in the figure
NEEDS = "a model whose r is a sum or mean over single views, and that renders images from r alone"
SUM, UNCHANGED, NEAREST, ENCODED = "A - B + C", "A, no calculation", "nearest other r", "r of the answer"
WHOLE, OBJECT = "MSE of the image", "MSE of the object's pixels"


class Rendered(NamedTuple):
    """Images of n analogies from four representations, and their errors."""

    images: Mapping[str, np.ndarray]  # representation -> [n, Q, H, W, 3] float32, 0 to 1
    errors: Mapping[str, Mapping[str, np.ndarray]]  # metric -> representation -> [n], squared 0-to-1 range


def missing(trained: TrainedModel) -> str | None:
    """Returns :data:`NEEDS` unless the model is such a one."""
    return None if is_decodable(trained.model) else NEEDS


def run(given: AnalysisInputs) -> Findings:
    """Draws analogies of colour, shape and position in rooms with a single object, and renders them by every model."""
    rooms = draw_single_object_rooms(given.scenes.name, num_scenes=given.num_scenes, seed=given.seed)
    maximum = min(trained.variant.training.contexts.maximum for trained in given.models.values())
    found: dict[str, dict[str, Rendered]] = {label: {} for label in given.models}
    shown: dict[str, AnalogyViews] = {}
    for factor in OTHER:
        views = shown[factor] = render_analogies(
            draw_analogies(rooms.factors, factor=factor, seed=given.seed),
            rooms,
            num_context=min(NUM_CONTEXT, maximum),
            num_queries=NUM_QUERIES,
            image_size=given.scenes.image_size,
        )
        for label, trained in given.models.items():
            given.log(f"{label}: {len(rooms.factors)} analogies about the {factor}")
            model, schedule = trained.model, trained.schedule
            found[label][factor] = render_answers(model, views, schedule=schedule, num_samples=given.num_samples)
    return interval_findings(
        "algebra",
        claims=algebra_claims(found),
        intervals=algebra_intervals(found),
        level=0.0,
        sheets={"images": image_groups(shown, found)},
    )


def render_answers(model: SceneModel, views: AnalogyViews, *, schedule: ScheduleValues, num_samples: int) -> Rendered:
    """Renders the answers of analogies from r(A) - r(B) + r(C), from the baselines and from r of the answer."""
    a, b, c, answer = (encode_views(model, frames, views.cameras) for frames in views.context)
    total, known = a - b + c, np.concatenate([a, b, c])
    nearest = known[cdist(total.reshape(len(total), -1), known.reshape(len(known), -1)).argmin(1)]
    images = {
        name: decode(model, pooled, views.queries, schedule=schedule, num_samples=num_samples)
        for name, pooled in ((SUM, total), (UNCHANGED, a), (NEAREST, nearest), (ENCODED, answer))
    }
    squares = {name: np.square(image - views.truth[3] / 255.0).mean(-1) for name, image in images.items()}
    weights = views.object_pixels / np.maximum(views.object_pixels.sum((1, 2, 3), keepdims=True), 1)
    return Rendered(
        images=images,
        errors={
            WHOLE: {name: square.mean((1, 2, 3)) for name, square in squares.items()},
            OBJECT: {name: (weights * square).sum((1, 2, 3)) for name, square in squares.items()},
        },
    )


def algebra_intervals(found: Mapping[str, Mapping[str, Rendered]]) -> list[Interval]:
    """Returns the errors minus those of r(A), analogy by analogy, of every model, factor and other representation."""
    many = len(found) > 1
    return [
        interval_of(
            errors - rendered.errors[metric][UNCHANGED],
            quantity=f"{metric}, minus that of r(A)",
            case=factor,
            series=f"{label}: {name}" if many else name,
        )
        for metric in (WHOLE, OBJECT)
        for label, factors in found.items()
        for factor, rendered in factors.items()
        for name, errors in rendered.errors[metric].items()
        if name != UNCHANGED
    ]


def algebra_claims(found: Mapping[str, Mapping[str, Rendered]]) -> list[Claim]:
    """Compares the calculation with both baselines, analogy by analogy."""
    return conclude(
        [
            Expectation.less(
                f"{label}, {factor}: {metric} is lower of A - B + C than of {baseline}",
                rendered.errors[metric][SUM],
                rendered.errors[metric][baseline],
                unit="squared 0-to-1 range",
            )
            for label, factors in found.items()
            for factor, rendered in factors.items()
            for metric, baseline in ((WHOLE, UNCHANGED), (OBJECT, UNCHANGED), (OBJECT, NEAREST))
        ]
    )


def image_groups(shown: Mapping[str, AnalogyViews], found: Mapping[str, Mapping[str, Rendered]]) -> list[ImageGroup]:
    """Returns the columns of the figure: true images of the four rooms, and those rendered by every model."""
    truth = np.concatenate([views.truth[:, :ROWS, 0] for views in shown.values()], axis=1)
    groups = [ImageGroup(name, images) for name, images in zip(("A", "- B", "+ C", "= truth"), truth, strict=True)]
    for label, factors in found.items():
        for name in (SUM, ENCODED, UNCHANGED):
            images = np.concatenate([rendered.images[name][:ROWS, 0] for rendered in factors.values()])
            groups.append(ImageGroup(f"{label}: {name}", frames_of(images)))
    return groups
