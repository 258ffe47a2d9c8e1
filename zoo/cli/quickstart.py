"""``gqn-zoo quickstart``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.options import Cpu, Seed

if TYPE_CHECKING:
    from zoo.analysis.claim import Claim
    from zoo.results.row import ResultRow

DATASET = "rooms_ring_camera"
VARIANTS = ("vae", "cvae", "gqn-tower")
SCENES = {"train": 4000, "validation": 100, "test": 400}
SIZE = "quickstart"
UNIT = "nats/target"


def run(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for everything; an interrupted quickstart goes on.")
    ] = Path("quickstart"),
    seed: Seed = 0,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Fewer updates, for a look at the machinery; the claims may then fail."),
    ] = None,
    scenes: Annotated[
        int | None, typer.Option("--scenes", min=2, help="Fewer scenes in each split; the claims may then fail.")
    ] = None,
    cpu: Cpu = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done.")] = False,
) -> None:
    """Render rooms, train VAE, CVAE and GQN, compare them: seven to ten minutes on two CPU cores.

    It leaves a table, a learning curve and prediction sheets in the folder, and says whether GQN and CVAE beat VAE and whether
    GQN makes use of its context, each by more than five standard errors. Exit code 1 if one of these does not come out.
    """
    from zoo.bench.measurement import label_of
    from zoo.bench.parallel_training import train_in_parallel
    from zoo.bench.prediction_sheets import draw_sheet
    from zoo.bench.protocol import Protocol
    from zoo.bench.suite.jobs import Job, carry_out_all, finished, run_folder
    from zoo.cli import screen
    from zoo.comparison.markup import to_terminal
    from zoo.comparison.tables import tables_of, write_tables
    from zoo.data.make import make_dataset
    from zoo.data.opening import open_scenes
    from zoo.figures.curves import learning_curves
    from zoo.provenance import usable_cores
    from zoo.registry.registry import default_registry
    from zoo.results.store import load_rows
    from zoo.training.options import TrainingOptions
    from zoo.training.trained_model import load_trained

    started = time.monotonic()
    counts = {split: min(count, scenes or count) for split, count in SCENES.items()}
    changes = [f"training.steps={steps}"] if steps else []
    variants = [default_registry().variant(name, size=SIZE, overrides=changes) for name in VARIANTS]
    image_size = variants[0].image_size
    data = output / "data" / f"{DATASET}-{image_size}-{counts['train']}-seed-{seed}"
    if dry_run:
        typer.echo(f"render {sum(counts.values())} scenes of {DATASET} at {image_size} pixels into {data}")
        for variant in variants:
            typer.echo(
                f"train {label_of(variant)}: {variant.training.steps} steps of {variant.training.batch_size} scenes; measure it on {counts['test']} scenes"
            )
        typer.echo(f"write table, curves and sheets into {output}. Nothing was written.")
        return
    if not data.exists():
        with screen.progress_bar(f"rendering {DATASET}", unit="scenes") as rendered:
            make_dataset(DATASET, folder=data, num_scenes=counts, image_size=image_size, seed=seed, progress=rendered)  # type: ignore[arg-type]
    jobs = [
        Job(
            variant=variant,
            data=data,
            run=run_folder(output, variant, seed=seed),
            rows=output / "rows",
            seed=seed,
            protocol=Protocol(repeats=5),
            cpu=cpu,
            command=["gqn-zoo", *sys.argv[1:]],
            options=TrainingOptions(
                log_interval=25, validation_interval=100, validation_scenes=counts["validation"], save_interval=250
            ),
        )
        for variant in variants
    ]
    waiting = [job for job in jobs if not finished(job)]
    if waiting:
        # The slowest first, so that the others share the rest of the cores meanwhile.
        ordered = sorted(waiting, key=lambda job: VARIANTS.index(job.variant.name), reverse=True)
        with screen.training_progress({job.variant.name: job.variant.training.steps for job in ordered}) as trained:
            train_in_parallel(
                ordered,
                cores=usable_cores(),
                progress=lambda job, step, figures: trained(job.variant.name, step, figures),
            )
    # One at a time and each in a process of its own, so that speeds and memory are those of the variant alone.
    carry_out_all(waiting, tell=lambda sentence: screen.log(f"measuring {sentence}"))
    rows = load_rows([output])
    written = write_tables(rows, output / "tables")
    written.append(
        learning_curves(
            {label_of(job.variant): job.run for job in jobs},
            output / "curves.png",
            title=f"{DATASET}, validation scenes",
        )
    )
    test = open_scenes(data, "test")
    for job in jobs:
        target = output / f"sheet-{job.variant.name}.png"
        draw_sheet(load_trained(job.run), test, target=target, num_context=None, protocol=job.protocol, device="cpu")
        written.append(target)
    results = screen.stdout_console()
    results.print(to_terminal(tables_of(rows), width=results.width))
    claims = judge(rows, names=[label_of(job.variant) for job in jobs])
    for claim in claims:
        results.print(claim.sentence, soft_wrap=True)
    screen.log("wrote " + ", ".join(map(str, written)))
    screen.log(
        f"{time.monotonic() - started:.0f} s in all. Next: gqn-zoo list; gqn-zoo data make --help; gqn-zoo train --help"
    )
    if not all(claim.holds for claim in claims):
        raise typer.Exit(1)


def judge(rows: Sequence[ResultRow], *, names: Sequence[str]) -> list[Claim]:
    """Tests the three claims of the quickstart on its rows, paired over the test scenes; the newest row of a name counts.

    Raises:
        ResultError: if one of the variants has no row without failure.
    """
    import numpy as np

    from zoo.analysis.claim import Claim
    from zoo.comparison.seed_groups import paired_difference
    from zoo.comparison.statistics import paired_t_test
    from zoo.errors import ResultError

    newest = {row.variant: row for row in rows if row.status == "ok"}
    for name in names:
        if name not in newest:
            failed = [row.error for row in rows if row.variant == name]
            raise ResultError(f"{name} could not be trained or measured: {failed[-1] if failed else 'it left no row'}")
    vae, cvae, gqn = (newest[name] for name in names)
    claims = [
        Claim.below_zero(f"{better.variant} is below {vae.variant}", paired_difference(better, vae), unit=UNIT)
        for better in (gqn, cvae)
    ]
    scores = gqn.per_scene
    difference = np.array(scores["nelbo_excess"]) - np.array(scores["wrong_context_nelbo_excess"])
    claims.append(
        Claim.below_zero(
            f"{gqn.variant} with its own context is below {gqn.variant} with another scene's",
            paired_t_test(difference),
            unit=UNIT,
        )
    )
    return claims
