"""Running an analysis of trained models: what it is given is prepared, and what it finds is written."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from zoo.analysis.catalogue import Analysis, find_analysis, module_of
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.scenes import AnalysisScenes
from zoo.bench.measurement import label_of
from zoo.data.opening import Source
from zoo.data.render.recipes import RECIPES
from zoo.data.source import Split
from zoo.errors import ConfigError, DataError
from zoo.figures.sheets import image_sheet
from zoo.files import write_json, write_text
from zoo.provenance import collect
from zoo.training.run import device_of, open_splits_for
from zoo.training.run_checkpoints import Which
from zoo.training.trained_model import TrainedModel, load_trained

Log = Callable[[str], None]
FEWEST_SCENES = 2  # without which there is no interval


class AnalysisRequest(NamedTuple):
    """What a user asks for; None and an empty list stand for the defaults of the analysis."""

    name: str
    runs: Sequence[Path] = ()
    data: Path | None = None
    scenes: int | None = None
    samples: int | None = None
    seed: int = 0
    output: Path = Path("analyses")
    checkpoint: Which = "best"
    cpu: bool = False
    seeds: int | None = None
    env_steps: int | None = None


def run_analysis(request: AnalysisRequest, *, log: Log, command: Sequence[str] = ()) -> Findings:
    """Runs an analysis and writes ``<output>/<name>.png`` and ``.svg``, ``.csv`` (what was drawn) and ``.json`` (claims).

    Raises:
        ConfigError: if there is no such analysis, or a model does not qualify; then nothing was computed or written.
        CheckpointError, DataError: if a model or its scenes are missing or do not fit.
    """
    analysis = find_analysis(request.name)
    if not analysis.env_steps and (request.seeds, request.env_steps) != (None, None):
        raise ConfigError(f"{request.name}: trains no policies, expected neither --seeds nor --env-steps")
    module = importlib.import_module(module_of(request.name))
    models = _load_models(request, analysis)
    for label, trained in models.items():
        if missing := module.missing(trained):
            raise ConfigError(f"{label}: the analysis {request.name} needs {missing}")
    given = _inputs(request, analysis, models=models, log=log)
    started = time.monotonic()
    findings: Findings = module.run(given)
    _write(findings, given, name=request.name, analysis=analysis, command=command, seconds=time.monotonic() - started)
    return findings


def _load_models(request: AnalysisRequest, analysis: Analysis) -> dict[str, TrainedModel]:
    """Returns the models by labels, which are different."""
    runs = [*request.runs] or [Path(name) for name in analysis.runs]
    if not runs:
        raise ConfigError(f"{request.name}: expected a trained run, because no shipped weights have {analysis.needs}")
    device = device_of(cpu=request.cpu)
    loaded = [load_trained(run, device=device, which=request.checkpoint) for run in runs]
    labels = [label_of(trained.variant) for trained in loaded]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({run.name})" for label, run in zip(labels, runs, strict=True)]
    if len(set(labels)) < len(labels):
        raise ConfigError(f"{request.name}: two of the runs have the same name, {max(labels, key=labels.count)}")
    return dict(zip(labels, loaded, strict=True))


def _inputs(
    request: AnalysisRequest, analysis: Analysis, *, models: Mapping[str, TrainedModel], log: Log
) -> AnalysisInputs:
    wanted = request.scenes or analysis.scenes
    label, first = next(iter(models.items()))
    if request.data is None and first.data_name not in RECIPES:
        raise DataError(
            f"{label}: was trained on {first.data_name!r}, which is not built in; name its scenes with --data"
        )
    other = AnalysisScenes(
        given=request.data,
        recipe=first.data_name,
        image_size=first.variant.image_size,
        seed=request.seed,
        made=request.output / "data",
        log=log,
    )
    folder = other.folder("test", num_scenes=wanted)
    found: dict[Split, Source] = {}
    for trained in models.values():
        found.update(open_splits_for(trained.variant, folder, "test"))
    available, needed = found["test"].num_scenes, max(request.scenes or 0, FEWEST_SCENES)
    if available < needed:
        raise DataError(f"{folder}: split test: found {available} scenes, expected at least {needed} (--scenes)")
    return AnalysisInputs(
        models=models,
        scenes=found["test"],
        other=other,
        num_scenes=min(wanted, available),
        num_samples=request.samples or analysis.samples,
        seed=request.seed,
        folder=request.output,
        log=log,
        num_seeds=request.seeds or analysis.seeds,
        env_steps=request.env_steps or analysis.env_steps,
    )


def _write(
    findings: Findings,
    given: AnalysisInputs,
    *,
    name: str,
    analysis: Analysis,
    command: Sequence[str],
    seconds: float,
) -> None:
    """Writes the files of an analysis, each whole or not at all; the claims last."""
    folder = given.folder
    for suffix in (".png", ".svg"):
        findings.draw(folder / f"{name}{suffix}")
    for sheet, shown in findings.sheets.items():
        path = folder / f"{name}-{sheet}.png"
        if callable(shown):
            shown(path)
        else:
            image_sheet(path, groups=shown, title=analysis.title)
    write_text(folder / f"{name}.csv", findings.table.to_csv(index=False))
    # A list, because JSON is written with sorted keys and the order of the models matters.
    models = [
        {
            "label": label,
            "variant": trained.variant.name,
            "size": trained.variant.size,
            "seed": trained.seed,
            "step": trained.step,
            "commit": trained.git and trained.git.commit,
            "sha256": trained.sha256,
        }
        for label, trained in given.models.items()
    ]
    device = next(iter(given.models.values())).model.device.type
    provenance = collect(seed=given.seed, command=command, config={"analysis": name, "models": models}, device=device)
    write_json(
        folder / f"{name}.json",
        {
            "name": name,
            "title": analysis.title,
            "paper": analysis.paper,
            "models": models,
            "data": {"name": given.scenes.name, "revision": given.scenes.revision, "split": "test"},
            "scenes": given.num_scenes,
            "samples": given.num_samples,
            **({"seeds": given.num_seeds, "env_steps": given.env_steps} if analysis.env_steps else {}),
            "seconds": round(seconds),
            "provenance": provenance.model_dump(),
            "claims": [claim._asdict() for claim in findings.claims],
        },
    )
