"""Localisation of images: directly with reversed GQNs, and by inversion of a GQN that predicts images.

Rooms are square with four equal walls: unless the pattern of the floor is visible, an image may have been taken from two or
four sides, and the maps of reversed GQNs have as many modes. The categorical maps of the paper factorise position and
direction; a mixture represents them jointly. These small models have no context: using one takes longer training.

Inversion searches for cameras whose predicted image is the given one; it improves with the number of context views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.context import SMALL_CORE, AnalysisContext
from zoo.analysis.scores import evaluation_of
from zoo.data.opening import open_scenes
from zoo.data.source import Split
from zoo.evaluation.localisation import Located, Search, localise
from zoo.evaluation.pose_grid import PosePrior, grid_over, read_cameras
from zoo.figures.probability_maps import probability_maps

DATASET = "rooms_ring_camera"
NEAR = 15.0  # degrees
SHARE = 0.5  # the largest error, relative to the best constant estimate
ROWS = 3  # images per method in the figure


class Method(NamedTuple):
    """A model, its training data, and the images that it localises."""

    variant: str
    image_size: int
    num_scenes: Mapping[Split, int]
    scenes: Mapping[int, int]  # number of context views -> number of test scenes
    grid: tuple[int, int]  # positions per side, directions
    search: Search
    overrides: tuple[str, ...] = ()
    num_views: int | None = None


MAPS = Method(
    variant="reversed-gqn-attention",
    image_size=16,
    num_scenes={"train": 4000, "validation": 64, "test": 200},
    scenes={0: 200},
    grid=(20, 24),
    search=Search(starts=2, steps=20, batch_size=4096),
)
MIXTURE = MAPS._replace(variant="reversed-gqn-latent", search=replace(MAPS.search, samples=8))
INVERTED = Method(
    variant="gqn-epipolar",
    overrides=(
        *SMALL_CORE,
        "core.key_channels=16",
        "core.value_channels=32",
        "training.steps=1600",
        "training.learning_rate={start: 1.0e-3, end: 2.0e-4, steps: 1600}",
        "training.sigma={start: 0.4, end: 0.4, steps: 0}",
    ),
    image_size=32,
    num_views=13,
    num_scenes={"train": 1000, "validation": 64, "test": 128},
    scenes={2: 30, 10: 120},  # every candidate camera costs a prediction
    grid=(16, 18),
    search=replace(MAPS.search, batch_size=32),
)

Found = dict[int, list[Located]]  # number of context views -> one localised image per test scene, in order


def run(context: AnalysisContext) -> list[Claim]:
    """Trains reversed and predicting models, localises test images, and draws ``localisation.png``."""
    maps, mixture, inverted = (find(context, method) for method in (MAPS, MIXTURE, INVERTED))
    draw_maps(context.image("localisation"), maps[0], mixture[0], inverted)
    return conclude([*direct_expectations(maps[0], mixture[0]), *inversion_expectations(inverted)])


def find(context: AnalysisContext, method: Method) -> Found:
    """Trains the model of a method and localises the first target of test scenes, for each number of context views."""
    data = context.dataset(
        DATASET, num_scenes=method.num_scenes, image_size=method.image_size, num_views=method.num_views
    )
    label = f"{method.variant}-to-localise"
    trained = context.trained(method.variant, data=data, overrides=method.overrides, label=label)
    test, known = open_scenes(data, "test"), read_cameras(open_scenes(data, "train"))
    places, turns = method.grid
    prior = PosePrior("cameras", grid=grid_over(known, places=places, turns=turns), cameras=known)
    found = {}
    for number, scenes in method.scenes.items():
        context.log(f"{method.variant}: localising {scenes} images given {number} views")
        evaluation = evaluation_of(trained, test, num_context=number, num_scenes=scenes)
        found[number] = localise(trained.model, evaluation, prior=prior, search=method.search)
    return found


def draw_maps(path: Path, maps: list[Located], mixture: list[Located], inverted: Found) -> None:
    """Draws the images whose categorical maps have most modes, and images inverted with few and many views."""
    ambiguous = np.argsort([-one.modes for one in maps], kind="stable")[:ROWS]
    rows = [{"maps": maps[place], "mixture": mixture[place]} for place in ambiguous]
    rows += [{f"{number} views": inverted[number][place] for number in INVERTED.scenes} for place in range(ROWS)]
    probability_maps(path, rows, title="Direct (reversed GQN: maps, mixture) and inverted (GQN: numbers of views)")


def values(found: Sequence[Located], of: Callable[[Located], float]) -> np.ndarray:
    """Returns one number per image, [images] float64."""
    return np.array([float(of(one)) for one in found])


def error_expectations(name: str, found: Sequence[Located]) -> list[Expectation]:
    """Expects errors below half of those of the best constant estimate, paired over the images."""
    errors = (
        ("position", "scene units", [(one.position_error, one.prior_position_error) for one in found]),
        ("yaw", "degrees", [(one.angle_error, one.prior_angle_error) for one in found]),
    )
    expectations = []
    for quantity, unit, pairs in errors:
        ours, constant = np.array(pairs).T
        text = f"{name}: the error of {quantity} is below {SHARE:g} of that of the best constant estimate"
        note = f"{ours.mean():.3g} against {constant.mean():.3g} {unit}"
        expectations.append(Expectation.below_zero(text, ours - SHARE * constant, unit=unit, note=note))
    return expectations


def mass_elsewhere(one: Located) -> float:
    """Returns the probability of a yaw that is more than 15 degrees from the true one."""
    return 1.0 - _mass_near(one, period=360.0)


def mass_at_quarter_turns(one: Located) -> float:
    """Returns the probability of a yaw within 15 degrees of a quarter, half or three-quarter turn from the true one."""
    return _mass_near(one, period=90.0) - _mass_near(one, period=360.0)


def _mass_near(one: Located, *, period: float) -> float:
    """Returns the probability of the yaws within 15 degrees of the true one plus any multiple of the period."""
    near = _degrees_off(one.grid.yaw.numpy() - one.truth[3], period=period) < NEAR
    return float(np.exp(one.log_mass).sum((0, 1))[near].sum())


def _degrees_off(angles: np.ndarray, *, period: float = 360.0) -> np.ndarray:
    """Returns the distances of angles in radians from the nearest multiple of a period, both in degrees."""
    return np.abs((np.degrees(angles) + period / 2) % period - period / 2)


def mass_facing_centre(one: Located) -> float:
    """Returns the probability of cameras that face the centre of the room within 30 degrees."""
    y, x, yaw = np.meshgrid(one.grid.y.numpy(), one.grid.x.numpy(), one.grid.yaw.numpy(), indexing="ij")
    return float(np.exp(one.log_mass)[_degrees_off(yaw - np.arctan2(-y, -x)) < 2.0 * NEAR].sum())


def direct_expectations(maps: Sequence[Located], mixture: Sequence[Located]) -> list[Expectation]:
    """Compares the two reversed models on the same images."""
    several = values(maps, lambda one: one.modes > 1)
    wrong, quarters = values(maps, mass_elsewhere), values(maps, mass_at_quarter_turns)
    by_chance = 3.0 * 2.0 * NEAR / (360.0 - 2.0 * NEAR)
    return [
        *error_expectations("direct, maps", maps),
        Expectation.below_zero(
            "direct: more than a quarter of the maps have several modes",
            0.25 - several,
            unit="of the maps",
            note=f"{several.mean():.0%}",
        ),
        Expectation.below_zero(
            "direct: more than half of the probability away from the true yaw is at quarter turns from it",
            0.5 * wrong - quarters,
            unit="of the probability",
            note=f"{quarters.sum() / wrong.sum():.0%}, by chance {by_chance:.0%}",
        ),
        Expectation.less(
            "direct: the true camera has a lower density under the cameras of other scenes than under the mixture",
            values(mixture, lambda one: one.prior_log_density),
            values(mixture, lambda one: one.log_density),
            unit="nats",
        ),
        Expectation.less(
            "direct: probable cameras face the centre of the room, as all do, less often with maps than with the mixture",
            values(maps, mass_facing_centre),
            values(mixture, mass_facing_centre),
            unit="of the probability",
        ),
    ]


def inversion_expectations(inverted: Found) -> list[Expectation]:
    """Compares inversion with few and with many context views."""
    few, many = INVERTED.scenes
    with_few, with_many = (values(inverted[number], lambda one: one.position_error) for number in (few, many))
    return [
        *error_expectations(f"inverted, {many} views", inverted[many]),
        Expectation.less(
            f"inverted: the error of position is lower with {many} views than with {few}",
            with_many[: len(with_few)],
            with_few,
            unit="scene units",
        ),
    ]
