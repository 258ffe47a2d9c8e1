"""Scene algebra: r(A) - r(B) + r(C), rendered by the generator (Eslami et al. 2018, figure 3).

The r of a red sphere minus that of a red cube plus that of a blue cube must render as a blue sphere. All four rooms have the
same walls, floor, light and cameras, and the true image of the answer is rendered from cameras that are not in the
context. The rooms differ in two factors of the object: A has the values (f, g), B (f, g'), C (f', g') and the answer (f', g),
so that the calculation replaces f by f' in A. Baselines: r(A) itself (no calculation), and the nearest r of the rooms A, B
and C of all analogies. The r of views of the answer itself is the best that the generator can do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.intervals import interval_findings, interval_of
from zoo.analysis.single_objects import (
    DrawnRooms,
    Solid,
    colour_of,
    draw_single_object_rooms,
    render_rooms,
    solid_of,
    with_solid,
    without_object,
)
from zoo.data.factors.hues import HUES
from zoo.data.factors.room_factors import RoomFactors
from zoo.data.render.primitives import PRIMITIVE_NAMES
from zoo.episode import ScheduleValues
from zoo.evaluation.representations import decode, encode_views, is_decodable
from zoo.figures.sheets import ImageGroup
from zoo.figures.views import frames_of
from zoo.model.scene_model import SceneModel
from zoo.training.trained_model import TrainedModel

NUM_CONTEXT, NUM_QUERIES = 5, 2  # views; fewer for a model that was trained with fewer
ROWS = 3  # analogies of each factor in the figure
NEEDS = "a model whose r is a sum or mean over single views, and that renders images from r alone"
SUM, UNCHANGED, NEAREST, ENCODED = "A - B + C", "A, no calculation", "nearest other r", "r of the answer"
WHOLE, OBJECT = "MSE of the image", "MSE of the object's pixels"
NEAREST_MIDDLE = 0.7  # scene units from the middle, so that opposite places do not overlap
OTHER = {"colour": "shape", "shape": "colour", "position": "colour"}  # f -> g

Values = Mapping[str, Callable[[Solid], Solid]]  # factor -> sets it


class Analogy(NamedTuple):
    """Four rooms with the same walls, floor, light and, but for two factors, the same object."""

    a: RoomFactors
    b: RoomFactors
    c: RoomFactors
    answer: RoomFactors


class AnalogyViews(NamedTuple):
    """Images of n analogies; the cameras of the queries are not among those of the context."""

    context: np.ndarray  # [4, n, N, H, W, 3] uint8: of A, B, C and the answer
    cameras: np.ndarray  # [n, N, 5]
    truth: np.ndarray  # [4, n, Q, H, W, 3] uint8
    queries: np.ndarray  # [n, Q, 5]
    object_pixels: np.ndarray  # [n, Q, H, W] bool: which show the object of A or of the answer


def draw_analogies(rooms: Sequence[RoomFactors], *, factor: str, seed: int = 0) -> list[Analogy]:
    """Draws an analogy about a factor, one of :data:`OTHER`, in each of n rooms with a single object."""
    rng = np.random.default_rng([seed, list(OTHER).index(factor)])

    def rooms_of(room: RoomFactors) -> Iterator[RoomFactors]:
        values = _two_values(solid_of(room), rng)
        for of_factor, of_other in ((0, 0), (0, 1), (1, 1), (1, 0)):
            solid = values[of_factor][factor](values[of_other][OTHER[factor]](solid_of(room)))
            yield with_solid(room, solid)

    return [Analogy(*rooms_of(room)) for room in rooms]


def _two_values(solid: Solid, rng: np.random.Generator) -> tuple[Values, Values]:
    """Returns two different values of every factor; the places are opposite each other."""
    shapes, hues = rng.permutation(PRIMITIVE_NAMES), rng.permutation(list(HUES))
    distance, angle = max(math.hypot(solid.x, solid.y), NEAREST_MIDDLE), math.atan2(solid.y, solid.x)
    x, y = distance * math.cos(angle), distance * math.sin(angle)

    def values(index: int, sign: float) -> Values:
        shape, colour = str(shapes[index]), colour_of(hues[index])
        return {
            "shape": lambda one: one._replace(shape=shape),
            "colour": lambda one: one._replace(colour=colour),
            "position": lambda one: one._replace(x=sign * x, y=sign * y),
        }

    return values(0, 1.0), values(1, -1.0)


def render_analogies(
    analogies: Sequence[Analogy], rooms: DrawnRooms, *, num_context: int, num_queries: int, image_size: int
) -> AnalogyViews:
    """Renders analogies from the cameras of their rooms: the first N are the context, the next Q the queries."""
    used = rooms.cameras[:, : num_context + num_queries]
    cameras, queries = used[:, :num_context], used[:, num_context:]
    frames = np.stack([render_rooms(found, used, image_size=image_size) for found in zip(*analogies, strict=True)])
    truth = frames[:, :, num_context:]
    shown = np.zeros(truth.shape[1:-1], bool)
    for index, name in ((0, "a"), (3, "answer")):
        empty = [without_object(getattr(analogy, name)) for analogy in analogies]
        shown |= (render_rooms(empty, queries, image_size=image_size) != truth[index]).any(-1)
    return AnalogyViews(frames[:, :, :num_context], cameras, truth, queries, shown)


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
    intervals = [
        interval_of(
            errors - rendered.errors[metric][UNCHANGED],
            quantity=f"{metric}, minus that of r(A)",
            case=factor,
            series=f"{label}: {name}" if len(found) > 1 else name,
        )
        for metric in (WHOLE, OBJECT)
        for label, factors in found.items()
        for factor, rendered in factors.items()
        for name, errors in rendered.errors[metric].items()
        if name != UNCHANGED
    ]
    return interval_findings(
        "algebra",
        claims=algebra_claims(found),
        intervals=intervals,
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
