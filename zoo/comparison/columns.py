"""The columns of leaderboards: their names, their heads, their cells, and which of them a table has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from zoo.comparison.comparability import CODE_LENGTH
from zoo.comparison.formatting import commit_of, hardware_of, number, with_interval
from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.pareto import FLOPS, MEMORY, TIME, Cost, pareto_cells
from zoo.comparison.seed_groups import SeedGroup
from zoo.errors import ResultError, did_you_mean
from zoo.results.metrics import BEST, IMAGE_METRICS, METRICS, ONE, RECONSTRUCTION, iwae_samples, metric_info
from zoo.results.row import PREDICT_THROUGHPUT, TRAIN_THROUGHPUT, ResultRow

# What a table shows: the main columns, all of them, or the named ones behind the ranking.
Selection = Literal["compact", "wide"] | Sequence[str]

RANKING = ("rank", "variant", "metric", "interval")
_COMPACT_METRICS = ("kl", "psnr", "ssim", "joint_log_likelihood", "rmse", "position_error", "angle_error")
_COMPACT = (*RANKING, *_COMPACT_METRICS, "code_sigma", "parameters", TRAIN_THROUGHPUT, "seeds")
_CODE_LENGTH_METRICS = frozenset({CODE_LENGTH, "code_sigma", "kl"})
_METRIC_ORDER = (
    *("nelbo_excess", "separate_nelbo_excess", "nelbo", "kl", "distortion", "iwae"),
    *("joint_log_likelihood", "predictive_log_likelihood", "marginal_log_likelihood", "rmse"),
    *("mae_255", "rmse_255", "psnr", "ssim", "wrong_context_nelbo_excess"),
)


@dataclass(frozen=True)
class LeaderboardColumn:
    """One column: its name for ``--columns``, its head, the cell of an entry, and whether cells are numbers."""

    name: str
    head: str
    cell: Callable[[SeedGroup], str]
    is_number: bool = True


VARIANT = LeaderboardColumn("variant", "variant", lambda entry: entry.variant, is_number=False)


def shared_size(board: Leaderboard) -> str:
    """Returns the size that all models of a leaderboard have, such as ``@smoke``; empty if they differ."""
    sizes = {"".join(model.variant.partition("@")[1:]) for model in board.models}
    return sizes.pop() if len(sizes) == 1 else ""


def columns_of(board: Leaderboard, selection: Selection, *, extra: Sequence[str] = ()) -> list[LeaderboardColumn]:
    """Returns the selected columns of a leaderboard, and ``extra`` ones by their names."""
    known = {column.name: column for column in _all_columns(board)}
    if selection == "compact":
        names: Iterable[str] = _COMPACT
    elif selection == "wide":
        one_of_images = set(_image_metrics()) - set(IMAGE_METRICS) | {"mse", "sample_variance", "interval"}
        names = [name for name in known if name not in one_of_images]
    else:
        names = (*RANKING, *selection)
    if selection != "wide":
        size = shared_size(board)  # in the title instead
        known["variant"] = replace(known["variant"], cell=lambda entry: entry.variant.removesuffix(size))
    shown = {board.metric} if board.metric else set()
    return [known[name] for name in dict.fromkeys((*names, *extra)) if name in known and name not in shown]


def require_columns(rows: Iterable[ResultRow], names: Sequence[str]) -> None:
    """Checks that every name is a column: a metric of some row, or a name in :data:`OTHERS`.

    Raises:
        ResultError: naming the first that is not.
    """
    known = {name for row in rows for name in row.metrics} | set(OTHERS)
    for name in names:
        if name not in known:
            raise ResultError(f"--columns {name}: no row has this metric{did_you_mean(name, known)}")


def metrics_of_board(board: Leaderboard) -> set[str]:
    """Returns the metrics that a leaderboard may show: no code length beside bounds, no bounds beside code lengths."""
    names = {name for entry in board.entries for row in entry.rows for name in row.metrics}
    if board.of_code_length:
        return names & _CODE_LENGTH_METRICS
    return names - {CODE_LENGTH, "code_sigma", "floor"}


def image_columns_of(board: Leaderboard) -> list[LeaderboardColumn]:
    """Returns the columns of every image metric: of one sample, the mean, the best sample and the reconstruction.

    The list is empty where nothing but the mean of the samples was measured.
    """
    names = metrics_of_board(board)
    if board.of_code_length or not (names & (set(_image_metrics()) - set(IMAGE_METRICS) | {"sample_variance"})):
        return []
    columns = [_metric_column(name) for name in (*_image_metrics(), "sample_variance") if name in names]
    means = {name: replace(METRICS[name], title=f"{METRICS[name].title} of mean").head for name in IMAGE_METRICS}
    return [replace(column, head=means.get(column.name, column.head)) for column in columns]


def _image_metrics() -> list[str]:
    return [name for metric in IMAGE_METRICS for name in (metric + ONE, metric, metric + BEST, RECONSTRUCTION + metric)]


def _all_columns(board: Leaderboard) -> list[LeaderboardColumn]:
    ranks = {id(model): rank for rank, model in enumerate(board.models[: board.num_ranked], start=1)}
    fronts = dict(zip(map(id, board.models), pareto_cells(board), strict=True))

    def behind(entry: SeedGroup, *, fewer_digits: int = 0) -> tuple[str, str]:
        """Returns by how much a model is worse than the best, and the interval; nothing for the best."""
        rank = ranks.get(id(entry), 1)
        difference = board.behind_best[rank - 2] if rank > 1 else None
        return with_interval(difference, fewer_digits=fewer_digits) if difference else ("", "")

    before = [
        LeaderboardColumn("rank", "#", lambda entry: str(ranks.get(id(entry), ""))),
        VARIANT,
        LeaderboardColumn("encoder", "encoder", lambda entry: entry.first.encoder, is_number=False),
        LeaderboardColumn("core", "core", lambda entry: entry.first.core, is_number=False),
    ]
    if board.metric is not None:
        before += [
            _metric_column(board.metric, name="metric", with_spread=True),
            LeaderboardColumn("interval", "behind best [95%]", lambda entry: behind(entry, fewer_digits=1)[1]),
            LeaderboardColumn("behind_best", "behind the best [95%]", lambda entry: " ".join(behind(entry)).strip()),
            LeaderboardColumn(
                "pareto", "on the Pareto front of", lambda entry: fronts.get(id(entry), ""), is_number=False
            ),
        ]
    return [*before, *map(_metric_column, _ordered_metrics(board)), *_COST_COLUMNS]


def _ordered_metrics(board: Leaderboard) -> list[str]:
    """Returns the metrics of a leaderboard: the main ones in their order, the tightest IWAE bounds first, the others."""
    names = metrics_of_board(board)
    if board.key is None or board.key.num_targets == 1:
        names.discard("separate_nelbo_excess")  # with one target it is the NELBO itself

    def place(name: str) -> tuple[int, int, int, str]:
        if bound := iwae_samples(name):
            return _METRIC_ORDER.index("iwae"), ("_excess", "_gap", "").index(bound[1]), -bound[0], name
        return (_METRIC_ORDER.index(name) if name in _METRIC_ORDER else len(_METRIC_ORDER)), 0, 0, name

    return sorted(names, key=place)


def _metric_column(metric: str, *, name: str | None = None, with_spread: bool = False) -> LeaderboardColumn:
    info = metric_info(metric)

    def cell(entry: SeedGroup) -> str:
        estimate = entry.estimate(metric)
        if estimate is None:
            return ""
        value, spread = number(*estimate, most_decimals=info.digits)
        return f"{value} ± {spread}" if with_spread and spread else value

    return LeaderboardColumn(name or metric, info.head, cell)


def _parameters(entry: SeedGroup) -> str:
    if entry.first.model is None or entry.first.is_baseline:
        return ""
    return f"{entry.first.model.parameters / 1e6:.2f}"


def _speed(name: str) -> Callable[[SeedGroup], str]:
    def cell(entry: SeedGroup) -> str:
        timing = entry.timing(name)
        return number(timing.median, None, most_decimals=1)[0] if timing else ""

    return cell


def _mean_cost(cost: Cost) -> Callable[[SeedGroup], str]:
    return lambda entry: "" if (mean := cost.of(entry)) is None else number(mean, None)[0]


def _distinct(value: Callable[[ResultRow], object]) -> Callable[[SeedGroup], str]:
    return lambda entry: ", ".join(dict.fromkeys(text for row in entry.rows if (text := str(value(row) or ""))))


_COST_COLUMNS = (
    LeaderboardColumn("parameters", "params (M)", _parameters),
    LeaderboardColumn("steps", "steps", _distinct(lambda row: row.budget and row.budget.steps)),
    LeaderboardColumn(TRAIN_THROUGHPUT, "train scenes per s ↑", _speed(TRAIN_THROUGHPUT)),
    LeaderboardColumn(PREDICT_THROUGHPUT, "predict images per s ↑", _speed(PREDICT_THROUGHPUT)),
    LeaderboardColumn("peak_memory", "peak memory (MiB) ↓", _mean_cost(MEMORY)),
    LeaderboardColumn("training_seconds", "training (s) ↓", _mean_cost(TIME)),
    LeaderboardColumn("training_flops", "training (TFLOP) ↓", _mean_cost(FLOPS)),
    LeaderboardColumn("seeds", "seeds", lambda entry: "" if entry.first.is_baseline else str(len(entry.rows))),
    LeaderboardColumn("hardware", "hardware", _distinct(hardware_of), is_number=False),
    LeaderboardColumn("commit", "commit", _distinct(commit_of), is_number=False),
)
OTHERS = ("encoder", "core", "behind_best", "pareto", *(column.name for column in _COST_COLUMNS))
