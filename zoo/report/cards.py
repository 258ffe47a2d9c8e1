"""Cards of variants: what each models, after which paper, of which parts and settings, how large and how fast."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic

from zoo.comparison.formatting import hardware_of, number
from zoo.errors import ZooError
from zoo.provenance import hash_config
from zoo.registry.components import KINDS
from zoo.registry.registry import default_registry, variant_from_config
from zoo.registry.variant import FULL, Variant, resolve
from zoo.report.runs import Run
from zoo.results.row import PREDICT_THROUGHPUT, TRAIN_THROUGHPUT, ResultRow

OF_RUN = "The settings of its run, whose digest is that of the rows."
OF_REGISTRY = "The settings as registered; their digest is that of the rows."
OTHER_DIGEST = (
    "The settings as registered now. Their digest is not that of the rows: these were made with changed settings, on other "
    "training data, or by another version of the zoo."
)
UNKNOWN = "Not registered here, and no run of it was given: its settings are not known."


class Setting(NamedTuple):
    """One setting with its meaning."""

    name: str
    value: str
    meaning: str


class Fact(NamedTuple):
    """One figure of a card, with its unit."""

    name: str
    value: str


@dataclass(frozen=True)
class Card:
    """A variant with one configuration, as its rows and the registry tell.

    Attributes:
        identity: anchor in the page.
        label: the name under which it stands in tables.
        title: what it is.
        paper: where it comes from.
        models: the first paragraph of its core's description, with the factorisation.
        parts: task, encoder, core and likelihood by name.
        facts: sizes, costs, speeds, budget, seeds.
        settings: every setting with its meaning.
        source: where the settings come from, and whether the rows bear their digest.
        published: figures that the paper reports.
    """

    identity: str
    label: str
    title: str
    paper: str
    models: str
    parts: tuple[Fact, ...]
    facts: tuple[Fact, ...]
    settings: tuple[Setting, ...]
    source: str
    published: tuple[str, ...]


def cards_of(rows: Sequence[ResultRow], runs: Sequence[Run]) -> list[Card]:
    """Returns a card for every variant and configuration among the rows, by name."""
    families: dict[tuple[str, str], list[ResultRow]] = {}
    for row in sorted(rows, key=lambda row: (row.variant, row.provenance.config_hash, row.provenance.seed, row.id)):
        families.setdefault((row.variant, row.provenance.config_hash), []).append(row)
    configs = {run.config_hash: run.config for run in reversed(runs)}
    return [
        _card(f"variant-{position}", members, configs) for position, members in enumerate(families.values(), start=1)
    ]


def _card(identity: str, rows: Sequence[ResultRow], configs: Mapping[str, Mapping[str, Any]]) -> Card:
    first = rows[0]
    variant, source = _variant_of(rows, configs)
    core = resolve(variant)["core"].component_class if variant is not None else None
    return Card(
        identity=identity,
        label=first.variant,
        title=variant.title if variant else "",
        paper=variant.paper if variant else "",
        models=(inspect.getdoc(core) or "").split("\n\n")[0] if core else "",
        parts=tuple(_parts(first, variant)),
        facts=tuple(_facts(rows)),
        settings=tuple(_settings(variant)) if variant else (),
        source=source,
        # A paper's figures are those of the full network.
        published=tuple(f"{item.metric}: {item.value:g} {item.unit} ({item.source})" for item in variant.reference)
        if variant and variant.size == FULL
        else (),
    )


def _variant_of(rows: Sequence[ResultRow], configs: Mapping[str, Mapping[str, Any]]) -> tuple[Variant | None, str]:
    """Returns the variant with the settings of the rows as far as they are known, and a sentence about that."""
    first = rows[0]
    digest = first.provenance.config_hash
    try:
        if digest in configs:
            config = {key: value for key, value in configs[digest].items() if key not in ("seed", "data")}
            variant = variant_from_config(config, file=first.variant)
            resolve(variant)
            return variant, OF_RUN
        name, _, size = first.variant.partition("@")
        steps = sorted({row.budget.steps for row in rows if row.budget})
        tries: list[list[str]] = [[], *([f"training.steps={count}"] for count in steps if count)]
        variants = [default_registry().variant(name, size=size or FULL, overrides=changes) for changes in tries]
        for variant in variants:
            if any(_digest(variant, row) == digest for row in rows):
                return variant, OF_REGISTRY
        return variants[0], OTHER_DIGEST
    except ZooError:
        return None, UNKNOWN


def _digest(variant: Variant, row: ResultRow) -> str:
    """Returns the digest that a row of this variant bears, were it trained on the data that it was measured on."""
    config = variant.config()
    if row.key is not None:
        config["data"] = {"name": row.key.dataset, "revision": row.key.revision}
    return hash_config(config)


def _parts(row: ResultRow, variant: Variant | None) -> Iterable[Fact]:
    if variant is not None:
        for kind in KINDS:
            yield Fact(kind, variant.component(kind).use)
        return
    yield Fact("encoder", row.encoder)
    yield Fact("core", row.core)
    if row.key is not None:
        yield Fact("task", row.key.task)
        yield Fact("likelihood", row.key.likelihood)


def _facts(rows: Sequence[ResultRow]) -> Iterable[Fact]:
    models = [row.model for row in rows if row.model is not None]
    if models:
        yield Fact("parameters", f"{models[0].parameters:,}")
    for name, costs in (
        ("FLOPs of a training scene", [m.flops_per_training_scene for m in models if m.flops_per_training_scene]),
        ("FLOPs of a predicted image", [m.flops_per_prediction for m in models if m.flops_per_prediction]),
    ):
        if costs:
            yield Fact(name, f"{max(costs) / 1e9:.3g} GFLOP")
    if memory := [model.peak_memory_bytes for model in models if model.peak_memory_bytes]:
        yield Fact("peak memory", f"{max(memory) / 2**20:.0f} MiB")
    for words, name in (("training speed", TRAIN_THROUGHPUT), ("prediction speed", PREDICT_THROUGHPUT)):
        yield from (Fact(words, text) for text in _speeds(rows, name))
    budgets = [row.budget for row in rows if row.budget is not None and row.budget.steps]
    if budgets:
        steps = ", ".join(f"{count:,}" for count in sorted({budget.steps for budget in budgets}))
        seconds = sum(budget.seconds for budget in budgets) / len(budgets)
        yield Fact("trained for", f"{steps} steps of {budgets[0].batch_size} scenes, {seconds:,.0f} s")
    seeds = sorted({row.provenance.seed for row in rows})
    yield Fact("seeds", ", ".join(map(str, seeds)))
    failed = sum(row.status != "ok" for row in rows)
    yield Fact("rows", f"{len(rows)}" + (f", {failed} of them failed" if failed else ""))


def _speeds(rows: Sequence[ResultRow], name: str) -> Iterable[str]:
    """Returns one text for every machine: the mean of the medians, the widest quantiles, and where."""
    machines: dict[str, list[ResultRow]] = {}
    for row in rows:
        if name in row.performance:
            machines.setdefault(hardware_of(row), []).append(row)
    for machine, measured in sorted(machines.items()):
        timings = [row.performance[name] for row in measured]
        median = sum(timing.median for timing in timings) / len(timings)
        low, high = min(timing.p10 for timing in timings), max(timing.p90 for timing in timings)
        texts = [number(value, None)[0] for value in (median, low, high)]
        yield f"{texts[0]} {timings[0].unit} (10 to 90 %: {texts[1]} to {texts[2]}) on {machine}"


def _settings(variant: Variant) -> Iterable[Setting]:
    for kind, part in resolve(variant).items():
        yield from _flat(part.config, prefix=f"{kind}.")
    yield Setting("image_size", str(variant.image_size), "height and width of the images, pixels")
    yield from _flat(variant.training, prefix="training.")


def _flat(settings: pydantic.BaseModel, *, prefix: str) -> Iterable[Setting]:
    for key, field in type(settings).model_fields.items():
        value = getattr(settings, key)
        if isinstance(value, pydantic.BaseModel):
            yield from _flat(value, prefix=f"{prefix}{key}.")
        else:
            yield Setting(f"{prefix}{key}", json.dumps(value), field.description or "")
