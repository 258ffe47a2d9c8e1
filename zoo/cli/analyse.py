"""``gqn-zoo analyse``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from zoo.analysis.catalogue import ANALYSES, find_analysis
from zoo.cli import screen
from zoo.cli.options import Checkpoint, Cpu, RegistryFiles, Seed
from zoo.errors import ConfigError


def run(
    name: Annotated[str | None, typer.Argument(help="The analysis; without a name all are listed.")] = None,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Folders of runs or checkpoints, or shipped names (list --pretrained); default: those of the analysis.",
        ),
    ] = [],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of scenes, whose split test is used; default: scenes of the built-in data set that the first model "
            "was trained on, made once in OUTPUT/data."
        ),
    ] = None,
    scenes: Annotated[
        int | None, typer.Option("-n", "--scenes", min=2, help="Number of test scenes; default: see the list.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("-S", "--samples", min=2, max=1024, help="Samples of the latents; default: see the list."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=2, max=100, help="Trainings of every kind of policy (control); default: see the list."),
    ] = None,
    env_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Environment steps of every training of a policy (control); default: see the list."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for figures, tables and scenes.")] = Path(
        "analyses"
    ),
    checkpoint: Checkpoint = "best",
    gallery: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.md",
            help="Without a name: write a page with the figures, the first number and the command of every analysis in OUTPUT.",
        ),
    ] = None,
    seed: Seed = 0,
    cpu: Cpu = False,
    registry_files: RegistryFiles = [],
) -> None:
    """Analyse trained models: test what a paper claims on scenes that they have not seen, and draw it.

    Writes NAME.png and NAME.svg, NAME.csv (the numbers of the figure) and NAME.json (claims with intervals, provenance).
    Exits with code 0; 1 if a claim does not hold; 2 if a model does not qualify.
    """
    if gallery is not None:
        _write_gallery(gallery, name=name, results=output)
        return
    if name is None:
        _list_analyses()
        return
    find_analysis(name)

    from zoo.analysis.run import AnalysisRequest, run_analysis

    request = AnalysisRequest(
        name=name,
        runs=runs,
        data=data,
        scenes=scenes,
        samples=samples,
        seed=seed,
        output=output,
        checkpoint=checkpoint,
        cpu=cpu,
        seeds=seeds,
        env_steps=env_steps,
    )
    findings = run_analysis(request, log=screen.log, command=["gqn-zoo", *sys.argv[1:]])
    for claim in findings.claims:
        screen.stdout_console().print(claim.sentence, soft_wrap=True, markup=False)
    screen.log(f"wrote {output / name}.png, .csv and .json")
    if not all(claim.holds for claim in findings.claims):
        raise typer.Exit(1)


def _list_analyses() -> None:
    """Prints a line about every analysis."""
    for known, analysis in ANALYSES.items():
        default = ", ".join(analysis.runs) or "none"
        trained = f", {analysis.seeds} seeds, {analysis.env_steps} environment steps" if analysis.env_steps else ""
        typer.echo(
            f"{known}: {analysis.title}. Needs {analysis.needs}; default: {default}, {analysis.scenes} scenes, "
            f"{analysis.samples} samples{trained}. {analysis.paper}"
        )


def _write_gallery(page: Path, *, name: str | None, results: Path) -> None:
    """Writes the page of all analyses; raises ConfigError if one is named, or the page is not a Markdown file."""
    from zoo.analysis.gallery import write_gallery

    if name is not None or page.suffix != ".md":
        raise ConfigError(
            f"--gallery: found {page} with {name or 'no name'}, expected a file that ends with .md, and no analysis"
        )
    absent = write_gallery(page, results=results)
    screen.log(f"wrote {page}" + (f"; without results: {', '.join(absent)}" if absent else ""))
