"""Where was a picture taken? Two ways to say it, and what they say where several places look alike.

A reversed GQN with attention is trained to tell the camera of a picture directly, as maps of probability. Its rooms are
square with four walls alike: a picture that shows little but walls may have been taken from four sides, and its map
shows all four. A GQN that follows rays through its context is trained to predict pictures, and inverted: cameras are
sought whose predicted picture is the one that was taken; the more views of the room it has, the better that goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.data.source import Split
from zoo.demonstration import Claim, Workshop
from zoo.evaluation.localisation import Located, Search, localise
from zoo.evaluation.pose_grid import PosePrior, grid_over, read_cameras
from zoo.report.probability_maps import FloorMap, MapRow, probability_maps
from zoo.report.statistics import bootstrap_difference
from zoo.schedules import evaluation_knobs
from zoo.training.run import TrainedModel

TITLE = "Pictures are localised directly and by inversion, and maps have several modes where places look alike"
PAPER = "Rosenbaum et al. 2018, Learning models for visual 3D localization with implicit mapping, arXiv 1807.03149"
MINUTES = 10

DATASET = "rooms_ring_camera"
QUARTER, NEAR = 90.0, 15.0  # degrees
LEAST = 3.0  # standard errors by which a claim has to hold
ROWS = 3  # pictures of each way in the figure


class Way(NamedTuple):
    """One of the two ways: which model, trained on what, localises what."""

    variant: str
    label: str
    overrides: tuple[str, ...]
    image_size: int
    num_views: int | None
    num_scenes: Mapping[Split, int]
    contexts: tuple[int, int]  # few and many
    scenes: int  # test scenes that are localised
    grid: tuple[int, int]  # places a side, directions


ASKED = Way(
    variant="reversed-gqn-attention",
    label="reversed-gqn-attention",
    overrides=(),
    image_size=16,
    num_views=None,
    num_scenes={"train": 4000, "validation": 64, "test": 200},
    contexts=(0, 8),
    scenes=200,
    grid=(20, 24),
)
INVERTED = Way(
    variant="gqn-epipolar",
    label="gqn-epipolar-to-invert",
    overrides=(
        "encoder.channels=32",
        "core.steps=3",
        "core.z_channels=4",
        "core.hidden_channels=32",
        "core.canvas_channels=16",
        "core.read_channels=16",
        "core.key_channels=16",
        "core.value_channels=32",
        "training.steps=800",
        "training.learning_rate={start: 1.0e-3, end: 4.0e-4, steps: 800}",
        "training.sigma={start: 0.3, end: 0.3, steps: 0}",
    ),
    image_size=32,
    num_views=13,
    num_scenes={"train": 1000, "validation": 64, "test": 128},
    contexts=(2, 10),
    scenes=24,  # every candidate is a picture to predict
    grid=(12, 14),
)

Found = dict[int, list[Located]]  # number of context views -> the same pictures


def run(workshop: Workshop) -> list[Claim]:
    """Trains a reversed and a predicting model, localises test pictures with both, and draws ``localisation.png``."""
    asked, inverted = (find(workshop, way) for way in (ASKED, INVERTED))
    draw(workshop.picture("localisation"), asked, inverted)
    return [*judge_asked(asked), *judge_inverted(inverted)]


def find(workshop: Workshop, way: Way) -> Found:
    """Trains the model of a way and localises its test pictures, given few and many views."""
    data = workshop.dataset(DATASET, num_scenes=way.num_scenes, image_size=way.image_size, num_views=way.num_views)
    trained = workshop.trained(way.variant, data=data, overrides=way.overrides, label=way.label)
    workshop.tell(
        f"{way.variant}: localising {way.scenes} pictures given {way.contexts[0]} and {way.contexts[1]} views"
    )
    return {number: localised(trained, data, way, num_context=number) for number in way.contexts}


def localised(trained: TrainedModel, data: Path, way: Way, *, num_context: int) -> list[Located]:
    """Localises the first target of the first test scenes given so many views."""
    test, known = open_scenes(data, "test"), read_cameras(open_scenes(data, "train"))
    places, turns = way.grid
    prior = PosePrior("cameras", grid=grid_over(known, places=places, turns=turns), cameras=known)
    return list(
        localise(
            trained.model,
            test,
            EvaluationPlan(test, num_context=num_context, num_targets=1, max_scenes=way.scenes),
            knobs=evaluation_knobs(trained.variant.training),
            prior=prior,
            search=Search(starts=2, steps=20, batch_size=32),
            device="cpu",
        )
    )


def draw(path: Path, asked: Found, inverted: Found) -> None:
    """Draws some pictures of both ways: for the reversed model those whose maps without context have most modes."""
    few, _ = ASKED.contexts
    ambiguous = np.argsort([-one.modes for one in asked[few]], kind="stable")[:ROWS]
    rows = [
        MapRow(
            label=f"{name} {place}",
            picture=found[way.contexts[0]][place].picture,
            maps=[
                FloorMap.of(found[number][place], title=f"{number} views: {found[number][place].told}")
                for number in way.contexts
            ],
        )
        for name, way, found, places in (
            ("asked", ASKED, asked, ambiguous.tolist()),
            ("inverted", INVERTED, inverted, range(ROWS)),
        )
        for place in places
    ]
    probability_maps(path, rows, title="Reversed GQN, then GQN inverted")


def values(found: Sequence[Located], of: Callable[[Located], float]) -> np.ndarray:
    """Returns a number of every picture, [pictures] float64."""
    return np.array([float(of(one)) for one in found])


def better_than_guessing(name: str, found: Sequence[Located], *, share: float) -> list[Claim]:
    """Claims that errors are below a share of those of the best constant guess, paired over the pictures."""
    measured = (
        ("position", "scene units", [(one.position_error, one.guess_position_error) for one in found]),
        ("yaw", "degrees", [(one.angle_error, one.guess_angle_error) for one in found]),
    )
    claims = []
    for what, unit, pairs in measured:
        ours, guess = np.array(pairs).T
        text = (
            f"{name}: the error of {what}, {ours.mean():.3g} {unit}, is below {share:g} of the {guess.mean():.3g} of the "
            "best constant guess"
        )
        difference = bootstrap_difference(ours - share * guess)
        claims.append(Claim.below_zero(text, difference, unit=unit, standard_errors=LEAST))
    return claims


def quarter_turns(one: Located) -> float:
    """Returns the probability of a yaw within 15 degrees of the true one or of a quarter, half or three-quarter turn."""
    mass = np.exp(one.log_mass).sum((0, 1))
    away = np.degrees(one.grid.yaw.numpy() - one.truth[3])
    return float(mass[np.abs((away + QUARTER / 2) % QUARTER - QUARTER / 2) < NEAR].sum())


def judge_asked(asked: Found) -> list[Claim]:
    """Tests what the reversed model says with and without a context."""
    few, many = ASKED.contexts
    several = values(asked[few], lambda one: one.modes > 1)
    alike = values([one for one in asked[few] if one.modes > 1], quarter_turns)
    by_chance = 2.0 * NEAR / QUARTER
    entropy = bootstrap_difference(
        values(asked[many], lambda one: one.entropy) - values(asked[few], lambda one: one.entropy)
    )
    return [
        *better_than_guessing(f"asked, {many} views", asked[many], share=0.5),
        Claim.below_zero(
            f"asked, {few} views: more than a quarter of the maps ({several.mean():.0%}) have several modes",
            bootstrap_difference(0.25 - several),
            unit="of the maps",
            standard_errors=LEAST,
        ),
        Claim.below_zero(
            f"asked, {few} views: where there are several, they are quarter turns of the room ({alike.mean():.0%} of the "
            f"probability, {by_chance:.0%} by chance)",
            bootstrap_difference(2.0 * by_chance - alike),
            unit="of the probability, below twice that of chance",
            standard_errors=LEAST,
        ),
        Claim.below_zero(
            f"asked: the entropy of the maps falls from {few} to {many} views",
            entropy,
            unit="nats",
            standard_errors=LEAST,
        ),
    ]


def judge_inverted(inverted: Found) -> list[Claim]:
    """Tests what inversion finds with few and with many views."""
    few, many = INVERTED.contexts
    difference = values(inverted[many], lambda one: one.position_error) - values(
        inverted[few], lambda one: one.position_error
    )
    return [
        *better_than_guessing(f"inverted, {many} views", inverted[many], share=0.5),
        Claim.below_zero(
            f"inverted: the error of position falls from {few} to {many} views",
            bootstrap_difference(difference),
            unit="scene units",
            standard_errors=LEAST,
        ),
    ]
