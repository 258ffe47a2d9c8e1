"""The fast core against the textbook's loop: the same network with the same weights, timed in turns.

A large convolution runs in the same turns. Its rate shows whether a network is fast because it does less arithmetic or
because it does it faster.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch

from benchmarks.speed.convolutions import Convolution, fastest
from benchmarks.speed.record import Findings, Size
from benchmarks.speed.work import (
    NETWORKS,
    SIDES,
    Phase,
    Task,
    direct_flops,
    make_pair,
    make_task,
    network,
    saved_bytes,
    saved_bytes_of_a_further_scene,
)
from zoo.evaluation.throughput import flops_of
from zoo.evaluation.timing import Action, time_interleaved

PART = "plain loop"
CONVOLUTION = "convolution"
SPEED_UP, DIFFERENCE = "speed-up", "difference"
SAVED, SAVED_FURTHER = "saved activations", "saved activations of a further scene"
# With all convolutions direct, and as computed, where some are transformed.
ARITHMETIC, FRACTION = "arithmetic", "fraction of the convolution"
MADE, FRACTION_MADE = "products made", "fraction of the convolution by products made"
GIGA = 1e9


class Case(NamedTuple):
    """One kind of work. The queries are those of one scene; the textbook's loop treats each as a scene of its own."""

    phase: Phase
    scenes: int
    queries: int

    @property
    def action(self) -> str:
        """Its name."""
        return f"{self.phase}, {self.queries} {'query' if self.queries == 1 else 'queries'}"


class Sides(NamedTuple):
    """The same work for both cores."""

    fast: Task
    plain: Task


CASES = (Case("training", 2, 1), Case("training", 1, 4), Case("prediction", 1, 1), Case("prediction", 1, 8))
NOTES = (
    "Both ways have the same weights, scenes of noise, float32 and fused Adam; training steps are forward, backward and "
    f"Adam. Scenes: {', '.join(f'{case.scenes} in {case.action}' for case in CASES)}.",
    "With several queries, the plain loop encodes the context and runs its loop for each as for a scene of its own.",
    "Saved is what the forward pass keeps without the weights; composed and transformed weights are part of it, and do not "
    "grow with the batch, unlike what a further scene keeps.",
    "Arithmetic counts direct convolutions; products made are fewer where convolutions are transformed (Winograd 1980), so "
    "that a fraction of the arithmetic may be above 1.",
)


def against_plain(findings: Findings, *, size: Size, repeats: int) -> None:
    """Measures both networks in all cases on the CPU, in float32."""
    findings.log("searching the machine's fastest convolution")
    convolution = fastest(size=size)
    findings.notes += [*NOTES, f"The convolution of every turn: {convolution}."]
    for name in NETWORKS:
        variant = network(name, size=size)
        pair = make_pair(variant)
        for case in CASES:
            findings.log(f"{name}: {case.action}, fast and plain in turns")
            tasks = [make_task(model, variant, scenes=case.scenes, queries=case.queries) for model in pair]
            compare(findings, Sides(*tasks), subject=name, case=case, convolution=convolution, repeats=repeats)


def compare(
    findings: Findings, tasks: Sides, *, subject: str, case: Case, convolution: Convolution, repeats: int
) -> None:
    """Measures one network in one case."""
    add = partial(findings.add, subject=subject, action=case.action)
    training = case.phase == "training"
    actions: dict[str, Action] = {side: task.action(case.phase) for side, task in zip(SIDES, tasks, strict=True)}
    made = {side: flops_of(action) for side, action in actions.items()}  # warms up as well
    direct = {"fast": direct_flops(actions["fast"]), "plain": made["plain"]}
    seconds = time_interleaved({**actions, CONVOLUTION: convolution.action("cpu")}, repeats=repeats, warmup=1)
    rate = convolution.flops / seconds[CONVOLUTION]
    add(seconds["plain"] / seconds["fast"], SPEED_UP, "times")
    add(rate / GIGA, "rate of the convolution", "GFLOP/s")
    add(disagreement(tasks, training=training), DIFFERENCE, "relative")
    for side in SIDES:
        add(seconds[side], f"time, {side}", "s")
        for flops, work, fraction in ((direct, ARITHMETIC, FRACTION), (made, MADE, FRACTION_MADE)):
            add(flops[side] / GIGA, f"{work}, {side}", "GFLOP")
            add(flops[side] / seconds[side] / rate, f"{fraction}, {side}", "1")
    if training:
        for quantity, count in ((SAVED, saved_bytes), (SAVED_FURTHER, saved_bytes_of_a_further_scene)):
            fast, plain = map(count, tasks)
            add(fast, f"{quantity}, fast", "bytes")
            add(plain, f"{quantity}, plain", "bytes")
            add(fast / plain, quantity, "of the plain loop's")


@torch.no_grad()
def disagreement(tasks: Sides, *, training: bool) -> float:
    """Returns the largest relative difference of NELBO and KL over scenes, or of predicted images."""
    if not training:
        fast, plain = (task.predict().double() for task in tasks)
        return float((fast - plain).abs().max() / plain.abs().max())
    ours, theirs = (task.terms() for task in tasks)
    differences = [
        ((one.double() - other.double()).abs() / other.double().abs().clamp_min(1e-30)).max()
        for one, other in ((ours.nelbo(), theirs.nelbo()), (ours.kl, theirs.kl))
    ]
    return float(torch.stack(differences).max())
