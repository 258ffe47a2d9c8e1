"""Where was a image taken? Two ways to say it, and what they say where several places look alike.

Reversed GQNs are trained to tell the camera of a image directly. Rooms are square with four walls alike: unless the
pattern of the floor gives it away, a image may have been taken from two or four sides, and the maps show them all. The
categorical maps of the paper say of place and direction each by itself what is possible; a mixture says which belong
together. These small models are asked without a context: it takes longer training than minutes to use one.

The other way is to train a model to predict images, here a GQN that follows rays through its context, and to invert
it: cameras are sought whose predicted image is the one that was taken; the more views it has, the better that goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.analysis.base import AnalysisContext, Claim
from zoo.comparison.statistics import paired_t_test
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.data.source import Split
from zoo.evaluation.localisation import Located, localise
from zoo.evaluation.pose_grid import PosePrior, grid_over, read_cameras
from zoo.evaluation.refine_poses import Search
from zoo.figures.probability_maps import FloorMap, MapRow, probability_maps
from zoo.training.trained_model import TrainedModel

TITLE = "Images are localised directly and by inversion, and maps have several modes where places look alike"
PAPER = "Rosenbaum et al. 2018, Learning models for visual 3D localization with implicit mapping, arXiv 1807.03149"
MINUTES = 15

DATASET = "rooms_ring_camera"
QUARTER, NEAR = 90.0, 15.0  # degrees
LEAST = 3.0  # standard errors by which a claim has to hold
ROWS = 3  # images of each way in the figure


class Way(NamedTuple):
    """One of the two ways: which model, trained on what, localises what."""

    variant: str
    overrides: tuple[str, ...]
    image_size: int
    num_views: int | None
    num_scenes: Mapping[Split, int]
    scenes: Mapping[int, int]  # number of context views -> test scenes of which a image is localised with so many
    grid: tuple[int, int]  # places a side, directions
    samples: int  # of the latents, for models that are asked


MAPS = Way(
    variant="reversed-gqn-attention",
    overrides=(),
    image_size=16,
    num_views=None,
    num_scenes={"train": 4000, "validation": 64, "test": 200},
    scenes={0: 200},
    grid=(20, 24),
    samples=0,
)
MIXTURE = MAPS._replace(variant="reversed-gqn-latent", samples=8)
INVERTED = Way(
    variant="gqn-epipolar",
    overrides=(
        "encoder.channels=32",
        "core.steps=3",
        "core.z_channels=4",
        "core.hidden_channels=32",
        "core.canvas_channels=16",
        "core.read_channels=16",
        "core.key_channels=16",
        "core.value_channels=32",
        "training.steps=1600",
        "training.learning_rate={start: 1.0e-3, end: 2.0e-4, steps: 1600}",
        "training.sigma={start: 0.4, end: 0.4, steps: 0}",
    ),
    image_size=32,
    num_views=13,
    num_scenes={"train": 1000, "validation": 64, "test": 128},
    scenes={2: 30, 10: 120},  # every candidate is a image to predict
    grid=(16, 18),
    samples=0,
)

Found = dict[int, list[Located]]  # number of context views -> the first so many images, in the same order


def run(workshop: AnalysisContext) -> list[Claim]:
    """Trains reversed and predicting models, localises test images with them, and draws ``localisation.png``."""
    maps, mixture, inverted = (find(workshop, way) for way in (MAPS, MIXTURE, INVERTED))
    (number,) = MAPS.scenes
    draw(workshop.image("localisation"), maps[number], mixture[number], inverted)
    return [*judge_asked(maps[number], mixture[number]), *judge_inverted(inverted)]


def find(workshop: AnalysisContext, way: Way) -> Found:
    """Trains the model of a way and localises its test images, given each number of views."""
    data = workshop.dataset(DATASET, num_scenes=way.num_scenes, image_size=way.image_size, num_views=way.num_views)
    trained = workshop.trained(way.variant, data=data, overrides=way.overrides, label=f"{way.variant}-to-localise")
    found = {}
    for number, scenes in way.scenes.items():
        workshop.tell(f"{way.variant}: localising {scenes} images given {number} views")
        found[number] = localised(trained, data, way, num_context=number)
    return found


def localised(trained: TrainedModel, data: Path, way: Way, *, num_context: int) -> list[Located]:
    """Localises the first target of the first test scenes given so many views."""
    test, known = open_scenes(data, "test"), read_cameras(open_scenes(data, "train"))
    places, turns = way.grid
    prior = PosePrior("cameras", grid=grid_over(known, places=places, turns=turns), cameras=known)
    return localise(
        trained.model,
        test,
        EvaluationPlan(test, num_context=num_context, num_targets=1, max_scenes=way.scenes[num_context]),
        schedule=evaluation_schedule_values(trained.variant.training),
        prior=prior,
        search=Search(samples=way.samples, starts=2, steps=20, batch_size=32 if way is INVERTED else 4096),
        device="cpu",
    )


def draw(path: Path, maps: list[Located], mixture: list[Located], inverted: Found) -> None:
    """Draws images whose categorical maps have most modes, both ways, and images inverted with few and many views."""
    few, many = INVERTED.scenes
    ambiguous = np.argsort([-one.modes for one in maps], kind="stable")[:ROWS]
    shown = [("asked", {"maps": maps[place], "mixture": mixture[place]}) for place in ambiguous]
    shown += [
        ("inverted", {f"{number} views": inverted[number][place] for number in (few, many)}) for place in range(ROWS)
    ]
    rows = [
        MapRow(
            label=f"{way}, scene {next(iter(panels.values())).scene}",
            image=next(iter(panels.values())).image,
            maps=[FloorMap.of(one, title=f"{name}: {one.told}") for name, one in panels.items()],
        )
        for way, panels in shown
    ]
    probability_maps(path, rows, title="Asked (reversed GQN) and inverted (GQN)")


def values(found: Sequence[Located], of: Callable[[Located], float]) -> np.ndarray:
    """Returns a number of every image, [images] float64."""
    return np.array([float(of(one)) for one in found])


def better_than_guessing(name: str, found: Sequence[Located], *, share: float) -> list[Claim]:
    """Claims that errors are below a share of those of the best constant guess, paired over the images."""
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
        difference = paired_t_test(ours - share * guess)
        claims.append(Claim.below_zero(text, difference, unit=unit, standard_errors=LEAST))
    return claims


def elsewhere(one: Located) -> float:
    """Returns the probability of a yaw that is more than 15 degrees from the true one."""
    return 1.0 - _near(one, lambda away: np.abs((away + 180.0) % 360.0 - 180.0))


def quarter_turns(one: Located) -> float:
    """Returns the part of it within 15 degrees of a quarter, half or three-quarter turn from the true yaw."""
    return _near(one, lambda away: np.abs((away + QUARTER / 2) % QUARTER - QUARTER / 2)) - (1.0 - elsewhere(one))


def _near(one: Located, distance: Callable[[np.ndarray], np.ndarray]) -> float:
    """Returns the probability of the yaws whose distance, a function of degrees from the truth, is below 15 degrees."""
    away = np.degrees(one.grid.yaw.numpy() - one.truth[3])
    return float(np.exp(one.log_mass).sum((0, 1))[distance(away) < NEAR].sum())


def facing(one: Located) -> float:
    """Returns the probability of cameras that face the middle of the room within 30 degrees."""
    y, x, yaw = np.meshgrid(one.grid.y.numpy(), one.grid.x.numpy(), one.grid.yaw.numpy(), indexing="ij")
    away = np.degrees(yaw - np.arctan2(-y, -x))
    return float(np.exp(one.log_mass)[np.abs((away + 180.0) % 360.0 - 180.0) < 2.0 * NEAR].sum())


def judge_asked(maps: Sequence[Located], mixture: Sequence[Located]) -> list[Claim]:
    """Tests what the two reversed models say about the same images."""
    several = values(maps, lambda one: one.modes > 1)
    wrong, quarters = values(maps, elsewhere), values(maps, quarter_turns)
    by_chance = 3.0 * 2.0 * NEAR / (360.0 - 2.0 * NEAR)
    tied = paired_t_test(values(maps, facing) - values(mixture, facing))
    seen = paired_t_test(
        values(mixture, lambda one: one.prior_log_density) - values(mixture, lambda one: one.log_density)
    )
    return [
        *better_than_guessing("asked, maps", maps, share=0.5),
        Claim.below_zero(
            f"asked: more than a quarter of the maps ({several.mean():.0%}) have several modes",
            paired_t_test(0.25 - several),
            unit="of the maps",
            standard_errors=LEAST,
        ),
        Claim.below_zero(
            "asked: of the probability that is not at the true yaw, more than half is at quarter turns of the room from it "
            f"({quarters.sum() / wrong.sum():.0%}, {by_chance:.0%} by chance)",
            paired_t_test(0.5 * wrong - quarters),
            unit="of the probability",
            standard_errors=LEAST,
        ),
        Claim.below_zero(
            "asked: the true camera is less probable by the cameras of other scenes than by the mixture",
            seen,
            unit="nats",
            standard_errors=LEAST,
        ),
        Claim.below_zero(
            f"asked: the cameras that maps find probable face the middle of the room, as all do, less often "
            f"({values(maps, facing).mean():.0%}) than those of the mixture ({values(mixture, facing).mean():.0%})",
            tied,
            unit="of the probability",
            standard_errors=LEAST,
        ),
    ]


def judge_inverted(inverted: Found) -> list[Claim]:
    """Tests what inversion finds with few and with many views."""
    few, many = INVERTED.scenes
    with_few, with_many = (values(inverted[number], lambda one: one.position_error) for number in (few, many))
    difference = with_many[: len(with_few)] - with_few
    return [
        *better_than_guessing(f"inverted, {many} views", inverted[many], share=0.5),
        Claim.below_zero(
            f"inverted: the error of position falls from {few} to {many} views",
            paired_t_test(difference),
            unit="scene units",
            standard_errors=LEAST,
        ),
    ]
