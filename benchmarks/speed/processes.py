"""The same training batch computed by 1, 2 and 4 CPU processes, distributed by accelerate over gloo.

All groups of processes exist at the same time and compute in turns, a few steps each. The global batch and the total number
of threads are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from benchmarks.process_group import start_group, threads_of
from benchmarks.speed.record import Findings, Size
from benchmarks.speed.work import NETWORKS
from zoo.evaluation.timing import Action, time_interleaved
from zoo.provenance import usable_cores
from zoo.registry.registry import default_registry

PART = "processes"
GROUPS: Mapping[Size, Sequence[int]] = {"full": (1, 2, 4), "quick": (1, 2)}
STEPS = 4  # per turn
_REGISTRY_SIZES: Mapping[Size, str] = {"full": "small", "quick": "smoke"}


def processes(findings: Findings, *, size: Size, repeats: int) -> None:
    """Measures the shared network at a size of the registry that takes seconds."""
    variant = default_registry().variant(NETWORKS["shared"], size=_REGISTRY_SIZES[size])
    batch, cores = variant.training.batch_size, usable_cores()
    findings.log(f"starting groups of {', '.join(map(str, GROUPS[size]))} processes, which compute in turns")
    actions: dict[str, Action] = {}
    with ExitStack() as stack:
        for number in GROUPS[size]:
            threads = threads_of(number, cores=cores)
            group = start_group(variant, kind="train", number=number, threads=threads)
            stack.callback(group.end)
            group.wait()
            subject = f"{number} process{'es' if number > 1 else ''} of {threads} thread(s)"
            subject += ", more than cores" if number > cores else ""
            actions[subject] = lambda group=group: group.turn(steps=STEPS)  # type: ignore[misc]
        seconds = time_interleaved(actions, repeats=repeats)
    alone = next(iter(seconds.values()))
    for subject, times in seconds.items():
        findings.add(batch * STEPS / times, "speed", "scenes/s", subject=subject, action="training")
        findings.add(alone / times, "against one process", "times", subject=subject, action="training")
    findings.notes.append(
        f"{variant.name} at size {variant.size}, {batch} scenes an update in all, training steps through accelerate as under "
        f"torchrun, {STEPS} updates a turn; {cores} core(s) shared out as threads."
    )
