"""What test_distributed.py starts twice at a time: each process writes what it found to <folder>/rank-<r>.json.

torchrun --standalone --nproc_per_node 2 two_processes.py all|nan|endless|faults=COUNT FOLDER SCENES
"""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from zoo.config.schedules import evaluation_schedule_values
from zoo.data import loader
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.errors import NonFiniteError
from zoo.evaluation.bounds import Bounds, score_scenes
from zoo.evaluation.loop import Evaluation
from zoo.registry.registry import default_registry
from zoo.registry.variant import build
from zoo.training import run_checkpoints
from zoo.training.options import TrainingOptions
from zoo.training.trainer import Trainer

TRAININGS = {
    "train": (),
    "accumulate": ("training.gradient_accumulation=2",),
    "objective": ("training.objective=importance_weighted", "training.importance_samples=2"),
}
SIZES = ((1, 4), (2, 4), (3, 1), (5, 4), (7, 2), (10, 3))  # scenes, batch


class Noise(NamedTuple):
    """As many scenes as wanted, in memory."""

    num_scenes: int
    num_views: int = 6
    image_size: int = 16
    name: str = "noise"
    split: str = "test"
    revision: str = "0"
    extras: Mapping = {}

    def read_extras(self, scenes, views):
        return {}

    def read(self, scenes, views):
        frames = [
            np.random.default_rng(int(scene)).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8) for scene in scenes
        ]
        cameras = [np.random.default_rng(int(scene)).normal(size=(6, 5)).astype(np.float32) for scene in scenes]
        rows = np.arange(len(scenes))[:, None]
        return np.stack(frames)[rows, views], np.stack(cameras)[rows, views]


def variant(*overrides):
    return default_registry().variant("gqn-tower", size="smoke", overrides=overrides)


def accelerator_of(chosen):
    """Every wait of one process for another ends after half a minute."""
    return Accelerator(
        cpu=True,
        mixed_precision=chosen.training.mixed_precision,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=30))],
    )


def trainer_of(run, scenes, *overrides, **options):
    chosen = variant(*overrides)
    return Trainer(
        build(chosen, seed=2),
        recipe=chosen.training,
        train=open_scenes(scenes, "train"),
        validation=open_scenes(scenes, "validation"),
        run=run,
        seed=2,
        accelerator=accelerator_of(chosen),
        options=TrainingOptions(**{"log_interval": 1, "save_interval": 1, "keep_last": 9, **options}),
        config={},
    )


def digest(model):
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in model.state_dict().values())).hexdigest()


def evaluate(accelerator):
    """Scores sets of sizes that do not divide by two, and sets smaller than the number of processes."""
    model, found = build(variant(), seed=1), {}
    for num_scenes, batch_size in SIZES:
        source = Noise(num_scenes)
        scores = score_scenes(
            model,
            Evaluation(
                source,
                EvaluationPlan(source, num_context=2, num_targets=2),
                schedule=evaluation_schedule_values(variant().training, device=accelerator.device),
                batch_size=batch_size,
            ),
            bounds=Bounds(importance_samples=(2,)),
            accelerator=accelerator,
        )
        found[f"{num_scenes} by {batch_size}"] = {name: values.tolist() for name, values in scores.items()}
    return found


def train(folder, scenes, *overrides):
    trainer = trainer_of(folder, scenes, *overrides)
    report = trainer.fit()
    return {"step": report.step, "status": report.status, "model": digest(trainer.model)}


def spoil(rank, step):
    """Makes the images' cameras nonsense on one process at one step."""
    real = loader.assemble

    def assemble(source, plan, *, seed, step):
        batch = real(source, plan, seed=seed, step=step)
        if step == bad_step and os.environ["RANK"] == str(rank):
            return batch._replace(cameras=batch.cameras * float("nan"))
        return batch

    bad_step = step
    loader.assemble = assemble
    return real


def stop_at_nonsense(folder, scenes, *, rank=1, step=2):
    trainer = trainer_of(folder, scenes)
    before = {"step": 0, "model": digest(trainer.model)}
    real = spoil(rank=rank, step=step)
    try:
        trainer.fit(progress=lambda step, figures: before.update(step=step, model=digest(trainer.model)))
    except NonFiniteError as error:
        return {
            "message": str(error),
            "exit_code": error.exit_code,
            "steps_before": before["step"],
            "unchanged": digest(trainer.model) == before["model"],
            "checkpoints": [path.name for path in run_checkpoints.all_steps(folder)],
        }
    finally:
        loader.assemble = real
    return {"message": "was not noticed"}


def stop_at_a_signal_to_one(folder, scenes, *, rank=1, at=1, log_interval=2):
    trainer = trainer_of(folder, scenes, log_interval=log_interval)
    sent = []

    def progress(step, figures):
        if step == at:
            sent.append(time.monotonic())
            if os.environ["RANK"] == str(rank):
                signal.raise_signal(signal.SIGTERM)

    report = trainer.fit(progress=progress)
    seconds = time.monotonic() - sent[0]
    return {"step": report.step, "status": report.status, "model": digest(trainer.model)}, seconds


def faults_again_and_again(folder, scenes, *, count):
    """One process gets a signal, or something that is not finite, at random steps; returns what each run did."""
    generator, found = np.random.default_rng(0), {"signal": [], "nan": []}
    for number in range(count):
        rank, step = int(generator.integers(2)), int(generator.integers(1, 4))
        run = folder / f"signal-{number}"
        report, seconds = stop_at_a_signal_to_one(run, scenes, rank=rank, at=step, log_interval=1)
        newest, problems = run_checkpoints.newest(run)
        found["signal"].append({**report, "seconds": seconds, "newest": newest.state.step, "problems": problems})
        run = folder / f"nan-{number}"
        found["nan"].append({"at": step, **stop_at_nonsense(run, scenes, rank=rank, step=step)})
    return found


def program(arguments):
    """Runs the command line in this process; returns its exit code."""
    from zoo.cli.main import main

    try:
        main(arguments)
    except SystemExit as leave:
        return leave.code
    return None


def main():
    torch.set_num_threads(1)
    what, folder, scenes = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    rank = int(os.environ["RANK"])
    size = ("train", "gqn-tower", "--size", "smoke", "--data", str(scenes), "--cpu", "--seed", "2")
    found = {}
    if what == "all":
        accelerator = accelerator_of(variant())
        found["num_processes"] = accelerator.num_processes
        found["evaluate"] = evaluate(accelerator)
        found |= {name: train(folder / name, scenes, *changes) for name, changes in TRAININGS.items()}
        found["nan"] = stop_at_nonsense(folder / "nan", scenes)
        found["signal"], _ = stop_at_a_signal_to_one(folder / "signal", scenes)
        found["indivisible"] = program([*size, "-o", str(folder / "indivisible"), "-b", "5"])
        # The last, because the end of a run is the end of its process group.
        found["program"] = program([*size, "-o", str(folder / "program"), "--log-interval", "1"])
    elif what == "endless":
        (folder / f"pid-{rank}").write_text(str(os.getpid()))
        train(folder / "run", scenes, "training.steps=1000000")
    elif what.startswith("faults="):
        found |= faults_again_and_again(folder, scenes, count=int(what.removeprefix("faults=")))
        found["program"] = 0
    else:
        spoil(rank=1, step=2)
        found["program"] = program([*size, "-o", str(folder / "program"), "--save-interval", "1"])
    (folder / f"rank-{rank}.json").write_text(json.dumps(found))
    sys.exit(found["program"])


if __name__ == "__main__":
    main()
