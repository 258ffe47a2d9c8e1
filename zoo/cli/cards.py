"""``gqn-zoo cards``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoo.cli import screen
from zoo.cli.options import RegistryFiles
from zoo.registry.components import KINDS, Kind
from zoo.registry.documentation import documentation_of, parameter_count
from zoo.registry.registry import Entry, Registry, default_registry

if TYPE_CHECKING:
    from zoo.comparison.seed_groups import SeedGroup

STATUS = {
    "paper": "The paper's factorisation, layers, sizes, likelihood and schedules; initialisation is the zoo's own.",
    "baseline": "A baseline.",
    "extension": "An extension: no paper describes exactly this network with this recipe.",
}
METRICS = (
    *("nelbo_excess", "kl", "mae_255", "rmse_255", "psnr", "ssim", "digit_disagreement"),
    *("joint_log_likelihood", "rmse", "position_error", "angle_error", "pose_log_density"),
)
NOT_SETTINGS = {"base", "title", "paper", "status", "reference", "deviations", "sizes"}
INDEX = "README.md"


class Results(NamedTuple):
    """What has been written down and measured of one variant."""

    written: Mapping[str, Any]  # its entry as the registry file has it
    groups: Sequence[SeedGroup]  # ordered by size, data and number of context views
    strips: Mapping[str, Path]  # id of a row -> its predictions
    weights: Mapping[str, list[str]]  # shipped weights -> their limits


def run(
    rows: Annotated[list[Path], typer.Argument(metavar="ROWS...", help="Result rows, or folders with them.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the pages.")],
    registry_files: RegistryFiles = [],
) -> None:
    """Write one page per registered variant: paper, factorisation, deviations, sizes, published and measured results, limits.

    Everything is computed from the registry, the docstrings of components, the rows and the shipped weights.
    """
    from zoo.comparison.seed_groups import seed_groups
    from zoo.figures.attachments import find_attachments
    from zoo.files import write_text
    from zoo.registry.sources import read_file
    from zoo.results.store import load_rows
    from zoo.results.weights import read_card, shipped_names, weights_folder

    registry = default_registry()
    measured: dict[str, list[SeedGroup]] = {}
    for group in seed_groups(row for row in load_rows(rows) if row.status == "ok" and row.metrics):
        measured.setdefault(group.variant.partition("@")[0], []).append(group)
    weights: dict[str, dict[str, list[str]]] = {}
    for name in shipped_names():
        card = read_card(weights_folder() / name)
        weights.setdefault(card.config["variant"], {})[name] = card.limits
    strips = find_attachments(rows).strips
    files = {file: read_file(Path(file)) for file in {registry.entry(name)[1] for name in registry.names()}}
    for name in registry.names():
        groups = sorted(measured.get(name, []), key=_place)
        written = files[registry.entry(name)[1]].get(name.rpartition("/")[2]) or {}
        results = Results(written, groups, strips, weights.get(name, {}))
        write_text(output / f"{_file(name)}", "\n".join(_page(name, registry, results, output)) + "\n")
    write_text(output / INDEX, "\n".join(_index(registry, set(measured), weights)) + "\n")
    screen.log(f"wrote {len(registry.names())} cards to {output}")


def _file(name: str) -> str:
    return f"{name.replace('/', '--')}.md"


def _place(group: SeedGroup) -> tuple[str, str, int]:
    return group.variant, group.key.dataset if group.key else "", -(group.key.num_context if group.key else 0)


def _index(registry: Registry, measured: set[str], weights: Mapping[str, object]) -> Iterator[str]:
    yield "# Cards of the variants\n\nWritten by `gqn-zoo cards results -o docs/cards`; not edited by hand.\n"
    yield "| variant | status | parameters | results | weights | paper |\n|---|---|---:|---|---|---|"
    for name in registry.names():
        entry, _ = registry.entry(name)
        marks = ["yes" if name in found else "" for found in (measured, weights)]
        count = _count(parameter_count(registry.variant(name)))
        yield f"| [`{name}`]({_file(name)}) | {entry.status} | {count} | {' | '.join(marks)} | {entry.paper} |"


def _page(name: str, registry: Registry, results: Results, folder: Path) -> Iterator[str]:
    entry, _ = registry.entry(name)
    yield f"# {name}\n\n{entry.title}.\n\nStatus: **{entry.status}**. {STATUS[entry.status]}\n"
    yield from [f"Paper: {entry.paper}\n"] if entry.paper else []
    yield "## Model\n"
    for kind in KINDS:
        yield f"{kind}: `{entry.use(kind)}`\n"
        yield from [f"{text}\n"] if (text := _text(kind, entry.use(kind))) else []
    yield from _deviations(entry, results.written)
    yield from _sizes(name, entry, registry, results.groups)
    yield from _published(entry, results.groups)
    yield from _measured(results, folder)
    yield "## Limits\n"
    limits = [f"`{weights}`: {limit}" for weights, found in results.weights.items() for limit in found]
    if not results.groups:
        limits.append("No result is committed, so nothing is known of what this variant learns.")
    elif entry.reference:
        limits.append("The published values and the results here are of different networks, images or trainings.")
    yield from (f"- {limit}" for limit in limits or ["None is recorded."])


def _text(kind: Kind, use: str) -> str:
    """Returns the docstring of a shipped encoder, core or likelihood."""
    return "" if kind == "task" or ":" in use else documentation_of(kind, use).text


def _deviations(entry: Entry, written: Mapping[str, Any]) -> Iterator[str]:
    """Yields what the registry says of the paper, and what an entry changes of the one that it is based on."""
    yield from ("## Deviations\n", *(f"- {sentence}" for sentence in entry.deviations))
    if base := written.get("base"):
        changes = [*_flat({key: value for key, value in written.items() if key not in NOT_SETTINGS}, "")]
        settings = ", ".join(f"`{key}: {value}`" for key, value in changes) or "nothing at the full size"
        yield f"- Changes of [`{base}`]({_file(base)}): {settings}."
    elif not entry.deviations:
        yield "None is recorded."
    yield ""


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(inner)


def _sizes(name: str, entry: Entry, registry: Registry, groups: Sequence[SeedGroup]) -> Iterator[str]:
    yield "## Sizes\n\n| size | parameters | pixels | GFLOP per training scene | GFLOP per prediction |\n|---|---:|---:|---:|---:|"
    for size in ("full", *entry.sizes):
        variant = registry.variant(name, size=size)
        label = name if size == "full" else f"{name}@{size}"
        models = [row.model for group in groups if group.variant == label for row in group.rows if row.model]
        costs = ([m.flops_per_training_scene for m in models], [m.flops_per_prediction for m in models])
        texts = [f"{max(known) / 1e9:.3g}" if (known := [cost for cost in each if cost]) else "" for each in costs]
        pixels = variant.image_size or ""
        yield f"| {size} | {_count(parameter_count(variant))} | {pixels} | {' | '.join(texts)} |"
    yield "\nFLOPs are those that result rows measured.\n"


def _count(parameters: int | None) -> str:
    return "" if parameters is None else f"{parameters:,}"


def _published(entry: Entry, groups: Sequence[SeedGroup]) -> Iterator[str]:
    if entry.reference:
        yield "## Published, and obtained here\n\n| metric | published | obtained | unit | source |\n|---|---:|---:|---|---|"
        for each in entry.reference:
            yield f"| {each.metric} | {each.value:g} | {_obtained(each.metric, groups)} | {each.unit} | {each.source} |"
        yield ""


def _obtained(metric: str, groups: Sequence[SeedGroup]) -> str:
    """Returns the mean of the full network on the same data with as many context views and pixels."""
    from zoo.comparison.formatting import number

    names = {"mean absolute error": "mae_255", "root mean squared error": "rmse_255"}
    title, *facts = metric.split(", ")
    for group in groups:
        key, estimate = group.key, group.estimate(names.get(title, title))
        if key and estimate and "@" not in group.variant:
            same = {key.dataset, f"{key.num_context} context views", f"{key.image_size}x{key.image_size}"}
            if set(facts) <= same:
                return " ± ".join(filter(None, number(*estimate)))
    return "not measured"


def _measured(results: Results, folder: Path) -> Iterator[str]:
    from zoo.comparison.formatting import number
    from zoo.results.metrics import metric_info

    if not results.groups:
        return
    names = [name for name in METRICS if any(group.estimate(name) for group in results.groups)]
    heads = [metric_info(name).head for name in names]
    yield "## Results\n\n| size | data | context | seeds | scenes | updates | " + " | ".join(heads) + " |"
    yield "|---|---|---:|---:|---:|---:|" + "---:|" * len(names)
    for group in results.groups:
        key, budget = group.key, group.first.budget
        assert key is not None and budget is not None
        cells = [" ± ".join(filter(None, number(*found))) if (found := group.estimate(name)) else "" for name in names]
        facts = (group.variant.partition("@")[2] or "full", f"{key.dataset} {key.split}", key.num_context)
        counts = (len(group.rows), key.num_scenes, budget.steps)
        yield f"| {' | '.join(map(str, (*facts, *counts, *cells)))} |"
    yield "\n± is the standard deviation over seeds, with one seed the standard error over scenes. Units: [metrics](../explanation/metrics.md).\n"
    shown = next((path for group in results.groups if (path := results.strips.get(group.first.id))), None)
    if shown is not None:
        link = os.path.relpath(shown, folder)
        yield f"![truth above, predictions below]({link})\n\n*Unseen scenes: truth above, predictions below.*\n"
    yield from (f"Weights: `gqn-zoo list --pretrained '{name}'`.\n" for name in results.weights)
