"""From a trained model and its measurement to a folder of weights that ships: weights in fp16, card, README, sample."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jinja2
import torch
from scipy.special import stdtrit

from zoo.bench.measurement import label_of
from zoo.comparison.formatting import number
from zoo.comparison.seed_groups import grouped
from zoo.errors import CheckpointError
from zoo.files import sha256_of, writing_directory
from zoo.model.scene_model import SceneModel
from zoo.provenance import Provenance
from zoo.results.metrics import BEST, ONE, RECONSTRUCTION, metric_info
from zoo.results.row import Metric, ResultRow
from zoo.results.weights import CARD, README, SAMPLE, WEIGHTS, Card
from zoo.training.checkpoint import write_tensors
from zoo.training.trained_model import ENVIRONMENT, TrainedModel, provenance_of_run


def provenance_of(trained: TrainedModel) -> Provenance:
    """Returns command, commit and machine of a run; raises CheckpointError if the run does not know them."""
    if (found := provenance_of_run(trained.run)) is None:
        raise CheckpointError(
            f"{trained.run / ENVIRONMENT}: is missing or damaged; expected the environment of a run, without which weights "
            "cannot ship"
        )
    return found


def round_weights(model: SceneModel) -> None:
    """Rounds the weights to 16-bit floats in place, so that what is measured is what ships.

    Raises:
        CheckpointError: if a weight is too large for a 16-bit float.
    """
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            rounded = tensor.half()
            if not torch.equal(rounded.isfinite(), tensor.isfinite()):
                raise CheckpointError(
                    f"{name}: has a value beyond 65504, the largest 16-bit float; it cannot be exported"
                )
            tensor.copy_(rounded)


def export(
    trained: TrainedModel,
    rows: Sequence[ResultRow],
    *,
    target: Path,
    sample: Path | Callable[[Path], object] | None = None,
    limits: Sequence[str] = (),
) -> Card:
    """Writes weights with their card, README and sample image into the folder ``target``, whole or not at all.

    Args:
        trained: the model, after :func:`round_weights`.
        rows: its measurements, then those of baselines; the card keeps them without their values per scene.
        target: a folder that does not exist.
        sample: an image to copy, or a function that draws one into a file; None: no image.
        limits: sentences about what the model is not good for, beside those that follow from run and rows.

    Raises:
        CheckpointError: if the run has no provenance.
        DiskFullError: if ``target`` exists or cannot be written.
    """
    training = provenance_of(trained)
    kept = [ResultRow.model_validate(row.model_dump(exclude={"id", "per_scene"})) for row in rows]
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in trained.model.state_dict().items()
    }
    with writing_directory(target) as folder:
        write_tensors(tensors, folder / WEIGHTS)
        (folder / WEIGHTS).chmod(folder.stat().st_mode & 0o666)  # safetensors lets nobody else read it
        if isinstance(sample, Path):
            shutil.copyfile(sample, folder / SAMPLE)
        elif sample is not None:
            sample(folder / SAMPLE)
        card = Card(
            sha256=sha256_of(folder / WEIGHTS),
            bytes=(folder / WEIGHTS).stat().st_size,
            step=trained.step,
            seconds=trained.seconds,
            config=dict(trained.config),
            training=training,
            evaluation=kept,
            limits=[*_limits(trained, training, kept), *limits],
        )
        (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
        environment = jinja2.Environment(  # noqa: S701 -- Markdown, not HTML
            loader=jinja2.PackageLoader("zoo.bench", "templates"), undefined=jinja2.StrictUndefined, trim_blocks=True
        )
        text = environment.get_template("weights.md").render(
            card=card,
            variant=trained.variant,
            label=label_of(trained.variant),
            name=target.name,
            has_sample=sample is not None,
            groups=list(grouped(kept, lambda row: row.key).values()),
            table=_table,
        )
        (folder / README).write_text(text, encoding="utf-8")
    return card


def _limits(trained: TrainedModel, training: Provenance, rows: Sequence[ResultRow]) -> list[str]:
    """Returns the limits that follow from a run and its measurement."""
    variant, data = trained.variant, trained.config["data"]
    pixels = f" at {variant.image_size}x{variant.image_size} pixels" if variant.image_size else ""
    contexts = variant.training.contexts
    found = [
        f"Trained on {data['name']} alone{pixels}, with {contexts.minimum} to {contexts.maximum} context views: anything "
        "else is an extrapolation.",
    ]
    if training.git is None or training.git.dirty:
        found.append("Trained by code that differs from every commit.")
    for model, *others in grouped(rows, lambda row: row.key).values():
        excess = {name: metric.value for name, metric in model.metrics.items() if name.endswith("nelbo_excess")}
        own, where = excess["nelbo_excess"], f"(excess NELBO, context views: {model.key and model.key.num_context})"
        if excess.get("wrong_context_nelbo_excess", own + 1.0) <= own:
            found.append(f"No better with its own context than with that of another scene {where}.")
        better = (row for row in others if row.metrics["nelbo_excess"].value <= own)
        found += [f"No better than the baseline {row.variant} {where}." for row in better]
    return found


def _table(rows: Sequence[ResultRow]) -> Iterator[list[str]]:
    """Yields title, unit and, for every row, mean with interval of the metrics that a README shows."""
    for name, metric in rows[0].metrics.items():
        if name == "floor" or name.startswith(RECONSTRUCTION) or name.endswith((ONE, BEST)):
            continue
        info, found = metric_info(name), (row.metrics.get(name) for row in rows)
        yield [f"{info.title} {info.arrow}", metric.unit, *(_with_interval(each) if each else "" for each in found)]


def _with_interval(metric: Metric) -> str:
    """Returns a mean over scenes ± half of its 95 % interval, after Student."""
    half = metric.stderr and float(stdtrit(metric.n - 1, 0.975)) * metric.stderr
    return " ± ".join(filter(None, number(metric.value, half)))
