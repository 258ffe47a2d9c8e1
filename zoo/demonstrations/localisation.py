"""Where was a picture taken? Two ways to say it, and what they say where several places look alike.

A reversed GQN is trained to tell the camera of a picture directly, as maps of probability. Its rooms are square with
four walls alike, so that without a context a picture may have been taken from four sides, and its maps show them. A
GQN that follows rays through its context is trained to predict pictures, and inverted: cameras are sought whose
predicted picture is the one that was taken; the more views of the room it has, the better that goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

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
MINUTES = 9

DATASET = "rooms_ring_camera"
REVERSED, RENDERER = "reversed-gqn", "gqn-epipolar"
REVERSED_SCENES: Mapping[Split, int] = {"train": 4000, "validation": 64, "test": 200}
REVERSED_SIZE = 16
RENDERED_SCENES: Mapping[Split, int] = {"train": 1000, "validation": 64, "test": 128}
RENDERED_SIZE, RENDERED_VIEWS = 32, 13
RENDERER_CHANGES = (
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
)
INVERTED = 32  # test scenes: every candidate is a picture to predict
FEW, MANY = 2, 10  # context views of the renderer
PLACES, TURNS = 20, 24
INVERTED_PLACES, INVERTED_TURNS = 14, 14
ROWS = 3  # pictures of each way in the figure
QUARTER, NEAR = 90.0, 15.0  # degrees
LEAST = 3.0  # standard errors by which a claim has to hold


def run(workshop: Workshop) -> list[Claim]:
    """Trains a reversed and a predicting model, localises test pictures with both, and draws ``localisation.png``."""
    data = workshop.dataset(DATASET, num_scenes=REVERSED_SCENES, image_size=REVERSED_SIZE)
    reversed_gqn = workshop.trained(REVERSED, data=data)
    asked = find(reversed_gqn, data, contexts=(0,), scenes=REVERSED_SCENES["test"], grid=(PLACES, TURNS))
    data = workshop.dataset(
        DATASET, num_scenes=RENDERED_SCENES, image_size=RENDERED_SIZE, num_views=RENDERED_VIEWS
    )
    renderer = workshop.trained(RENDERER, data=data, overrides=RENDERER_CHANGES, label="renderer-to-invert")
    workshop.tell(f"inverting {RENDERER} for {INVERTED} pictures given {FEW} and {MANY} views")
    inverted = find(
        renderer, data, contexts=(FEW, MANY), scenes=INVERTED, grid=(INVERTED_PLACES, INVERTED_TURNS)
    )
    draw(workshop.picture("localisation"), asked[0], inverted)
    return [*judge_asked(asked[0]), *judge_inverted(inverted[FEW], inverted[MANY])]


def find(
    trained: TrainedModel, data: Path, *, contexts: Sequence[int], scenes: int, grid: tuple[int, int]
) -> dict[int, list[Located]]:
    """Localises the first target of the first test scenes given so many views."""
    test, known = open_scenes(data, "test"), read_cameras(open_scenes(data, "train"))
    places, turns = grid
    prior = PosePrior("cameras", grid=grid_over(known, places=places, turns=turns), cameras=known)
    return {
        number: list(
            localise(
                trained.model,
                test,
                EvaluationPlan(test, num_context=number, num_targets=1, max_scenes=scenes),
                knobs=evaluation_knobs(trained.variant.training),
                prior=prior,
                search=Search(starts=2, steps=20),
                device="cpu",
            )
        )
        for number in contexts
    }


def draw(path: Path, asked: list[Located], inverted: dict[int, list[Located]]) -> None:
    """Draws maps of both ways: a reversed GQN's with one mode and with several, and inversions with few and many views."""
    by_modes = sorted(asked, key=lambda one: one.modes)
    shown = [by_modes[0], by_modes[len(by_modes) // 2], by_modes[-1]]
    ...


def quarter_turns(one: Located) -> float:
    """Returns the probability of a yaw within 15 degrees of the true one or of a quarter, half or three-quarter turn."""
    mass = np.exp(one.log_mass).sum((0, 1))
    away = np.degrees(one.grid.yaw.numpy() - one.truth[3])
    return float(mass[np.abs((away + QUARTER / 2) % QUARTER - QUARTER / 2) < NEAR].sum())
