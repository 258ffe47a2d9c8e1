"""Cards of variants: model, paper, components, sizes, costs, speeds and settings."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from zoo.comparison.formatting import hardware_of, number
from zoo.comparison.seed_groups import SeedGroup, grouped, machine_of
from zoo.config.settings import flatten
from zoo.errors import ZooError
from zoo.provenance import hash_config
from zoo.registry.components import KINDS
from zoo.registry.registry import default_registry, variant_from_config
from zoo.registry.variant import FULL, Variant, resolve
from zoo.report.runs import Run
from zoo.results.row import PREDICT_THROUGHPUT, TRAIN_THROUGHPUT, ResultRow

OF_RUN = "Settings of the run; their hash is that of the rows."
OF_REGISTRY = "Settings of the registry; their hash is that of the rows."
OTHER_HASH = (
    "Settings of the registry now. Their hash differs from that of the rows: these have changed settings, other training "
    "data, or another version of the zoo."
)
UNKNOWN = "The settings are unknown: the variant is not registered here, and none of its runs was given."


class Setting(NamedTuple):
    """One setting with its meaning."""

    name: str
    value: str
    meaning: str


class Fact(NamedTuple):
    """One line of a card."""

    name: str
    value: str


class Card(NamedTuple):
    """A variant with one configuration."""

    label: str  # the variant's name in tables
    title: str
    paper: str
    model: str  # the start of its core's docstring, with the factorisation
    facts: tuple[Fact, ...]  # components, sizes, costs, speeds, budget, seeds, figures of the paper
    settings: tuple[Setting, ...]
    source: str  # where the settings come from, and whether the rows have their hash


def cards_of(rows: Sequence[ResultRow], runs: Sequence[Run]) -> list[Card]:
    """Returns one card per variant and configuration among the rows, by name."""
    rows = sorted(rows, key=lambda row: (row.variant, row.provenance.config_hash, row.provenance.seed, row.id))
    families = grouped(rows, lambda row: (row.variant, row.provenance.config_hash))
    configs = {run.config_hash: run.config for run in reversed(runs)}
    return [_card(members, configs) for members in families.values()]


def _card(rows: Sequence[ResultRow], configs: Mapping[str, Mapping[str, Any]]) -> Card:
    variant, source = _variant_of(rows, configs)
    label, facts = rows[0].variant, (*_components(rows[0], variant), *_measured(rows))
    if variant is None:
        return Card(label, "", "", "", facts, (), source)
    paragraphs = (inspect.getdoc(resolve(variant)["core"].component_class) or "").split("\n\n")
    model = " ".join(paragraphs[: 2 if paragraphs[0].endswith(":") else 1])
    if variant.size == FULL:  # the figures of a paper are those of the full network
        published = (f"{item.metric}: {item.value:g} {item.unit} ({item.source})" for item in variant.reference)
        facts = (*facts, *(Fact("in the paper", text) for text in published))
    image_size = ("image_size", variant.image_size, "height and width of the images, pixels")
    components = [flatten(component.config, prefix=f"{kind}.") for kind, component in resolve(variant).items()]
    every = chain(*components, [image_size], flatten(variant.training, prefix="training."))
    settings = tuple(Setting(key, json.dumps(value), meaning) for key, value, meaning in every)
    return Card(label, variant.title, variant.paper, model, facts, settings, source)


def _variant_of(rows: Sequence[ResultRow], configs: Mapping[str, Mapping[str, Any]]) -> tuple[Variant | None, str]:
    """Returns the variant with the settings of the rows, as far as they are known, and a sentence on their source."""
    first = rows[0]
    config_hash = first.provenance.config_hash
    try:
        if config_hash in configs:
            config = {key: value for key, value in configs[config_hash].items() if key not in ("seed", "data")}
            variant = variant_from_config(config, file=first.variant)
            resolve(variant)
            return variant, OF_RUN
        name, _, size = first.variant.partition("@")
        steps = sorted({row.budget.steps for row in rows if row.budget})
        changes: list[list[str]] = [[], *([f"training.steps={count}"] for count in steps if count)]
        variants = [default_registry().variant(name, size=size or FULL, overrides=change) for change in changes]
        for variant in variants:
            if any(_hash_on_data_of(variant, row) == config_hash for row in rows):
                return variant, OF_REGISTRY
        return variants[0], OTHER_HASH
    except ZooError:
        return None, UNKNOWN


def _hash_on_data_of(variant: Variant, row: ResultRow) -> str:
    """Returns the hash of a run of this variant on the data that a row was measured on."""
    config = variant.config()
    if row.key is not None:
        config["data"] = {"name": row.key.dataset, "revision": row.key.revision}
    return hash_config(config)


def _components(row: ResultRow, variant: Variant | None) -> list[Fact]:
    if variant is not None:
        return [Fact(kind, variant.component(kind).use) for kind in KINDS]
    of_key = [Fact("task", row.key.task), Fact("likelihood", row.key.likelihood)] if row.key else []
    return [Fact("encoder", row.encoder), Fact("core", row.core), *of_key]


def _measured(rows: Sequence[ResultRow]) -> Iterable[Fact]:
    models = [row.model for row in rows if row.model is not None]
    if models:
        yield Fact("parameters", f"{models[0].parameters:,}")
    for name, costs in (
        ("FLOPs per training scene", [model.flops_per_training_scene for model in models]),
        ("FLOPs per predicted image", [model.flops_per_prediction for model in models]),
    ):
        if known := [cost for cost in costs if cost]:
            yield Fact(name, f"{max(known) / 1e9:.3g} GFLOP")
    if memory := [model.peak_memory_bytes for model in models if model.peak_memory_bytes]:
        yield Fact("peak memory", f"{max(memory) / 2**20:.0f} MiB")
    for title, name in (("training speed", TRAIN_THROUGHPUT), ("prediction speed", PREDICT_THROUGHPUT)):
        yield from (Fact(title, text) for text in _speeds(rows, name))
    budgets = [row.budget for row in rows if row.budget is not None and row.budget.steps]
    if budgets:
        steps = ", ".join(f"{count:,}" for count in sorted({budget.steps for budget in budgets}))
        seconds = sum(budget.seconds for budget in budgets) / len(budgets)
        yield Fact("training", f"{steps} steps of {budgets[0].batch_size} scenes, {seconds:,.0f} s")
    yield Fact("seeds", ", ".join(str(seed) for seed in sorted({row.provenance.seed for row in rows})))
    failed = sum(row.status != "ok" for row in rows)
    yield Fact("rows", f"{len(rows)}" + (f", {failed} of them failed" if failed else ""))


def _speeds(rows: Sequence[ResultRow], name: str) -> Iterable[str]:
    """Returns one text per machine."""
    machines = grouped((row for row in rows if name in row.performance), machine_of)
    for measured in sorted(machines.values(), key=lambda measured: hardware_of(measured[0])):
        timing = SeedGroup(tuple(measured)).timing(name)
        assert timing is not None
        median, low, high = (number(value, None)[0] for value in (timing.median, timing.p10, timing.p90))
        yield f"{median} {timing.unit} (10 to 90 %: {low} to {high}) on {hardware_of(measured[0])}"
