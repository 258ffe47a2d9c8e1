"""``gqn-zoo train``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zoo.cli.options import Cpu, Data, RegistryFiles, Seed, Set, Size

if TYPE_CHECKING:
    from zoo.registry.variant import Variant
    from zoo.training.options import TrainingOptions

Name = Annotated[str, typer.Argument(help="A registered variant.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder of the run.")]
Steps = Annotated[
    int | None, typer.Option("--steps", help="Updates in the whole run; the same as --set training.steps=N.")
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "-b", "--batch-size", help="Scenes per update over all processes; the same as --set training.batch_size=N."
    ),
]
Resume = Annotated[
    str,
    typer.Option(
        "--resume", help="never, auto (the newest intact checkpoint in -o), or the folder of a run or checkpoint."
    ),
]
InitFrom = Annotated[Path | None, typer.Option("--init-from", help="Start with the weights of this run or checkpoint.")]
AllowConfigChange = Annotated[
    bool, typer.Option("--allow-config-change", help="Resume although the configuration differs.")
]
MixedPrecision = Annotated[
    Literal["no", "bf16", "fp16"] | None,
    typer.Option("--mixed-precision", help="The same as --set training.mixed_precision=..."),
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the model as one graph with torch.compile.")]
CompileMode = Annotated[
    Literal["default", "reduce-overhead", "max-autotune"] | None,
    typer.Option(
        "--compile-mode",
        help="Mode of torch.compile: default, reduce-overhead (CUDA graphs), max-autotune (and autotuned kernels).",
    ),
]
Recompute = Annotated[
    bool,
    typer.Option(
        "--recompute", help="Recompute activations of the steps in the backward pass: less memory, more time."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "-j",
        "--workers",
        help="Processes that read scenes; 0 reads in the training process. Default: by device and cores.",
    ),
]
Residence = Annotated[
    Literal["auto", "device", "disk"],
    typer.Option(
        "--residence",
        help="Where scenes are kept: on the device, on disk, or on a GPU if they take at most a quarter of its memory.",
    ),
]
LogInterval = Annotated[int, typer.Option("--log-interval", help="Steps between logged metrics.")]
ValidationInterval = Annotated[int, typer.Option("--validation-interval", help="Steps between validations.")]
ValidationScenes = Annotated[int, typer.Option("--validation-scenes", help="Scenes of a validation.")]
SaveInterval = Annotated[int, typer.Option("--save-interval", help="Steps between checkpoints.")]
KeepLast = Annotated[int, typer.Option("--keep-last", help="Newest checkpoints to keep; the best is always kept.")]
KeepEvery = Annotated[
    int, typer.Option("--keep-every", help="Also keep the checkpoint of every multiple of this step; 0: none.")
]
BadRecord = Annotated[
    Literal["raise", "skip"],
    typer.Option("--on-bad-record", help="Damaged TFRecords: stop, or skip and count them."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Build everything, try one step, print sizes, write nothing.")]


def run(
    name: Name,
    data: Data,
    output: Output,
    size: Size = "full",
    overrides: Set = [],  # noqa: B006  (typer copies it)
    steps: Steps = None,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    resume: Resume = "never",
    init_from: InitFrom = None,
    allow_config_change: AllowConfigChange = False,
    mixed_precision: MixedPrecision = None,
    compile_model: Compile = False,
    compile_mode: CompileMode = None,
    recompute: Recompute = False,
    workers: Workers = None,
    residence: Residence = "auto",
    log_interval: LogInterval = 50,
    validation_interval: ValidationInterval = 1000,
    validation_scenes: ValidationScenes = 256,
    save_interval: SaveInterval = 1000,
    keep_last: KeepLast = 2,
    keep_every: KeepEvery = 0,
    on_bad_record: BadRecord = "raise",
    cpu: Cpu = False,
    dry_run: DryRun = False,
    registry_files: RegistryFiles = [],  # noqa: B006  (typer copies it)
) -> None:
    """Train a variant on a folder of scenes.

    On several GPUs start the same command with accelerate or torchrun: accelerate launch -m zoo train NAME ... The batch size
    is the global one. Ctrl-C ends the run after the current step with a checkpoint; --resume auto continues exactly from there.
    """
    from zoo.registry.registry import default_registry
    from zoo.training.options import ResumeOptions, TrainingOptions

    settings = {"training.steps": steps, "training.batch_size": batch_size, "training.mixed_precision": mixed_precision}
    # Quoted, because YAML would read no as a string but 'true' as a boolean.
    changes = [
        f'{key}="{value}"' if isinstance(value, str) else f"{key}={value}"
        for key, value in settings.items()
        if value is not None
    ]
    variant = default_registry().variant(name, size=size, overrides=[*overrides, *changes])
    options = TrainingOptions(
        compile=compile_model or compile_mode is not None,
        compile_mode=compile_mode or "default",
        recompute=recompute,
        workers="auto" if workers is None else workers,
        residence=residence,
        log_interval=log_interval,
        validation_interval=validation_interval,
        validation_scenes=validation_scenes,
        save_interval=save_interval,
        keep_last=keep_last,
        keep_every=keep_every,
    )
    if dry_run:
        _dry_run(variant, data=data, output=output, options=options, seed=seed, cpu=cpu)
        return
    resuming = ResumeOptions(mode=resume, init_from=init_from, allow_config_change=allow_config_change)
    _train(
        variant,
        data=data,
        run=output,
        seed=seed,
        options=options,
        resume=resuming,
        cpu=cpu,
        on_bad_record=on_bad_record,
    )


def _train(variant: Variant, *, data: Path, run: Path, **arguments: Any) -> None:
    """Trains with a progress bar and prints the next command."""
    from zoo.cli import screen
    from zoo.training.run import train

    main_process = os.environ.get("RANK", "0") == "0"
    with screen.training_progress({variant.name: variant.training.steps}, shown=main_process) as progress:
        report = train(
            variant,
            data=data,
            run=run,
            command=["gqn-zoo", *sys.argv[1:]],
            progress=lambda step, metrics: progress(variant.name, step, metrics),
            log=screen.log,
            **arguments,
        )
    if not main_process:
        return
    if report.status == "interrupted":
        screen.log(
            f"Interrupted after step {report.step}; a checkpoint was written. Resume with the same command and --resume auto"
        )
        raise typer.Exit(128 + (report.signal or 2))
    screen.log(
        f"Trained {report.step} steps on {report.scenes} scenes in {report.seconds:.0f} s. Next: gqn-zoo evaluate {run} --data {data}"
    )


def _dry_run(variant: Variant, *, data: Path, output: Path, options: TrainingOptions, seed: int, cpu: bool) -> None:
    """Builds everything, runs one step and prints sizes."""
    import torch

    from zoo.config.schedules import schedule_values_at
    from zoo.data.loader import TrainingLoader
    from zoo.data.plan import TrainingPlan
    from zoo.registry.variant import build
    from zoo.training.memory import check_batch_memory, check_model_memory, memory_errors
    from zoo.training.run import check_run_folder, device_of, open_training_data

    check_run_folder(output, data=data)
    source = open_training_data(data, variant)["train"]
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
