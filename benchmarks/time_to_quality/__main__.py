"""``python -m benchmarks.time_to_quality``: trains what has no file yet, and writes tables and a figure of all runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.arguments import log, positive
from benchmarks.time_to_quality.record import load_runs
from benchmarks.time_to_quality.report import THRESHOLDS, markdown, write_report
from benchmarks.time_to_quality.subjects import subject_of
from benchmarks.time_to_quality.training import NUM_CONTEXT, setting_of, train_missing
from zoo.errors import ZooError

FOLDER = Path("speed") / "time-to-quality"
MODELS = "textbook@small:1000,gqn-tower@small,gqn-epipolar-improved@small:600"
SMOKE_MODELS = "textbook@smoke:20,gqn-tower@smoke:20,gqn-epipolar-improved@smoke:20"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 for a user's mistake."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    folder, threads = options.output / FOLDER, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if not options.report:
            models = options.models or (SMOKE_MODELS if options.smoke else MODELS)
            subjects = [subject_of(text.strip()) for text in models.split(",")]
            train, test, num_context = (16, 8, 2) if options.smoke else (4000, 200, NUM_CONTEXT)
            setting = setting_of(
                subjects,
                train=train,
                test=test,
                num_context=num_context,
                seconds=options.seconds,
                output=options.output,
            )
            command = ["python", "-m", "benchmarks.time_to_quality", *arguments]
            train_missing(
                subjects, seeds=range(options.seeds), setting=setting, folder=folder, command=command, log=log
            )
        runs = load_runs(folder)
        written = write_report(runs, folder, thresholds=options.thresholds)
    except ZooError as error:
        log(f"error: {error}")
        return error.exit_code
    finally:
        torch.set_num_threads(threads)
    print(markdown(runs, thresholds=options.thresholds), end="")
    log("wrote " + ", ".join(map(str, written)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.time_to_quality",
        description="Train recipes on the same rooms, one after the other on one thread, and report the time, updates and "
        "operations until unseen rooms are predicted with given excess NELBOs. Finished runs are kept: the same command "
        "continues where it was interrupted.",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("results"), help="results folder (default: results)")
    parser.add_argument("--models", metavar="NAME@SIZE[:UPDATES],...", help=f"default: {MODELS}")
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="trainings of every model (default: 3)")
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="most CPU time of a training, without scoring (default: 600)"
    )
    parser.add_argument(
        "--thresholds",
        type=_numbers,
        default=THRESHOLDS,
        metavar="X,...",
        help="excess NELBOs (default: 100,80,60,50,40,30)",
    )
    parser.add_argument("--smoke", action="store_true", help="smallest sizes and few scenes, to try the benchmark out")
    parser.add_argument(
        "--report", action="store_true", help="train nothing; write tables and figure of the runs again"
    )
    return parser


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
