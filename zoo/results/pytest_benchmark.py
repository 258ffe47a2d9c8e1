"""Files of pytest-benchmark as rows of speeds: one row per variant and condition, of all its timed actions.

``pytest benchmarks`` writes :class:`BenchmarkFacts` into ``extra_info`` of every benchmark of a variant, and its provenance
at the top of the file. The seconds are those that pytest-benchmark compares; a speed is units of work over seconds, so
that ``--fail train_step_seconds:5%`` judges the same number as ``--benchmark-compare-fail=median:5%``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from zoo.config.settings import first_problem
from zoo.errors import ResultError
from zoo.provenance import Provenance, Record
from zoo.results.row import Action, Budget, ModelFacts, ResultRow, Timing, timings_of

BENCHMARK_KIND: Final = "gqn-zoo-benchmark"

_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[int, Field(ge=1)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Seconds = Annotated[float, Field(gt=0)]
_Model = TypeVar("_Model", bound=Record)


class _Record(Record):
    model_config = ConfigDict(extra="ignore")  # benchmarks may record more


class BenchmarkFacts(_Record):
    """What is known about one benchmark of a variant, in ``extra_info``."""

    kind: Literal["gqn-zoo-benchmark"] = BENCHMARK_KIND
    label: _Name  # in tables: variant, size and what was varied, such as vae@smoke (batch 1)
    variant: _Name
    size: _Name
    encoder: str
    core: str
    action: Action  # a training step, one prediction per query, or the bounds of a batch
    unit: Literal["scenes", "images"]  # scenes trained on or scored, images predicted
    units: _Number  # in one round
    batch_size: _Number
    num_context: _Count
    mixed_precision: Literal["no", "bf16", "fp16"]
    compiled: bool
    processes: _Number | None  # that shared the batch; None: one, that of the benchmark
    device: _Name
    seed: int
    config_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    parameters: _Count
    flops: _Count | None  # of one round
    peak_memory_bytes: _Count | None  # of the GPU
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
    """Returns whether pytest-benchmark wrote this file."""
    return isinstance(contents, dict) and "machine_info" in contents and "benchmarks" in contents


def rows_of_benchmarks(contents: Mapping[str, Any], *, path: str) -> list[ResultRow]:
    """Returns the rows of a file for which ``is_benchmark_file`` holds, in the order in which their benchmarks ran.

    Training, prediction and evaluation of one variant under the same conditions are one row; a repeat is a further row.
    Benchmarks of other things (loading, drawing) are skipped.

    Raises:
        ResultError: naming the file and the field, if there is no benchmark of a variant in it, or one is damaged.
    """
    entries = contents["benchmarks"]
    if not isinstance(entries, list):
        raise ResultError(f"{path}: benchmarks: expected a list, found {type(entries).__name__}")
    rows: dict[tuple[object, ...], list[dict[Action, _Benchmark]]] = {}
    for index, entry in enumerate(entries):
        recorded = entry.get("extra_info") if isinstance(entry, dict) else None
        if not isinstance(recorded, dict) or recorded.get("kind") != BENCHMARK_KIND:
            continue
        found = _validated(_Benchmark, entry, path=path, place=f"benchmarks.{index}")
        facts = found.extra_info
        identity = (facts.label, facts.config_hash, facts.batch_size, facts.seed, facts.device)
        rounds = rows.setdefault(identity, [])
        if all(facts.action in actions for actions in rounds):
            rounds.append({})
        next(actions for actions in rounds if facts.action not in actions)[facts.action] = found
    if not rows:
        raise ResultError(
            f"{path}: saved by pytest-benchmark, but holds no benchmark of a variant, as 'pytest benchmarks' times them"
        )
    provenance = _validated(Provenance, contents.get("provenance"), path=path, place="provenance")
    try:
        return [_row(actions, provenance) for rounds in rows.values() for actions in rounds]
    except ValidationError as error:
        raise ResultError(f"{path}: {first_problem(error, place='benchmarks')}") from error


def _row(actions: Mapping[Action, _Benchmark], provenance: Provenance) -> ResultRow:
    facts = next(iter(actions.values())).extra_info
    performance: dict[str, Timing] = {}
    for action, found in actions.items():
        info, stats = found.extra_info, found.stats
        seconds = info.p10_seconds, stats.median, info.p90_seconds
        performance |= timings_of(action, seconds, units=info.units, n=stats.rounds, warmup=info.warmup_rounds)
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


def _flops_of_unit(facts: BenchmarkFacts | None) -> int | None:
    return None if facts is None or facts.flops is None else facts.flops // facts.units


def _validated(model: type[_Model], value: object, *, path: str, place: str) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ResultError(f"{path}: {first_problem(error, place=place)}") from error
