"""Texts in tables: names without control characters, numbers with their digits, commits and machines."""

from __future__ import annotations

import math

from zoo.comparison.statistics import PairedDifference
from zoo.results.row import ResultRow


def sanitize(text: str) -> str:
    """Returns a text on one line, without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def number(value: float, spread: float | None, *, most_decimals: int = 8) -> tuple[str, str]:
    """Returns a value and its spread as texts, with two significant digits of the spread.

    With an unknown spread (None) the value has four significant digits.
    """
    if spread is None or spread <= 0:
        decimals = 3 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
        return f"{value:.{min(most_decimals, decimals)}f}", ""
    # Rounded first, so that 0.0999 counts as 0.10 and not as two digits behind 0.099.
    decimals = min(most_decimals, max(0, 1 - math.floor(math.log10(float(f"{spread:.1e}")))))
    return f"{value:.{decimals}f}", f"{spread:.{decimals}f}"


def with_interval(difference: PairedDifference, *, signed: bool = False, fewer_digits: int = 0) -> tuple[str, str]:
    """Returns the mean of a difference and its 95 % interval as texts, with two significant digits of the error.

    Args:
        difference: the difference.
        signed: whether positive numbers have a plus.
        fewer_digits: by which the standard error is shortened.
    """
    value, _ = number(difference.mean, difference.stderr)
    decimals = max(0, len(value.partition(".")[2]) - fewer_digits)
    form = f"{'+' if signed else ''}.{decimals}f"
    # Zero is added so that a number that rounds to zero has no minus.
    mean, low, high = (
        format(round(end, decimals) + 0.0, form) for end in (difference.mean, difference.low, difference.high)
    )
    return mean, f"[{low}, {high}]"


def commit_of(row: ResultRow) -> str:
    """Returns eight digits of the commit, with a plus if the code was changed after it, or else the version."""
    git, version = row.provenance.git, row.provenance.version
    if git is None:
        return f"v{version}" if version else ""
    return git.commit[:8] + ("+" if git.dirty else "")


def hardware_of(row: ResultRow) -> str:
    """Returns the accelerators that a row was measured on, or else the processor and its threads."""
    hardware = row.provenance.hardware
    if hardware.gpus and row.provenance.device != "cpu":
        names = sorted({gpu.name for gpu in hardware.gpus})
        return f"{len(hardware.gpus)}x {', '.join(names)}" if len(hardware.gpus) > 1 else names[0]
    return f"{hardware.cpu}, {hardware.threads} thread{'s' if hardware.threads > 1 else ''}"
