"""How time grows with the number of context views, queries, steps and scenes, and with the image size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.speed.record import Findings, Scaling, Size
from benchmarks.speed.work import SIDES, Pair, Phase, make_pair, make_task, network
from zoo.evaluation.timing import Action, time_interleaved
from zoo.registry.variant import Variant

PART = "scaling"
PHASES: tuple[Phase, ...] = ("training", "prediction")


class Sizes(NamedTuple):
    """Sizes of a task; every axis varies one of them."""

    context_views: int
    queries: int
    steps: int
    scenes: int
    image_size: int


AXES: Mapping[Size, Mapping[str, Sequence[int]]] = {
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
BASE = {
    "full": Sizes(context_views=5, queries=1, steps=4, scenes=2, image_size=32),
    "quick": Sizes(context_views=2, queries=1, steps=2, scenes=2, image_size=16),
}
# Fewer channels: the same shape of work, in seconds.
REDUCED = {
    "full": ("encoder.channels=64", "core.hidden_channels=32", "core.canvas_channels=32", "core.read_channels=32"),
    "quick": (),
}


def scaling(findings: Findings, *, size: Size, repeats: int) -> None:
    """Measures the shared network with both cores along every axis, all sizes of an axis in turns."""
    made: dict[tuple[int, int], tuple[Variant, Pair]] = {}
    for axis, values in AXES[size].items():
        title = axis.replace("_", " ")
        findings.log(f"scaling with {title}: {', '.join(map(str, values))}")
        actions: dict[str, Action] = {}
        for value in values:
            sizes = BASE[size]._replace(**{axis: value})
            key = sizes.steps, sizes.image_size
            if key not in made:
                changes = (*REDUCED[size], f"core.steps={sizes.steps}", f"image_size={sizes.image_size}")
                variant = network("shared", size=size, overrides=changes)
                made[key] = variant, make_pair(variant)
            variant, pair = made[key]
            for side, model in zip(SIDES, pair, strict=True):
                task = make_task(
                    model, variant, scenes=sizes.scenes, queries=sizes.queries, num_context=sizes.context_views
                )
                actions |= {f"{phase} {side} {value}": task.action(phase) for phase in PHASES}
        seconds = time_interleaved(actions, repeats=repeats)
        for phase in PHASES:
            for side in SIDES:
                times = np.stack([seconds[f"{phase} {side} {value}"] for value in values])
                findings.scalings.append(fit(values, times, axis=title, action=phase, subject=side))
    base = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in BASE[size]._asdict().items())
    findings.notes += [
        f"The shared network, reduced ({', '.join(REDUCED[size]) or 'smoke size'}); sizes that do not vary: {base}.",
        "The exponent is that of all sizes, by least squares of the logarithms in every turn; fixed costs lower it at small "
        "sizes, hence also the exponent between the two largest. The image size is in pixels along one side: time in proportion "
        "to the pixels has an exponent of 2.",
    ]


def fit(sizes: Sequence[int], seconds: np.ndarray, *, axis: str, action: str, subject: str) -> Scaling:
    """Fits time ~ size^a to seconds [sizes, turns] at increasing sizes."""
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
