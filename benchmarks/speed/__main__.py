"""``python -m benchmarks.speed``: runs the speed suite and writes ``results/speed``; about 10 minutes on two idle cores."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import log, positive
from benchmarks.speed.record import load
from benchmarks.speed.report import tables, write_report
from benchmarks.speed.suite import FOLDER, PARTS, run_suite
from zoo.errors import ZooError


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 if a part failed, 2 for a user's mistake."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    try:
        if options.from_record is not None:
            record = load(options.from_record)
            written = write_report(record, options.output / FOLDER)
        else:
            record, written = run_suite(
                options.output,
                size="quick" if options.quick else "full",
                repeats=options.repeats,
                parts=[part.strip() for part in options.parts.split(",")] if options.parts else (),
                command=["python", "-m", "benchmarks.speed", *arguments],
                log=log,
            )
    except ZooError as error:
        log(f"error: {error}")
        return error.exit_code
    print(tables(record))
    log("wrote " + ", ".join(map(str, written)))
    return 1 if any(part.failures for part in record.parts) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description="Run the speed suite.")
    parser.add_argument("-o", "--output", type=Path, default=Path("results"), help="results folder (default: results)")
    parser.add_argument("--quick", action="store_true", help="use the smallest sizes, to try the suite out")
    parser.add_argument("--parts", metavar="PART,...", help=f"run only these of: {', '.join(PARTS)}")
    parser.add_argument("--repeats", type=positive, metavar="N", help="turns (default: 5, with --quick 2)")
    parser.add_argument("--from-record", type=Path, metavar="FILE", help="write tables and images of this record again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
