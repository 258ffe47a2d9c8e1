"""What the commands of the benchmarks share: numbers as arguments, and messages."""

from __future__ import annotations

import argparse
import sys


def log(message: str) -> None:
    """Prints a message at once to standard error."""
    print(message, file=sys.stderr, flush=True)


def positive(text: str) -> int:
    """Returns a whole number of 1 or more; raises ArgumentTypeError for a smaller one, as argparse expects."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {number}")
    return number
