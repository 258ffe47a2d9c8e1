"""What training did not show: more context views, more objects, and cameras off the ring of the rooms.

A sum of representations grows with the number of views, so that numbers beyond those of training are new to the rest of the
model; a mean or attention does not. Objects and cameras are changed in the built-in rooms that are seen from a ring; models
of other data sets are given more views alone.

A drawn room is shown with its first 1, 2, ... objects: walls, light and cameras stay, so that errors are paired. A model
could ignore what is new. Two controls show whether it does: an image of all objects, given views without the added ones;
and an image from a moved camera, compared with what is predicted at the ring.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from zoo.analysis.claims import Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.requirements import missing_views
from zoo.analysis.scores import COMPARED, QUANTITIES, Scores, panels_of, score_by_context
from zoo.analysis.single_objects import render_rooms
from zoo.analysis.trends import trend_figure, trend_findings, trend_table
from zoo.data.factors.room_factors import RoomFactors
from zoo.data.render.recipes import RECIPES, Recipe
from zoo.data.render.rng import scene_generator, uniform
from zoo.data.render.rooms import REACH, RING, Ring, draw_ring_cameras
from zoo.data.scene import Scene
from zoo.errors import DataError
from zoo.figures.sheets import ImageGroup
from zoo.figures.trends import TrendPanel, trend_of
from zoo.figures.views import frames_of
from zoo.training.trained_model import TrainedModel

ALONG = "context views"
MORE_OBJECTS = 2  # than in training, at most
OBJECTS, HEIGHT, RADIUS = "number of objects", "height of the camera", "distance of the camera"  # from the middle
HEIGHTS, RADII = (0.75, 1.05, RING.height, 1.65, 1.95), (2.2, 2.5, 2.8, RING.radius, 3.4)  # scene units
RINGS: Mapping[str, tuple[Ring, ...]] = {
    HEIGHT: tuple(RING._replace(height=height) for height in HEIGHTS),
    RADIUS: tuple(RING._replace(radius=radius) for radius in RADII),
}
ROWS = 4  # scenes of the sheet


missing = missing_views


class UnseenRooms(NamedTuple):
    """n rooms with 1 to K objects, K of them more than in training, seen from the ring and by one moved camera."""

    by_objects: Sequence[Sequence[Scene]]  # [n][K]: the last view of each is predicted from those before it
    moved: Mapping[str, np.ndarray]  # HEIGHT or RADIUS -> [n, rings, 5]: cameras in the direction of the last view
    truth: Mapping[str, np.ndarray]  # HEIGHT or RADIUS -> [n, rings, H, W, 3] uint8, with the most objects of training
    most: int  # objects in training

    @property
    def positions(self) -> dict[str, Sequence[float]]:
        """The values of what is changed."""
        return {OBJECTS: range(1, self.most + MORE_OBJECTS + 1), HEIGHT: HEIGHTS, RADIUS: RADII}

    @property
    def known(self) -> dict[str, np.ndarray]:
        """The place among the positions of what a model would predict if it ignored the change."""
        numbers = np.minimum(np.arange(self.most + MORE_OBJECTS), self.most - 1)
        rings = {name: np.full(len(each), each.index(RING)) for name, each in RINGS.items()}
        return {OBJECTS: numbers, **rings}


class RoomErrors(NamedTuple):
    """Squared errors of n rooms in the 0-to-1 range, and what the first of them look like."""

    errors: Mapping[str, np.ndarray]  # what is changed -> [positions, n]
    controls: Mapping[str, np.ndarray]  # the same of predictions that ignore the change
    truth: Mapping[str, np.ndarray]  # what is changed -> [positions, R, H, W, 3] uint8
    images: Mapping[str, np.ndarray]  # predictions, in the same shapes


def ring_recipe(dataset: str) -> Recipe | None:
    """Returns the built-in data set of this name if it has rooms with solid objects, seen from the ring; otherwise None."""
    recipe = RECIPES.get(dataset)
    if not isinstance(recipe, Recipe) or recipe.factor_class is not RoomFactors:
        return None
    return recipe if recipe.draw_cameras is draw_ring_cameras else None


def draw_unseen_rooms(recipe: Recipe, *, num_scenes: int, num_context: int, image_size: int, seed: int) -> UnseenRooms:
    """Draws rooms with more objects than the scenes of a data set, and renders them with 1, 2, ... of these objects."""
    drawn = [recipe.draw(seed=seed, split="test", index=index) for index in range(num_scenes)]
    most = max(len(each.scene.objects) for each in drawn)
    total = most + MORE_OBJECTS
    rooms, ring = [], []
    moved: dict[str, list[list[tuple[float, ...]]]] = {name: [] for name in RINGS}
    for index in range(num_scenes):
        rng = scene_generator(
            recipe=f"{recipe.name} with more objects", version=recipe.version, seed=seed, split="test", index=index
        )
        # Anywhere that the ring does not reach, also where the data set has its one object in the middle.
        scene, _ = recipe.draw_scene(rng, fewest=total, most=total, reach=REACH)
        rooms.append(RoomFactors.of(scene))
        around = uniform(rng, -math.pi, math.pi)
        ring.append([*draw_ring_cameras(rng, num_views=num_context), RING.camera(around)])
        for name, rings in RINGS.items():
            moved[name].append([each.camera(around) for each in rings])
    cameras = np.array(ring, np.float32)
    places = {name: np.array(each, np.float32) for name, each in moved.items()}
    versions = []
    for number in range(1, total + 1):
        frames = render_rooms(_with_first(rooms, number), cameras, image_size=image_size)
        versions.append([Scene(*views) for views in zip(frames, cameras, strict=True)])
    inside = _with_first(rooms, most)
    truth = {name: render_rooms(inside, each, image_size=image_size) for name, each in places.items()}
    return UnseenRooms(list(zip(*versions, strict=True)), places, truth, most)


def _with_first(rooms: Sequence[RoomFactors], number: int) -> list[RoomFactors]:
    """Returns rooms with the first objects of each."""
    return [room.model_copy(update={"objects": room.objects[:number]}) for room in rooms]


def score_rooms(given: AnalysisInputs, trained: TrainedModel, rooms: UnseenRooms) -> RoomErrors:
    """Predicts the last view of every room with 1 to K objects, and the views of moved cameras."""
    predicted: dict[str, list[np.ndarray]] = {name: [] for name in rooms.positions}  # [n] of [positions, H, W, 3]

    def predict(scene: Scene, cameras: np.ndarray) -> np.ndarray:
        context = range(scene.num_views - 1)
        return trained.predict(scene, cameras, context=context, samples=given.num_samples, seed=given.seed).mean

    for index, versions in enumerate(rooms.by_objects):
        predicted[OBJECTS].append(np.concatenate([predict(scene, scene.cameras[-1:]) for scene in versions]))
        cameras = np.concatenate([rooms.moved[name][index] for name in RINGS])
        images = predict(versions[rooms.most - 1], cameras)
        for name, part in zip(RINGS, np.split(images, len(RINGS)), strict=True):
            predicted[name].append(part)
    last = np.stack([[scene.frames[-1] for scene in versions] for versions in rooms.by_objects])
    truth = {name: frames.swapaxes(0, 1) for name, frames in {OBJECTS: last, **rooms.truth}.items()}
    mean = {name: np.stack(images, 1) for name, images in predicted.items()}  # [positions, n, H, W, 3]

    def errors_of(images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.square(each - truth[name] / 255.0).mean((2, 3, 4)) for name, each in images.items()}

    return RoomErrors(
        errors=errors_of(mean),
        controls=errors_of({name: each[rooms.known[name]] for name, each in mean.items()}),
        truth={name: frames[:, :ROWS] for name, frames in truth.items()},
        images={name: frames_of(each[:, :ROWS]) for name, each in mean.items()},
    )


def room_panels(found: Mapping[str, RoomErrors], rooms: UnseenRooms) -> list[TrendPanel]:
    """Returns a panel of errors for every kind of change, with the predictions that ignore it."""
    inside = {OBJECTS: f"1 to {rooms.most}", HEIGHT: f"{RING.height}", RADIUS: f"{RING.radius}"}
    return [
        TrendPanel(
            "MSE of the mean prediction",
            [
                trend_of(f"{label}{suffix}", positions, list(scores[name]))
                for label, each in found.items()
                for suffix, scores in ((", ignoring the change", each.controls), ("", each.errors))
            ],
            along=f"{name} (in training: {inside[name]})",
        )
        for name, positions in rooms.positions.items()
    ]


def room_expectations(found: Mapping[str, RoomErrors], rooms: UnseenRooms) -> list[Expectation]:
    """Compares predictions outside of training with those that ignore what is new, room by room."""
    texts = {
        OBJECTS: f"more objects than {rooms.most}, the most of training, are predicted better given views with them than without",
        HEIGHT: "a camera above or below the ring sees its own view, rather than that of the ring",
        RADIUS: "a camera nearer or farther than the ring sees its own view, rather than that of the ring",
    }
    return [
        Expectation.least_sure(
            f"{label}: {text}",
            [
                each.errors[name][place] - each.controls[name][place]
                for place, known in enumerate(rooms.known[name])
                if place != known
            ],
            unit="MSE in the least sure case",
            note=f"{each.errors[name].mean():.4g} over all cases",
        )
        for label, each in found.items()
        for name, text in texts.items()
    ]


def room_groups(found: Mapping[str, RoomErrors], rooms: UnseenRooms) -> list[ImageGroup]:
    """Returns true and predicted images of the first rooms, inside of training and at the ends of every change."""
    chosen = {OBJECTS: (rooms.most - 1, -1), HEIGHT: (0, -1), RADIUS: (0,)}
    first = next(iter(found.values()))
    groups = []
    for name, places in chosen.items():
        for place in places:
            caption = f"{name} {rooms.positions[name][place]}"
            shown = {"truth": first.truth, **{label: each.images for label, each in found.items()}}
            columns = np.stack([images[name][place] for images in shown.values()], axis=1)
            groups.append(ImageGroup(f"{caption}\n{' | '.join(shown)}", columns))
    return groups


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
