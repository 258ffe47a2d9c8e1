"""Loading of data as a part of the suite: views a second of every way, and against the loop over TFRecords."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.speed.loading import NUM_VIEWS, RECORD_LOOP, LoadingSpeed, measure_loading
from benchmarks.speed.record import Findings, Measured, Size, measured

PART = "loading"
SPEED, AGAINST_RECORDS = "speed", "against TFRecords with all views decoded"
QUICK_SCENES, QUICK_PIXELS, QUICK_SECONDS = 48, 16, 0.02
PIXELS = 64
ACTION = "views of training batches on the CPU"


def feeding(*, size: Size, repeats: int, tell: Callable[[str], None]) -> Findings:
    """Measures all ways of loading on the CPU, in turns."""
    tell("loading of data, every way in turns")
    if size == "quick":
        speeds = measure_loading(turns=repeats, seconds=QUICK_SECONDS, num_scenes=QUICK_SCENES, image_size=QUICK_PIXELS)
    else:
        speeds = measure_loading(turns=max(repeats, 2), image_size=PIXELS)
    pixels = QUICK_PIXELS if size == "quick" else PIXELS
    return Findings(
        measured=_numbers(speeds),
        notes=(
            f"Scenes of {NUM_VIEWS} views of {pixels}x{pixels} pixels; 1 to 5 context views and one target of 36 scenes a "
            "step; a view counts when training uses it.",
        ),
    )


def _numbers(speeds: list[LoadingSpeed]) -> list[Measured]:
    loop = next(np.array(speed.turns) for speed in speeds if speed.name == RECORD_LOOP)

    def number(speed: LoadingSpeed, values: np.ndarray, quantity: str, unit: str) -> Measured:
        return measured(values, part=PART, subject=speed.name, action=ACTION, quantity=quantity, unit=unit)

    found: list[Measured] = []
    for speed in speeds:
        turns = np.array(speed.turns)
        found.append(number(speed, turns, SPEED, "views/s"))
        found.append(number(speed, turns / loop, AGAINST_RECORDS, "times"))
    return found
