"""``python -m benchmarks.speed``: runs the speed suite and writes ``results/speed``; about 10 minutes on two idle cores."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.record import load
from benchmarks.speed.showing import show, tables_of
from benchmarks.speed.suite import FOLDER, PARTS, run_suite
from zoo.cli import screen
from zoo.comparison.markup import to_terminal
from zoo.errors import ZooError


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 if a part failed, 2 for a user's mistake."""
    options = _parser().parse_args(arguments)
    try:
        if options.record is not None:
            record = load(options.record)
            written = show(record, options.output / FOLDER)
        else:
            record, written = run_suite(
                options.output,
                size="quick" if options.quick else "full",
                repeats=options.repeats,
                parts=[part.strip() for part in options.parts.split(",")] if options.parts else (),
                command=["python", "-m", "benchmarks.speed", *(sys.argv[1:] if arguments is None else arguments)],
                tell=screen.log,
            )
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    results = screen.stdout_console()
    results.print(to_terminal(tables_of(record), width=results.width))
    screen.log("wrote " + ", ".join(map(str, written)))
    return 1 if any(part.failures for part in record.parts) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description="Run the speed suite.")
    parser.add_argument("-o", "--output", type=Path, default=Path("results"), help="results folder (default: results)")
    parser.add_argument("--quick", action="store_true", help="use the smallest sizes, to try the suite out")
    parser.add_argument("--parts", metavar="PART,...", help=f"run only these of: {', '.join(PARTS)}")
    parser.add_argument("--repeats", type=_positive, metavar="N", help="timed repetitions (default: 5, quick: 2)")
    parser.add_argument(
        "--from-record", dest="record", type=Path, metavar="FILE", help="write tables and images of this record again"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
