"""What a run leaves behind while it goes on: metrics.jsonl, always, and TensorBoard through accelerate."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from accelerate import Accelerator

from zoo.files import write_text

METRICS = "metrics.jsonl"


class Tracker:
    """Appends one JSON object a line; the main process alone writes."""

    def __init__(self, run: Path, *, accelerator: Accelerator, resume_step: int) -> None:
        """Opens the log and drops what an interrupted run wrote after the step from which it is resumed."""
        self.path = run / METRICS
        self.accelerator = accelerator
        if accelerator.is_main_process:
            kept = [line for step, line in _lines(self.path) if step <= resume_step] if resume_step else []
            write_text(self.path, "".join(line + "\n" for line in kept))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one line. Values that are not finite are left out, since JSON has no word for them."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if self.accelerator.is_main_process:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **finite}) + "\n")
        self.accelerator.log({name: value for name, value in finite.items() if "/" in name}, step=step)


def _lines(path: Path) -> list[tuple[int, str]]:
    """Returns the steps and the whole lines of a log; a torn line is what a killed process leaves."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append((int(json.loads(line)["step"]), line))
        except (ValueError, TypeError, KeyError):
            continue
    return found
