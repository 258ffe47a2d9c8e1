"""The fast core against the plain loop: the same network with the same weights, computed in two ways in turns.

In the same turns runs a large convolution, whose rate is what the machine gives: time, arithmetic and rate together
tell whether a network is fast because it computes less, or because it computes well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch

from benchmarks.speed.convolutions import Convolution, fastest
from benchmarks.speed.record import Findings, Measured, Size, measured
from benchmarks.speed.work import (
    NETWORKS,
    SIDES,
    PredictionStep,
    Task,
    TrainingStep,
    make_pair,
    make_task,
    network,
)
from zoo.evaluation.timing import time_interleaved

PART = "plain loop"
CONVOLUTION = "convolution"
SPEED_UP, DIFFERENCE = "speed-up", "difference"
SAVED, SAVED_FURTHER = "saved activations", "saved activations of a further scene"
# Of the convolutions as the network has them, and of what is really multiplied where they are transformed.
ARITHMETIC, FRACTION = "arithmetic", "fraction of the convolution"
MADE, FRACTION_MADE = "products made", "fraction of the convolution by products made"
GIGA = 1e9


class Case(NamedTuple):
    """One kind of work.

    Four queries are those of one scene. The plain loop treats each as a scene of its own: it does the work of four
    scenes with one query, and the quotient of the two times is the quotient a query.
    """

    phase: Literal["training", "prediction"]
    scenes: int
    queries: int

    @property
    def action(self) -> str:
        """Its name."""
        return f"{self.phase}, {self.queries} {'query' if self.queries == 1 else 'queries'}"


CASES = (Case("training", 2, 1), Case("training", 1, 4), Case("prediction", 1, 1), Case("prediction", 1, 8))


def against_plain(*, size: Size, repeats: int, tell: Callable[[str], None]) -> Findings:
    """Measures both networks in all cases on the CPU, in float32.

    Args:
        size: of the networks.
        repeats: turns of every case.
        tell: called with one sentence at a time about what is being done.
    """
    tell("looking for the machine's fastest convolution")
    convolution = fastest(size=size)
    found: list[Measured] = []
    for name in NETWORKS:
        variant = network(name, size=size)
        pair = make_pair(variant)
        for case in CASES:
            tell(f"{name}: {case.action}, fast and plain in turns")
            tasks = [make_task(model, variant, scenes=case.scenes, queries=case.queries) for model in pair]
            found += compare(Sides(*tasks), subject=name, case=case, convolution=convolution, repeats=repeats)
    return Findings(
        measured=found,
        notes=(
            "Both ways have the same weights, scenes of noise, float32 and fused Adam; "
            "training steps are forward, backward and Adam. Scenes: "
            + ", ".join(f"{case.scenes} in {case.action}" for case in CASES)
            + ".",
            "With several queries, the plain loop encodes the context and runs its loop for each as for a scene of its own.",
            f"The convolution of every turn: {convolution}.",
            "Saved is everything that the forward pass keeps but the weights themselves: weights that were composed or "
            "transformed are in it, and do not grow with the batch as what a further scene keeps does.",
            "Arithmetic is that of the convolutions which each way makes, done product by product; products made are fewer "
            "where convolutions are transformed (Winograd 1980), so that a fraction of the arithmetic may be above 1.",
        ),
    )


class Sides(NamedTuple):
    """The same work for both ways of computing."""

    fast: Task
    plain: Task


def compare(tasks: Sides, *, subject: str, case: Case, convolution: Convolution, repeats: int) -> list[Measured]:
    """Measures one network in one case: times in turns, and what does not vary once."""
    training = case.phase == "training"
    make = TrainingStep if training else PredictionStep
    steps: dict[str, TrainingStep | PredictionStep] = {
        side: make(task) for side, task in zip(SIDES, tasks, strict=True)
    }
    # The step that is counted is the one that warms up.
    counts = {side: step.count() for side, step in steps.items()}
    direct = {side: step.direct_flops() for side, step in steps.items() if side == "fast"}
    direct["plain"] = counts["plain"].flops  # the textbook's convolutions are direct
    run_convolution = convolution.action("cpu")
    run_convolution()
    seconds = time_interleaved({**steps, CONVOLUTION: run_convolution}, repeats=repeats, warmup=0)
    rate = convolution.flops / seconds[CONVOLUTION]

    def number(values: np.ndarray | float, quantity: str, unit: str) -> Measured:
        return measured(values, part=PART, subject=subject, action=case.action, quantity=quantity, unit=unit)

    found = [
        number(seconds["plain"] / seconds["fast"], SPEED_UP, "times"),
        number(rate / GIGA, "rate of the convolution", "GFLOP/s"),
        number(disagreement(tasks, training=training), DIFFERENCE, "relative"),
    ]
    for side in SIDES:
        found += [
            number(seconds[side], f"time, {side}", "s"),
            number(direct[side] / GIGA, f"{ARITHMETIC}, {side}", "GFLOP"),
            number(counts[side].flops / GIGA, f"{MADE}, {side}", "GFLOP"),
            number(direct[side] / seconds[side] / rate, f"{FRACTION}, {side}", "1"),
            number(counts[side].flops / seconds[side] / rate, f"{FRACTION_MADE}, {side}", "1"),
        ]
    further = {
        side: step.saved_bytes_of_a_further_scene() for side, step in steps.items() if isinstance(step, TrainingStep)
    }
    everything = {side: count.saved_bytes for side, count in counts.items()}
    for quantity, sides in ((SAVED, everything), (SAVED_FURTHER, further)) if training else ():
        found += [number(sides[side], f"{quantity}, {side}", "bytes") for side in SIDES]
        found.append(number(sides["fast"] / sides["plain"], quantity, "of the plain loop's"))
    return found


@torch.no_grad()
def disagreement(tasks: Sides, *, training: bool) -> float:
    """Returns the largest relative difference: of NELBO and KL over scenes, or of predicted images."""
    if not training:
        fast, plain = (task.predict().double() for task in tasks)
        return float((fast - plain).abs().max() / plain.abs().max())
    ours, theirs = (task.terms() for task in tasks)
    differences = [
        ((one.double() - other.double()).abs() / other.double().abs().clamp_min(1e-30)).max()
        for one, other in ((ours.nelbo(), theirs.nelbo()), (ours.kl, theirs.kl))
    ]
    return float(torch.stack(differences).max())
