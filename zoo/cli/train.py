"""``gqn-zoo train``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zoo.cli.options import Cpu, Data, Seed, Set, Size

if TYPE_CHECKING:
    from zoo.registry.variant import Variant
    from zoo.training.options import ResumeOptions, TrainingOptions


def run(
    name: Annotated[str, typer.Argument(help="A registered variant.")],
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run.")],
    size: Size = "full",
    overrides: Set = [],  # noqa: B006  (typer copies it)
    steps: Annotated[
        int | None, typer.Option("--steps", help="Updates in the whole run; as --set training.steps=N.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("-b", "--batch-size", help="Scenes an update over all processes; as --set training.batch_size=N."),
    ] = None,
    seed: Seed = 0,
    resume: Annotated[
        str,
        typer.Option(
            "--resume", help="never, auto (the newest intact checkpoint in -o), or the folder of a run or checkpoint."
        ),
    ] = "never",
    init_from: Annotated[
        Path | None, typer.Option("--init-from", help="Start with the weights of this run or checkpoint.")
    ] = None,
    allow_config_change: Annotated[
        bool, typer.Option("--allow-config-change", help="Resume although the configuration differs.")
    ] = False,
    mixed_precision: Annotated[
        Literal["no", "bf16", "fp16"] | None,
        typer.Option("--mixed-precision", help="As --set training.mixed_precision=..."),
    ] = None,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the model as one graph with torch.compile.")
    ] = False,
    compile_mode: Annotated[
        Literal["default", "reduce-overhead", "max-autotune"] | None,
        typer.Option(
            "--compile-mode",
            help="Compile for: default, reduce-overhead (CUDA graphs), max-autotune (and kernels tried out).",
        ),
    ] = None,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute", help="Compute activations of the steps again in the backward pass: less memory, more time."
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--workers",
            help="Processes that read scenes; 0 reads in the training process. Default: by device and cores.",
        ),
    ] = None,
    residence: Annotated[
        Literal["auto", "device", "disk"],
        typer.Option(
            "--residence",
            help="Where scenes lie: all on the device, on disk, or on a GPU when they take a quarter of its memory.",
        ),
    ] = "auto",
    log_interval: Annotated[int, typer.Option("--log-interval", help="Steps between figures.")] = 50,
    validation_interval: Annotated[
        int, typer.Option("--validation-interval", help="Steps between validations.")
    ] = 1000,
    validation_scenes: Annotated[int, typer.Option("--validation-scenes", help="Scenes of a validation.")] = 256,
    save_interval: Annotated[int, typer.Option("--save-interval", help="Steps between checkpoints.")] = 1000,
    keep_last: Annotated[
        int, typer.Option("--keep-last", help="Newest checkpoints to keep; the best is always kept.")
    ] = 2,
    keep_every: Annotated[
        int, typer.Option("--keep-every", help="Also keep the checkpoint of every so many steps; 0: none.")
    ] = 0,
    on_bad_record: Annotated[
        Literal["raise", "skip"],
        typer.Option("--on-bad-record", help="Damaged TFRecords: stop, or skip and count them."),
    ] = "raise",
    cpu: Cpu = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build everything, try one step, tell sizes, write nothing.")
    ] = False,
) -> None:
    """Train a variant on a folder of scenes.

    On several GPUs start the same command by accelerate or torchrun: accelerate launch -m zoo train NAME ... The batch size is
    the global one. Ctrl-C ends the run after the step at hand with a checkpoint; --resume auto goes on exactly from there.
    """
    from zoo.registry.registry import default_registry
    from zoo.training.options import ResumeOptions, TrainingOptions

    short = {"training.steps": steps, "training.batch_size": batch_size, "training.mixed_precision": mixed_precision}
    changes = [
        *overrides,
        *(
            f"{key}={value!r}" if key != "training.mixed_precision" else f'{key}="{value}"'
            for key, value in short.items()
            if value is not None
        ),
    ]
    variant = default_registry().variant(name, size=size, overrides=changes)
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
        _dry_run(variant, data=data, options=options, seed=seed, cpu=cpu)
        return
    _train(
        variant,
        data=data,
        output=output,
        seed=seed,
        options=options,
        resume=ResumeOptions(mode=resume, init_from=init_from, allow_config_change=allow_config_change),
        cpu=cpu,
        on_bad_record=on_bad_record,
    )


def _train(
    variant: Variant,
    *,
    data: Path,
    output: Path,
    seed: int,
    options: TrainingOptions,
    resume: ResumeOptions,
    cpu: bool,
    on_bad_record: Literal["raise", "skip"],
) -> None:
    from zoo.cli import screen
    from zoo.training.run import train

    main_process = _is_main_process()
    with screen.training_progress({variant.name: variant.training.steps}, shown=main_process) as progress:
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
            progress=lambda step, figures: progress(variant.name, step, figures),
            log=screen.log,
        )
    if not main_process:
        return
    if report.status == "interrupted":
        screen.log(
            f"Interrupted after step {report.step}; a checkpoint was written. Go on with: the same command and --resume auto"
        )
        raise typer.Exit(128 + (report.signal or 2))
    screen.log(
        f"Trained {report.step} steps on {report.scenes} scenes in {report.seconds:.0f} s. Next: gqn-zoo evaluate {output} --data {data}"
    )


def _is_main_process() -> bool:
    import os

    return os.environ.get("RANK", "0") == "0"


def _dry_run(variant: Variant, *, data: Path, options: TrainingOptions, seed: int, cpu: bool) -> None:
    from zoo.config.schedules import schedule_values_at
    from zoo.data.loader import TrainingLoader
    from zoo.data.plan import TrainingPlan
    from zoo.registry.variant import build
    from zoo.training.run import device_of, open_training_data

    source = open_training_data(data, variant)["train"]
    device = device_of(cpu=cpu)
    recipe = variant.training
    loader = TrainingLoader(
        source, plan=TrainingPlan(source, recipe=recipe, seed=seed), device=device, residence="disk"
    )
    model = build(variant, seed=seed).to(device)
    batch, num_context = next(loader.pieces(start=0, stop=1))
    terms = model(batch, schedule_values_at(recipe, 0, device=device), num_context)
    terms.loss().backward()
    parameters = model.num_parameters
    checkpoint_bytes = 4 * parameters * (4 if recipe.ema_decay else 3)
    typer.echo(f"variant        {variant.name} (size {variant.size}), {parameters:,} parameters")
    typer.echo(
        f"data           {source.name}@{source.revision}: {source.num_scenes} scenes of {source.num_views} views for training"
    )
    typer.echo(
        f"run            {recipe.steps} steps of {recipe.batch_size} scenes, {recipe.steps * recipe.batch_size / source.num_scenes:.1f} epochs"
    )
    typer.echo(
        f"first step     NELBO {terms.loss().item():.1f} nats/target with {num_context} context views on {device}"
    )
    typer.echo(
        f"checkpoints    {checkpoint_bytes / 1e6:.0f} MB each, at most {(options.keep_last + 2) * checkpoint_bytes / 1e6:.0f} MB at a time"
    )
    typer.echo("Nothing was written.")
