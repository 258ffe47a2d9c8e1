"""``gqn-zoo quickstart --pretrained``: shipped weights on unseen scenes of the quickstart's data, without training."""

from __future__ import annotations

import sys
from pathlib import Path

from zoo.bench.baselines import baseline_rows
from zoo.bench.measurement import evaluate
from zoo.bench.prediction_sheets import draw_sheet
from zoo.bench.protocol import Protocol
from zoo.bench.suite.settings import Suite
from zoo.cli import screen
from zoo.cli.bench_suite import print_leaderboards
from zoo.data.opening import open_splits
from zoo.errors import ConfigError
from zoo.results.row import ResultRow
from zoo.results.store import save_row
from zoo.results.weights import read_card, shipped_names, weights_folder
from zoo.training.run import device_of
from zoo.training.session import lock_folder
from zoo.training.trained_model import load_trained

MODELS = 3  # at most, those of the lowest excess NELBO


def measure_pretrained(suite: Suite, *, output: Path, seed: int, cpu: bool) -> list[Path]:
    """Measures shipped weights on test scenes of another seed of the suite's data; returns the files of tables and sheets.

    Raises:
        ZooError: if no weights of these data and this image size are shipped, or something cannot be read or written.
    """
    (data,) = suite.data.values()
    scenes, part = data.model_copy(update={"seed": seed, "validation": 0}), suite.settings.parts[0]
    assert scenes.recipe is not None
    names = shipped_for(scenes.recipe, image_size=scenes.image_size)
    directory, device = scenes.directory("scenes", output=output), device_of(cpu=cpu)
    command = ["gqn-zoo", *sys.argv[1:]]
    protocol = Protocol(
        num_context=part.contexts[0],
        num_targets=part.targets,
        metrics=("wrong-context", "predictions"),
        repeats=0,
    )
    rows, sheets = list[ResultRow](), list[Path]()
    with lock_folder(output):
        scenes.make(directory)
        splits = open_splits(directory)
        for name in names:
            trained = load_trained(weights_folder() / name, device=device)
            with screen.stage_progress(name) as progress:
                row = evaluate(
                    trained, splits["test"], protocol=protocol, device=device, command=command, progress=progress
                )
            rows += [row, *baseline_rows(trained.variant, splits, protocol=protocol, present=rows, command=command)]
            sheets.append(output / f"sheet-{name}.png")
            draw_sheet(trained, splits["test"], target=sheets[-1], protocol=protocol, device=device)
        for row in rows:
            save_row(row, output / "rows")
        return [*print_leaderboards(output), *sheets]


def shipped_for(recipe: str, *, image_size: int) -> list[str]:
    """Returns the names of the best shipped models of images of a data set; raises ConfigError if there are none."""
    found = []
    for name in shipped_names():
        card = read_card(weights_folder() / name)
        config = card.config
        if (config["data"]["name"], config["image_size"], config["task"]["use"]) == (recipe, image_size, "render"):
            found.append((card.evaluation[0].metrics["nelbo_excess"].value, name))
    if not found:
        raise ConfigError(
            f"--pretrained: {weights_folder()} has no weights of {recipe} at {image_size}x{image_size} pixels; "
            "gqn-zoo list --pretrained lists all"
        )
    return [name for _, name in sorted(found)[:MODELS]]
