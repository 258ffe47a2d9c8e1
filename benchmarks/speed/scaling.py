"""How time grows with the number of context views, of queries, of steps and of scenes, and with the images' size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from benchmarks.speed.record import Findings, Scaling, Size
from benchmarks.speed.work import SIDES, Pair, TrainingStep, make_pair, make_task, network
from zoo.evaluation.timing import Action, time_interleaved
from zoo.registry.variant import Variant

PART = "scaling"


class Place(NamedTuple):
    """One set of sizes; every axis moves one of them."""

    context_views: int
    queries: int
    steps: int
    scenes: int
    image_size: int


# The names of the axes are those of the fields with spaces.
AXES: Mapping[Size, Mapping[str, Sequence[int]]] = MappingProxyType(
    {
        "full": {
            "context_views": (1, 2, 4, 8, 16),
            "queries": (1, 2, 4, 8, 16),
            "steps": (2, 4, 8, 16),
            "scenes": (1, 2, 4, 8, 16),
            "image_size": (16, 32, 64, 128),
        },
        "quick": {
            "context_views": (1, 4),
            "queries": (1, 4),
            "steps": (1, 4),
            "scenes": (1, 4),
            "image_size": (8, 16, 32),
        },
    }
)
BASE = {
    "full": Place(context_views=5, queries=1, steps=4, scenes=2, image_size=32),
    "quick": Place(context_views=2, queries=1, steps=2, scenes=2, image_size=16),
}
# The network of the field with fewer channels: the shape of the work is the same, and it takes seconds.
REDUCED = {
    "full": (
        "encoder.channels=64",
        "core.hidden_channels=32",
        "core.canvas_channels=32",
        "core.read_channels=32",
    ),
    "quick": (),
}


def scaling(*, size: Size, repeats: int, tell: Callable[[str], None]) -> Findings:
    """Measures the shared network in both ways along every axis, the places along it in turns."""
    made: dict[tuple[int, int], tuple[Variant, Pair]] = {}
    found: list[Scaling] = []
    for axis, sizes in AXES[size].items():
        tell(f"scaling with {axis.replace('_', ' ')}: {', '.join(map(str, sizes))}")
        actions: dict[str, Action] = {}
        for number in sizes:
            place = BASE[size]._replace(**{axis: number})
            key = place.steps, place.image_size
            if key not in made:
                changes = (*REDUCED[size], f"core.steps={place.steps}", f"image_size={place.image_size}")
                variant = network("shared", size=size, overrides=changes)
                made[key] = variant, make_pair(variant)
            actions |= _actions(*made[key], place=place, number=number)
        seconds = time_interleaved(actions, repeats=repeats)
        for action in ("training", "prediction"):
            for side in SIDES:
                times = np.stack([seconds[_name(action, side, number)] for number in sizes])
                found.append(fit(sizes, times, axis=axis.replace("_", " "), action=action, subject=side))
    base = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in BASE[size]._asdict().items())
    return Findings(
        scalings=found,
        notes=(
            f"The shared network, reduced ({', '.join(REDUCED[size]) or 'smoke size'}); what does not grow: {base}.",
            "The exponent is that of the whole range, by least squares in logarithms for every turn; fixed costs flatten "
            "it at small sizes, hence also the exponent between the two largest. An image size is pixels along one side: time in "
            "proportion to the pixels has an exponent of 2.",
        ),
    )


def _name(action: str, side: str, number: int) -> str:
    return f"{action} {side} {number}"


def _actions(variant: Variant, pair: Pair, *, place: Place, number: int) -> dict[str, Action]:
    found: dict[str, Action] = {}
    for side, model in zip(SIDES, pair, strict=True):
        task = make_task(model, variant, scenes=place.scenes, queries=place.queries, num_context=place.context_views)
        found[_name("training", side, number)] = TrainingStep(task)
        found[_name("prediction", side, number)] = task.predict
    return found


def fit(sizes: Sequence[int], seconds: np.ndarray, *, axis: str, action: str, subject: str) -> Scaling:
    """Fits time ~ size^a.

    Args:
        sizes: the places along the axis, growing.
        seconds: [sizes, turns].
        axis: what grows.
        action: what was timed.
        subject: which network.
    """
    logarithms = np.log(np.asarray(sizes, dtype=np.float64))
    exponents = np.polyfit(logarithms, np.log(seconds), 1)[0]
    low, middle, high = np.quantile(exponents, [0.1, 0.5, 0.9])
    lower, median, upper = np.quantile(seconds, [0.1, 0.5, 0.9], axis=1)
    last = np.log(median[-1] / median[-2]) / (logarithms[-1] - logarithms[-2])
    return Scaling(
        axis=axis,
        action=action,
        subject=subject,
        sizes=list(sizes),
        seconds=median.tolist(),
        seconds_p10=lower.tolist(),
        seconds_p90=upper.tolist(),
        exponent=float(middle),
        exponent_p10=float(low),
        exponent_p90=float(high),
        exponent_of_the_largest=float(last),
    )
