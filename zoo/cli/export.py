"""``gqn-zoo export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import screen
from zoo.cli.evaluate import Measurement, ModelEvaluation
from zoo.cli.options import RegistryFiles
from zoo.cli.trained_run import TrainedRun
from zoo.errors import CheckpointError, ConfigError
from zoo.registry.sources import NAME


def run(
    given: TrainedRun,
    measurement: Measurement,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of weights, for example results/weights.")],
    name: Annotated[str | None, typer.Option(help="Of the new folder in it; default: the variant's name.")] = None,
    limits: Annotated[
        list[str],
        typer.Option(
            "--limit-note", help="A sentence about the model's limits for its card; may be given several times."
        ),
    ] = [],
    sample: Annotated[
        Path | None, typer.Option(help="A .png for the card; default: predictions of eight scenes, if they are images.")
    ] = None,
    registry_files: RegistryFiles = [],
) -> None:
    """Measure a trained model with 16-bit weights and write weights, card, README and sample image into a folder.

    The checkpoint and its measurement are chosen as by evaluate; the baselines are measured as well. Nothing is overwritten.
    """
    from zoo.bench.export import export, provenance_of, round_weights
    from zoo.bench.prediction_sheets import draw_sheet

    trained, protocol = given.load(), measurement.protocol(given)
    target = output / (name or trained.variant.name)
    if not NAME.fullmatch(name or trained.variant.name):
        raise ConfigError(
            f"--name: found {name or trained.variant.name!r}, expected lower-case letters, digits, '.', '_', '-'"
        )
    if target.exists():
        raise CheckpointError(f"{target}: exists already; remove it, or choose another --name")
    if sample is not None and (sample.suffix != ".png" or not sample.is_file()):
        raise ConfigError(f"--sample: found {str(sample)!r}, expected an image file that ends in .png")
    provenance_of(trained)
    round_weights(trained.model)
    splits = given.open_splits(trained.variant, "train")
    evaluation = ModelEvaluation(given, trained, splits, protocol)
    evaluation.check(None)
    rows = [*evaluation.model_rows(), *evaluation.baseline_rows([])]

    def draw(file: Path) -> None:
        shown = protocol.at(given.sizes[0], timed=False)
        draw_sheet(trained, splits[given.split], target=file, protocol=shown, device=given.device)

    drawn = draw if trained.model.task.target_kind == "images" else None
    card = export(trained, rows, target=target, sample=sample or drawn, limits=limits)
    screen.log(
        f"wrote {target}, {card.bytes / 1e6:.2f} MB of weights. Next: gqn-zoo evaluate {target} --data {given.data}"
    )
