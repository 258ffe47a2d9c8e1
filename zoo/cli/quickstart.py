"""``gqn-zoo quickstart``: the suite ``quickstart`` with figures and three claims."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli import screen
from zoo.cli.bench import ExecutionOptions
from zoo.cli.options import Cpu, Seed
from zoo.errors import ConfigError, ResultError

if TYPE_CHECKING:
    from zoo.analysis.claims import Claim
    from zoo.results.row import ResultRow

SUITE, SIZE = "quickstart", "small"
VARIANTS = ("vae", "gqn-tower", "gqn-epipolar-improved")
UNIT = "nats/target"
PRETRAINED_OUTPUT, PRETRAINED_SCENES = Path("quickstart-pretrained"), 32  # of each split


def run(
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder for everything; default: quickstart, or quickstart-pretrained. An interrupted quickstart is resumed.",
        ),
    ] = None,
    seed: Seed = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Fewer updates, for a quick look; the claims may then fail.")
    ] = None,
    scenes: Annotated[
        int | None, typer.Option(min=2, help="Fewer scenes in each split; the claims may then fail.")
    ] = None,
    cpu: Cpu = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the jobs with their costs; write nothing.")] = False,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Measure shipped weights on new scenes; nothing is trained.")
    ] = False,
) -> None:
    """Render rooms, train a VAE, GQN and an improved GQN, compare them: ten minutes on two CPU cores.

    The folder gets a table, learning curves and prediction sheets. Three claims are tested with paired t-tests: GQN is
    better than VAE, the improved GQN is better than GQN, and it uses its context. Exits with code 1 if one does not hold.
    With --pretrained, half a minute: the table, beside two baselines, and the sheets of shipped weights on unseen scenes.
    """
    from zoo.bench.measurement import label_of
    from zoo.bench.suite.jobs import sheet_path
    from zoo.bench.suite.plan import SuiteSelection
    from zoo.bench.suite.settings import load_suite
    from zoo.cli.bench_suite import SuiteCommand, print_leaderboards
    from zoo.cli.quickstart_pretrained import measure_pretrained
    from zoo.figures.curves import learning_curves
    from zoo.results.store import load_rows
    from zoo.training.options import TrainingOptions

    started = time.monotonic()
    suite = load_suite(SUITE)
    if pretrained:
        if steps is not None or dry_run:
            raise ConfigError("--pretrained: trains nothing; leave out --steps and --dry-run")
        scenes = min(scenes or PRETRAINED_SCENES, PRETRAINED_SCENES)
    if scenes is not None:
        suite = suite._replace(data={name: value.at_most(scenes) for name, value in suite.data.items()})
    if pretrained:
        written = measure_pretrained(suite, output=output or PRETRAINED_OUTPUT, seed=seed, cpu=cpu)
        screen.log("wrote " + ", ".join(map(str, written)) + ". Next: gqn-zoo list --pretrained; gqn-zoo quickstart")
        return
    output = output or Path(SUITE)
    command = SuiteCommand(
        suite=suite,
        output=output,
        selection=SuiteSelection(seeds=[seed], steps=steps),
        training=TrainingOptions(log_interval=25),
        execution=ExecutionOptions(cpu=cpu, retry=True),
    )
    if dry_run:
        command.dry_run()
        return
    jobs = command.run().jobs
    written = print_leaderboards(output)
    names = [f"{name}@{SIZE}" for name in VARIANTS]
    claims = judge([row for row in load_rows([output]) if row.provenance.seed == seed], names=names)
    runs = {label_of(job.variant): job.run for job in jobs}
    written.append(learning_curves(runs, output / "curves.png", title="rooms, validation scenes"))
    for job in jobs:
        sheet = output / f"sheet-{job.variant.name}.png"
        shutil.copyfile(sheet_path(job), sheet)
        written.append(sheet)
    for claim in claims:
        screen.stdout_console().print(claim.sentence, soft_wrap=True)
    screen.log("wrote " + ", ".join(map(str, written)))
    screen.log(
        f"{time.monotonic() - started:.0f} s in all. Next: gqn-zoo list; gqn-zoo data make --help; gqn-zoo train --help"
    )
    if not all(claim.holds for claim in claims):
        raise typer.Exit(1)


def judge(rows: Sequence[ResultRow], *, names: Sequence[str]) -> list[Claim]:
    """Tests the three claims of the quickstart, paired over the test scenes, on the newest row of each name."""
    import numpy as np

    from zoo.analysis.claims import Expectation, conclude
    from zoo.comparison.comparability import paired_difference
    from zoo.comparison.seed_groups import SeedGroup

    newest = {row.variant: row for row in rows if row.status == "ok"}
    for name in names:
        if name not in newest:
            failed = [row.error for row in rows if row.variant == name]
            raise ResultError(f"{name} could not be trained or measured: {failed[-1] if failed else 'it left no row'}")
    vae, gqn, improved = (newest[name] for name in names)
    expectations = [
        Expectation(
            f"{better.variant} is below {worse.variant}",
            paired_difference(SeedGroup((better,)), SeedGroup((worse,))),
            UNIT,
        )
        for better, worse in ((improved, gqn), (gqn, vae))
    ]
    own, wrong = (np.array(improved.per_scene[name]) for name in ("nelbo_excess", "wrong_context_nelbo_excess"))
    text = f"{improved.variant} with its own context is below {improved.variant} with another scene's"
    return conclude([*expectations, Expectation.less(text, own, wrong, unit=UNIT)])
