"""``gqn-zoo train``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from zoo.cli import screen
from zoo.cli.options import Cpu, Data, Name, OnBadRecord, RegistryFiles, Seed, Set, Size
from zoo.registry.registry import default_registry

if TYPE_CHECKING:
    from zoo.registry.variant import Variant
    from zoo.training.options import TrainingOptions


class RecipeChanges(NamedTuple):
    """Options that change a setting of the training recipe."""

    steps: Annotated[int | None, typer.Option(help="Updates in the whole run; the same as --set training.steps=N.")] = (
        None
    )
    batch_size: Annotated[
        int | None,
        typer.Option(
            "-b", "--batch-size", help="Scenes per update over all processes; the same as --set training.batch_size=N."
        ),
    ] = None
    mixed_precision: Annotated[
        Literal["no", "bf16", "fp16"] | None, typer.Option(help="The same as --set training.mixed_precision=...")
    ] = None

    def overrides(self) -> list[str]:
        """Returns the given options as ``key=value``."""
        # Quoted, because YAML would read no as a string but 'true' as a boolean.
        return [
            f'training.{key}="{value}"' if isinstance(value, str) else f"training.{key}={value}"
            for key, value in self._asdict().items()
            if value is not None
        ]


class Start(NamedTuple):
    """Options of where the run starts."""

    resume: Annotated[
        str,
        typer.Option(help="never, auto (the newest intact checkpoint in -o), or the folder of a run or checkpoint."),
    ] = "never"
    init_from: Annotated[
        Path | None, typer.Option(help="Start with the weights of this run or checkpoint, or of a shipped name.")
    ] = None
    allow_config_change: Annotated[
        bool, typer.Option("--allow-config-change", help="Resume although the configuration differs.")
    ] = False


class Execution(NamedTuple):
    """Options of how the run is executed."""

    compile: Annotated[bool, typer.Option("--compile", help="Compile the model as one graph with torch.compile.")] = (
        False
    )
    compile_mode: Annotated[
        Literal["default", "reduce-overhead", "max-autotune"] | None,
        typer.Option(
            help="Mode of torch.compile: default, reduce-overhead (CUDA graphs), max-autotune (and autotuned kernels)."
        ),
    ] = None
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute", help="Recompute activations of the steps in the backward pass: less memory, more time."
        ),
    ] = False
    workers: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--workers",
            help="Processes that read scenes; 0 reads in the training process. Default: by device and cores.",
        ),
    ] = None
    residence: Annotated[
        Literal["auto", "device", "disk"],
        typer.Option(
            help="Where scenes are kept: on the device, on disk, or on a GPU if they take at most a quarter of its memory."
        ),
    ] = "auto"
    log_interval: Annotated[int, typer.Option(help="Steps between logged metrics.")] = 50
    validation_interval: Annotated[int, typer.Option(help="Steps between validations.")] = 1000
    validation_scenes: Annotated[int, typer.Option(help="Scenes of a validation.")] = 256
    prediction_scenes: Annotated[
        int,
        typer.Option(
            help="Validation scenes whose predictions are drawn at every validation, if they are images; 0: none."
        ),
    ] = 4
    save_interval: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 1000
    keep_last: Annotated[int, typer.Option(help="Newest checkpoints to keep; the best is always kept.")] = 2
    keep_every: Annotated[
        int, typer.Option(help="Also keep the checkpoint of every multiple of this step; 0: none.")
    ] = 0
    log_with: Annotated[
        str,
        typer.Option(
            help="Trackers beside metrics.jsonl, separated by commas: tensorboard, wandb, mlflow, aim, ... as accelerate "
            "names them; '' for none."
        ),
    ] = "tensorboard"

    def training_options(self) -> TrainingOptions:
        """Returns the options for the trainer."""
        from zoo.training.options import TrainingOptions

        values = self._asdict() | {
            "compile": self.compile or self.compile_mode is not None,
            "log_with": tuple(dict.fromkeys(name.strip() for name in self.log_with.split(",") if name.strip())),
        }
        # What is not given has the trainer's default.
        return TrainingOptions(**{key: value for key, value in values.items() if value is not None})


def run(
    name: Name,
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run.")],
    changes: RecipeChanges,
    start: Start,
    execution: Execution,
    size: Size = "full",
    overrides: Set = [],
    seed: Seed = 0,
    on_bad_record: OnBadRecord = "raise",
    cpu: Cpu = False,
    live: Annotated[
        bool, typer.Option("--live", help="Show metrics, a curve and the latest predictions in the terminal.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build everything, try one step, print sizes, write nothing.")
    ] = False,
    registry_files: RegistryFiles = [],
) -> None:
    """Train a variant on a folder of scenes.

    On several GPUs start the same command with accelerate or torchrun: accelerate launch -m zoo train NAME ... The batch size
    is the global one. Ctrl-C ends the run after the current step with a checkpoint; --resume auto continues exactly from there.
    """
    from zoo.training.options import ResumeOptions

    variant = default_registry().variant(name, size=size, overrides=[*overrides, *changes.overrides()])
    options = execution.training_options()
    if dry_run:
        _dry_run(variant, data=data, output=output, options=options, seed=seed, cpu=cpu)
        return

    from zoo.training.run import train

    main_process = os.environ.get("RANK", "0") == "0"
    resume = ResumeOptions(mode=start.resume, init_from=start.init_from, allow_config_change=start.allow_config_change)
    with _display(variant, live=live, shown=main_process) as listeners:
        report = train(
            variant,
            data=data,
            run=output,
            seed=seed,
            options=options,
            resume=resume,
            cpu=cpu,
            on_bad_record=on_bad_record,
            command=["gqn-zoo", *sys.argv[1:]],
            log=screen.log,
            **listeners,
        )
    if not main_process:
        return
    if report.status == "interrupted":
        screen.log(
            f"Interrupted after step {report.step}; a checkpoint was written. Resume with the same command and --resume auto"
        )
        raise typer.Exit(128 + (report.signal or 2))
    screen.log(
        f"Trained {report.step} steps on {report.scenes} scenes in {report.seconds:.0f} s. Next: gqn-zoo evaluate {output} --data {data}"
    )


@contextmanager
def _display(variant: Variant, *, live: bool, shown: bool) -> Iterator[dict[str, Any]]:
    """Shows the live display, if stderr is a terminal, or a progress bar; yields the listeners that ``train`` takes."""
    from zoo.cli.live import LiveDisplay, can_be_live

    label, steps = variant.name, variant.training.steps
    if live and shown and can_be_live():
        with LiveDisplay(label, steps=steps, console=screen.stderr_console()).shown() as display:
            yield {"progress": display.update, "on_predictions": display.show_predictions}
    else:
        with screen.training_progress(label, steps=steps, shown=shown) as progress:
            yield {"progress": progress}


def _dry_run(variant: Variant, *, data: Path, output: Path, options: TrainingOptions, seed: int, cpu: bool) -> None:
    import torch

    from zoo.config.schedules import schedule_values_at
    from zoo.data.loader import TrainingLoader
    from zoo.data.plan import TrainingPlan
    from zoo.registry.variant import build
    from zoo.training.memory import check_batch_memory, check_model_memory, memory_errors
    from zoo.training.run import check_run_folder, device_of, open_splits_for

    check_run_folder(output, data=data)
    source = open_splits_for(variant, data, "train")["train"]
    device = device_of(cpu=cpu)
    recipe = variant.training
    check_model_memory(variant, device=torch.device(device))
    check_batch_memory(variant, source, num_processes=1)
    loader = TrainingLoader(
        source, plan=TrainingPlan(source, recipe=recipe, seed=seed), device=device, residence="disk"
    )
    with memory_errors(variant):
        model = build(variant, seed=seed).to(device)
        batch, num_context = next(loader.pieces(start=0, stop=1))
        terms = model(batch, schedule_values_at(recipe, 0, device=device), num_context)
        nelbo = terms.loss()
        nelbo.backward()
    checkpoint_megabytes = 4e-6 * model.num_parameters * (4 if recipe.ema_decay else 3)
    epochs = recipe.steps * recipe.batch_size / source.num_scenes
    facts = {
        "variant": f"{variant.name} (size {variant.size}), {model.num_parameters:,} parameters",
        "data": f"{source.name}@{source.revision}: {source.num_scenes} scenes of {source.num_views} views for training",
        "run": f"{recipe.steps} steps of {recipe.batch_size} scenes, {epochs:.1f} epochs",
        "first step": f"NELBO {nelbo.item():.1f} nats/target with {num_context} context views on {device}",
        "checkpoints": f"{checkpoint_megabytes:.0f} MB each, at most {(options.keep_last + 2) * checkpoint_megabytes:.0f} MB at a time",
    }
    for label, text in facts.items():
        typer.echo(f"{label:<15}{text}")
    typer.echo("Nothing was written.")
