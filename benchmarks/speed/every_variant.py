"""Every registered variant at its smallest size: how many scenes a second it learns from and how many it predicts."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.speed.record import Findings, Measured, Size
from zoo.evaluation.throughput import Spread, measure
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

PART = "variants"
SMALLEST = "smoke"


def every_variant(*, size: Size, repeats: int, tell: Callable[[str], None]) -> Findings:
    """Measures all variants at the size ``smoke``, on noise, one after the other; a quick run takes one of each core."""
    registry = default_registry()
    found: list[Measured] = []
    seen: set[str] = set()
    failures: list[str] = []
    for name in registry.names():
        variant = registry.variant(name, size=SMALLEST)
        if size == "quick" and variant.core.use in seen:
            continue
        seen.add(variant.core.use)
        tell(f"{name} at size {SMALLEST}")
        try:
            speeds = measure(
                build(variant), recipe=variant.training, image_size=variant.image_size, warmup=1, repeats=repeats
            )
        except Exception as error:  # a defect of one variant must not spoil the others
            failures.append(f"{name}: {type(error).__name__}: {error}")
            continue
        found += [
            _of(speeds.train, subject=name, quantity="training", unit="scenes/s"),
            _of(speeds.predict, subject=name, quantity="prediction", unit="predictions/s"),
        ]
    return Findings(
        measured=found,
        notes=(f"Batches and views of the registry's size {SMALLEST}; one sample from the prior for every query.",),
        failures=failures,
    )


def _of(spread: Spread, *, subject: str, quantity: str, unit: str) -> Measured:
    return Measured(
        part=PART,
        subject=subject,
        action=f"size {SMALLEST}",
        quantity=quantity,
        unit=unit,
        median=spread.median,
        p10=spread.p10,
        p90=spread.p90,
        n=spread.n,
    )
