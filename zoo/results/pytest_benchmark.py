"""What pytest-benchmark saved, read as rows of speeds: one row a variant and condition, of all its timed actions.

``pytest benchmarks`` leaves in ``extra_info`` of every benchmark of a variant what :class:`BenchmarkFacts` names, and
its provenance at the top of the file; pytest-benchmark itself saves the median, and the raw seconds only if asked to
(``--benchmark-save-data``). The tenth and ninetieth percentile of the seconds are therefore among the facts, so that
every saved file makes whole rows.

Seconds are those that pytest-benchmark compares. A speed is units of work over seconds, its median over the median
seconds: a change of seconds by the factor r is a change of speed by 1/r, and ``--fail train_step_seconds:5%`` judges the
very number that ``--benchmark-compare-fail=median:5%`` does. In addition a row's spreads must not meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from zoo.errors import ResultError
from zoo.provenance import Provenance, Record
from zoo.results.row import (
    PREDICT_THROUGHPUT,
    TRAIN_THROUGHPUT,
    Budget,
    ModelFacts,
    ResultRow,
    Timing,
    explain,
)

BENCHMARK_KIND: Final = "gqn-zoo-benchmark"

Action = Literal["train", "predict", "evaluate"]
_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[int, Field(ge=1)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Seconds = Annotated[float, Field(gt=0)]
_Model = TypeVar("_Model", bound=Record)


class _Names(NamedTuple):
    speed: str
    seconds: str
    unit: str


_NAMES: dict[Action, _Names] = {
    "train": _Names(TRAIN_THROUGHPUT, "train_step_seconds", "scenes/s"),
    "predict": _Names(PREDICT_THROUGHPUT, "predict_step_seconds", "images/s"),
    "evaluate": _Names("evaluate_scenes_per_second", "evaluate_step_seconds", "scenes/s"),
}


class _Record(Record):
    model_config = ConfigDict(extra="ignore")  # benchmarks may record more


class BenchmarkFacts(_Record):
    """What is known about one benchmark of a variant, in ``extra_info``.

    Attributes:
        kind: tells these benchmarks from others in the file.
        label: the variant's name in tables, with its size and with what was varied: ``vae@smoke (batch 1)``.
        variant: its name in the registry.
        size: its size in the registry.
        encoder: the encoder's name.
        core: the core's name.
        action: what was timed: a training step, one prediction a query, or the bounds of a batch.
        unit: of the work: ``scenes`` that were trained on or scored, ``images`` that were predicted (whatever a query
            asks for).
        units: so many in one round.
        batch_size: B.
        num_context: N.
        mixed_precision: of the forward pass; ``no`` is float32.
        compiled: whether the training step was compiled.
        processes: that shared the batch, each of its own; None: the benchmark's process alone.
        device: ``cpu`` or ``cuda``.
        seed: of the initial weights.
        config_hash: of the variant with its conditions.
        parameters: trained numbers.
        flops: multiplications and additions of one round; None: not counted.
        peak_memory_bytes: of the GPU in a round; None if it is not known, as on a CPU or of several processes.
        warmup_rounds: that were not counted.
        p10_seconds: the tenth percentile of the rounds.
        p90_seconds: the ninetieth.
    """

    kind: Literal["gqn-zoo-benchmark"] = BENCHMARK_KIND
    label: _Name
    variant: _Name
    size: _Name
    encoder: str
    core: str
    action: Action
    unit: Literal["scenes", "images"]
    units: _Number
    batch_size: _Number
    num_context: _Count
    mixed_precision: Literal["no", "bf16", "fp16"]
    compiled: bool
    processes: _Number | None
    device: _Name
    seed: int
    config_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    parameters: _Count
    flops: _Count | None
    peak_memory_bytes: _Count | None
    warmup_rounds: _Count
    p10_seconds: _Seconds
    p90_seconds: _Seconds


class _Stats(_Record):
    median: _Seconds
    rounds: _Number


class _Benchmark(_Record):
    extra_info: BenchmarkFacts
    stats: _Stats


def is_benchmark_file(contents: object) -> bool:
    """Returns whether this is what pytest-benchmark saves, whoever's benchmarks they are."""
    return isinstance(contents, dict) and "machine_info" in contents and "benchmarks" in contents


def rows_of_benchmarks(contents: Mapping[str, Any], *, path: str) -> list[ResultRow]:
    """Makes the rows of a file that pytest-benchmark saved, in the order in which their benchmarks ran.

    Training, prediction and evaluation of one variant under the same conditions are one row; what was timed again is
    in a further row, as no repeat is dropped. Benchmarks of other things (loading, drawing) are passed over.

    Args:
        contents: of the file, for which ``is_benchmark_file`` holds.
        path: for messages.

    Raises:
        ResultError: naming the file and the field, if there is no benchmark of a variant in it, or one is damaged.
    """
    entries = contents["benchmarks"]
    if not isinstance(entries, list):
        raise ResultError(f"{path}: benchmarks: expected a list, found {type(entries).__name__}")
    rows: dict[tuple[object, ...], list[dict[Action, _Benchmark]]] = {}
    for index, entry in enumerate(entries):
        if not _is_ours(entry):
            continue
        found = _validated(_Benchmark, entry, path=path, place=f"benchmarks.{index}")
        facts = found.extra_info
        identity = (facts.label, facts.config_hash, facts.batch_size, facts.seed, facts.device)
        rounds = rows.setdefault(identity, [])
        for actions in rounds:
            if facts.action not in actions:
                actions[facts.action] = found
                break
        else:
            rounds.append({facts.action: found})
    if not rows:
        raise ResultError(
            f"{path}: saved by pytest-benchmark, but holds no benchmark of a variant, as 'pytest benchmarks' times them"
        )
    provenance = _validated(Provenance, contents.get("provenance"), path=path, place="provenance")
    try:
        return [_row(actions, provenance) for rounds in rows.values() for actions in rounds]
    except ValidationError as error:
        raise ResultError(f"{path}: {explain(error, place='benchmarks')}") from error


def _is_ours(entry: object) -> bool:
    facts = entry.get("extra_info") if isinstance(entry, dict) else None
    return isinstance(facts, dict) and facts.get("kind") == BENCHMARK_KIND


def _row(actions: Mapping[Action, _Benchmark], provenance: Provenance) -> ResultRow:
    facts = next(iter(actions.values())).extra_info
    performance: dict[str, Timing] = {}
    for action, found in actions.items():
        names = _NAMES[action]
        performance[names.speed] = _timing(found, unit=names.unit, units=found.extra_info.units)
        performance[names.seconds] = _timing(found, unit="s", units=None)
    train, predict = (actions[action].extra_info if action in actions else None for action in ("train", "predict"))
    return ResultRow(
        status="ok",
        variant=facts.label,
        encoder=facts.encoder,
        core=facts.core,
        key=None,
        performance=performance,
        model=ModelFacts(
            parameters=facts.parameters,
            flops_per_training_scene=_flops_of_unit(train),
            flops_per_prediction=_flops_of_unit(predict),
            peak_memory_bytes=train.peak_memory_bytes if train else None,
        ),
        budget=Budget(steps=0, batch_size=facts.batch_size, scenes_seen=0, seconds=0.0),
        provenance=provenance.model_copy(
            update={"config_hash": facts.config_hash, "seed": facts.seed, "device": facts.device}
        ),
    )


def _timing(found: _Benchmark, *, unit: str, units: int | None) -> Timing:
    """Returns the seconds of a round or, if it has so many units of work, their speed."""
    facts = found.extra_info
    low, middle, high = facts.p10_seconds, found.stats.median, facts.p90_seconds
    if units is not None:
        low, middle, high = units / high, units / middle, units / low
    return Timing(
        median=middle,
        p10=low,
        p90=high,
        n=found.stats.rounds,
        unit=unit,
        higher_is_better=units is not None,
        warmup=facts.warmup_rounds,
    )


def _flops_of_unit(facts: BenchmarkFacts | None) -> int | None:
    return None if facts is None or facts.flops is None else facts.flops // facts.units


def _validated(model: type[_Model], value: object, *, path: str, place: str) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ResultError(f"{path}: {explain(error, place=place)}") from error
