"""What r holds of the factors of a scene: effects of changing one of them, and linear probes for each.

Rooms with a single object are rendered with one factor changed (colour, shape, size or position of the object, wall,
floor): one value is replaced by another, the same two in every room, for example red by blue. Measured per room: the
distance that the change moves the features of N views, relative to that of taking other N views; and the mean cosine
between the movements of different rooms, which is 1 if a factor has one direction whatever the other factors are
(factorisation, Eslami et al. 2018, figure 3), and 0 by chance. Linear probes predict every factor from the same features,
cross-validated over rooms. All of it is compared with the latents of a VAE and with pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.intervals import interval_figure, interval_findings, interval_of
from zoo.analysis.single_objects import (
    DrawnRooms,
    Solid,
    colour_of,
    draw_single_object_rooms,
    render_rooms,
    solid_of,
    with_solid,
    with_walls,
)
from zoo.analysis.view_sets import Systems, missing_representation, systems_of, usable_sizes
from zoo.data.factors.hues import hue_of
from zoo.data.factors.room_factors import RoomFactors
from zoo.data.render.rooms import REACH, SIZES
from zoo.errors import ConfigError
from zoo.evaluation.probes import FOLDS, classification_hits, relative_errors
from zoo.evaluation.representations import Describe

SET_SIZES = (4, 3, 2, 1)  # N, views of a set: the first that the models were trained with
CONSTANT = "constant guess"
NAMED, NUMBERS = "rightly named by a linear probe (share)", "variance explained by a linear probe (share)"
MOVEMENT = "movement by the factor / by other views"
AGREEMENT = "cosine of movements between rooms"
FEWEST_ROOMS = 2 * FOLDS.get_n_splits()
LABELS = ("colour", "shape", "wall", "floor")  # named factors; the others are numbers
SHIFT = 0.8  # scene units either way from the middle of the room

Change = Callable[[RoomFactors], tuple[RoomFactors, RoomFactors]]


def _of_solid(before: Callable[[Solid], Solid], after: Callable[[Solid], Solid]) -> Change:
    """Returns the change that puts two versions of a room's object into the room."""

    def change(room: RoomFactors) -> tuple[RoomFactors, RoomFactors]:
        solid = solid_of(room)
        return with_solid(room, before(solid)), with_solid(room, after(solid))

    return change


def _moved(solid: Solid, *, x: float) -> Solid:
    """Moves an object along x; y is such that both places are within the reach of drawn objects."""
    most = math.sqrt(REACH**2 - x**2)
    return solid._replace(x=x, y=min(max(solid.y, -most), most))


CHANGES: Mapping[str, Change] = {
    "colour": _of_solid(
        lambda solid: solid._replace(colour=colour_of("red")), lambda solid: solid._replace(colour=colour_of("blue"))
    ),
    "shape": _of_solid(lambda solid: solid._replace(shape="sphere"), lambda solid: solid._replace(shape="box")),
    "size": _of_solid(lambda solid: solid._replace(size=SIZES[0]), lambda solid: solid._replace(size=SIZES[1])),
    "position": _of_solid(lambda solid: _moved(solid, x=-SHIFT), lambda solid: _moved(solid, x=SHIFT)),
    "wall": lambda room: (with_walls(room, wall="red"), with_walls(room, wall="green")),
    "floor": lambda room: (with_walls(room, floor="yellow floor"), with_walls(room, floor="blue floor")),
}


class ChangeEffects(NamedTuple):
    """The effects of one change on the features of n rooms."""

    movement: np.ndarray  # [n]: distance that the change moves the features, divided by that of a change of all views
    agreement: np.ndarray  # [n]: mean cosine between the movements of two rooms, by :func:`mean_cosine_scores`


class ChangedViews(NamedTuple):
    """Views of rooms before and after a change, and other views before it."""

    before: np.ndarray  # [n, N, H, W, 3] uint8
    after: np.ndarray  # [n, N, H, W, 3], from the same cameras
    elsewhere: np.ndarray  # [n, N, H, W, 3] of the rooms before the change, from other cameras
    cameras: np.ndarray  # [n, N, 5]
    other_cameras: np.ndarray  # [n, N, 5]


def changed_views(rooms: DrawnRooms, change: Change, *, num_views: int, image_size: int) -> ChangedViews:
    """Renders rooms before and after a change from their first N = ``num_views`` cameras, and from their next N."""
    before, after = zip(*(change(room) for room in rooms.factors), strict=True)
    first, second = rooms.cameras[:, :num_views], rooms.cameras[:, num_views : 2 * num_views]
    return ChangedViews(
        before=render_rooms(before, first, image_size=image_size),
        after=render_rooms(after, first, image_size=image_size),
        elsewhere=render_rooms(before, second, image_size=image_size),
        cameras=first,
        other_cameras=second,
    )


def change_effects(views: ChangedViews, describe: Describe) -> ChangeEffects:
    """Returns how far and how consistently a change moves the features of rooms."""
    before, after = describe(views.before, views.cameras), describe(views.after, views.cameras)
    by_views = np.linalg.norm(describe(views.elsewhere, views.other_cameras) - before, axis=1)
    movement = (after - before).astype(float)
    return ChangeEffects(
        movement=np.linalg.norm(movement, axis=1) / np.maximum(by_views, np.finfo(float).tiny),
        agreement=mean_cosine_scores(movement),
    )


def mean_cosine_scores(vectors: np.ndarray) -> np.ndarray:
    """Returns scores [n] of n >= 3 vectors [n, D], whose mean is the mean cosine of two of them; a zero vector has cosine 0.

    They are the jackknife's pseudo-values: n times the mean cosine of all vectors minus n - 1 times that of all but one.
    Every pair counts for both of its vectors, so that the mean cosines of each vector with the others are not independent:
    their standard error would be half of that of their mean, the standard error of the pseudo-values is right (Arvesen
    1969, Jackknifing U-statistics).
    """
    count, lengths = len(vectors), np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0.0, lengths, 1.0)
    with_others = (units @ units.sum(0) - np.square(units).sum(1)) / (count - 1)
    return (2.0 * (count - 1) * with_others - count * with_others.mean()) / (count - 2)


missing = missing_representation


def run(given: AnalysisInputs) -> Findings:
    """Renders the rooms and their changes, and measures all systems on them.

    Raises:
        ConfigError: for fewer rooms than the probes' cross-validation needs.
    """
    if given.num_scenes < FEWEST_ROOMS:
        raise ConfigError(f"factors: found {given.num_scenes} scenes, expected {FEWEST_ROOMS} or more to probe")
    systems = systems_of(given)
    size = usable_sizes(given, systems, sizes=SET_SIZES)[0]
    rooms = draw_single_object_rooms(given.scenes.name, num_scenes=given.num_scenes, seed=given.seed)
    cameras, targets = rooms.cameras[:, :size], targets_of(rooms.factors)
    frames = render_rooms(rooms.factors, cameras, image_size=given.scenes.image_size)
    features = {label: describe(frames, cameras) for label, describe in systems.describe.items()}
    features[CONSTANT] = np.zeros((len(frames), 1))
    scores = {label: probe(found, targets) for label, found in features.items()}
    effects: dict[str, dict[str, ChangeEffects]] = {label: {} for label in systems.describe}
    for factor, change in CHANGES.items():
        given.log(f"changing the {factor} in {given.num_scenes} rooms, {size} views each")
        views = changed_views(rooms, change, num_views=size, image_size=given.scenes.image_size)
        for label, describe in systems.describe.items():
            effects[label][factor] = change_effects(views, describe)
    probes = [
        interval_of(values, quantity=NAMED if factor in LABELS else NUMBERS, case=factor, series=label)
        for label, found in scores.items()
        for factor, values in found.items()
    ]
    changes = [
        interval_of(getattr(effect, name), quantity=quantity, case=factor, series=label)
        for name, quantity in (("movement", MOVEMENT), ("agreement", AGREEMENT))
        for label, by_factor in effects.items()
        for factor, effect in by_factor.items()
    ]
    title = f"{ANALYSES['factors'].title}: one factor changes, {size} views"
    findings = interval_findings(
        "factors",
        claims=factor_claims(scores, effects, systems),
        intervals=probes,
        about=f": linear probes given {size} views",
        level=0.0,
        sheets={"changes": interval_figure(changes, title=title, level=0.0)},
    )
    return findings._replace(table=pd.DataFrame([*probes, *changes]))


def targets_of(rooms: Sequence[RoomFactors]) -> dict[str, np.ndarray]:
    """Returns what the probes predict: names [n] of colour, shape, wall and floor, numbers [n, K] of size and position."""
    solids = [solid_of(room) for room in rooms]
    return {
        "colour": np.array([hue_of(solid.colour) for solid in solids]),
        "shape": np.array([solid.shape for solid in solids]),
        "wall": np.array([room.room.wall for room in rooms]),
        "floor": np.array([room.room.floor for room in rooms]),
        "size": np.array([[solid.size] for solid in solids]),
        "position": np.array([[solid.x, solid.y] for solid in solids]),
    }


def probe(features: np.ndarray, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns factor -> score [n]: 1 or 0 for names, 1 - relative squared error for numbers; more is better."""
    return {
        factor: classification_hits(features, values) if factor in LABELS else 1.0 - relative_errors(features, values)
        for factor, values in targets.items()
    }


def factor_claims(
    scores: Mapping[str, Mapping[str, np.ndarray]],
    effects: Mapping[str, Mapping[str, ChangeEffects]],
    systems: Systems,
) -> list[Claim]:
    """Compares r with the other systems, room by room: every probe, and the effects averaged over the factors."""
    expectations = []
    for label, other in systems.pairs:
        for factor, values in scores[label].items():
            text = f"{label}: a linear probe knows less of the {factor} from {other} than from r"
            unit = "of the rooms" if factor in LABELS else "of the variance"
            expectations.append(Expectation.less(text, scores[other][factor], values, unit=unit))
        for name, text, unit in (
            ("movement", "factors move {other} less, relative to other views, than r", "ratio"),
            ("agreement", "a factor moves {other} less alike in all rooms than r", "cosine"),
        ):
            theirs, own = (
                np.mean([getattr(effect, name) for effect in effects[system].values()], axis=0)
                for system in (other, label)
            )
            expectations.append(Expectation.less(f"{label}: {text.format(other=other)}", theirs, own, unit=unit))
    return conclude(expectations)
