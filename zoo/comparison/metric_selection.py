"""Which metrics a table shows: what is needed to judge a model, all there is, or what somebody asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.seed_groups import CODE_METRIC
from zoo.errors import ResultError, did_you_mean
from zoo.results.metrics import IMAGE_METRICS, METRICS
from zoo.results.row import ResultRow

_OF_CODES = ("code_sigma", "kl")
_BESIDE_CODES = frozenset({CODE_METRIC, "code_sigma"})
_OF_IMAGES = re.compile(r"(?:mse|mae_255|rmse_255|psnr|ssim)_(?:one|best)|reconstruction_\w+|sample_variance")
_IWAE = re.compile(r"iwae_(\d+)(_excess|_gap|)")


def metrics_of(group: Leaderboard) -> set[str]:
    """Returns the names of the metrics that a group's table may show: no code among bounds, no bound among codes."""
    names = {name for line in (*group.models, *group.baselines) for row in line.rows for name in row.metrics}
    if group.codes:
        return names & {CODE_METRIC, *_OF_CODES}
    return names - _BESIDE_CODES - {"floor"}


def main_metrics(group: Leaderboard) -> list[str]:
    """Returns what is needed to judge a model: of the importance-weighted bounds the tightest, of images the mean."""
    names = metrics_of(group)
    if group.codes:
        return [name for name in _OF_CODES if name in names]
    largest = max((int(match[1]) for name in names if (match := _IWAE.fullmatch(name))), default=0)
    tightest = [f"iwae_{largest}_excess", f"iwae_{largest}_gap"]
    return [name for name in _ordered(group, iwae=tightest) if name in names]


def all_but_images(group: Leaderboard) -> list[str]:
    """Returns the main metrics and all others that do not belong into :func:`image_metrics`."""
    names = metrics_of(group)
    if group.codes:
        return main_metrics(group)
    weighted = sorted(
        (name for name in names if _IWAE.fullmatch(name)),
        key=lambda name: (("_excess", "_gap", "").index(_parts(name)[1]), _parts(name)[0]),
    )
    known = [name for name in _ordered(group, iwae=weighted) if name in names]
    rest = sorted(name for name in names - set(known) if not _OF_IMAGES.fullmatch(name))
    return known + [name for name in rest if name != "mse" and (name != "separate_nelbo_excess" or _joint(group))]


def image_metrics(group: Leaderboard) -> list[tuple[str, str, str]]:
    """Returns (metric, measure, of what) for every image measure of one sample, the mean, the best, the reconstruction.

    It is empty where nothing but the mean was measured.
    """
    names = metrics_of(group)
    if group.codes or not any(_OF_IMAGES.fullmatch(name) for name in names):
        return []
    return [
        (metric, measure, of)
        for measure in IMAGE_METRICS
        for metric, of in (
            (f"{measure}_one", "one"),
            (measure, "mean"),
            (f"{measure}_best", "best"),
            (f"reconstruction_{measure}", "reconstruction"),
        )
        if metric in names
    ]


def require_metric(rows: Iterable[ResultRow], metric: str) -> None:
    """Checks that results can be ranked by a metric.

    Raises:
        ResultError: if no row has it, or if neither more nor less of it is better.
    """
    rows = list(rows)
    having = [row.metrics[metric] for row in rows if metric in row.metrics]
    if not having:
        names = {name for row in rows for name in row.metrics}
        raise ResultError(f"--sort {metric}: no row has this metric{did_you_mean(metric, names)}")
    if all(found.higher_is_better is None for found in having):
        raise ResultError(f"--sort {metric}: neither more nor less of it is better")


def require_columns(rows: Iterable[ResultRow], columns: Sequence[str], *, others: Iterable[str]) -> None:
    """Checks that every column is a metric of some row, or one of the others.

    Raises:
        ResultError: naming the column that is neither.
    """
    known = {name for row in rows for name in row.metrics} | set(others)
    for name in columns:
        if name not in known:
            raise ResultError(f"--columns {name}: no row has this metric{did_you_mean(name, known)}")


def _ordered(group: Leaderboard, *, iwae: Sequence[str]) -> list[str]:
    names = metrics_of(group)
    return [
        "nelbo_excess",
        *(["separate_nelbo_excess"] if _joint(group) else []),
        *("nelbo", "kl", "distortion", *iwae),
        *("predictive_log_likelihood", "marginal_log_likelihood", "rmse"),
        # Of the two one is a function of the other.
        *(["mae_255", "rmse_255"] if "rmse_255" in names else ["mae_255", "mse"]),
        *("psnr", "ssim", "wrong_context_nelbo_excess"),
    ]


def _joint(group: Leaderboard) -> bool:
    """Returns whether a scene has several targets, so that their joint bound is not the sum of their own."""
    return group.key is not None and group.key.num_targets > 1


def _parts(name: str) -> tuple[int, str]:
    match = _IWAE.fullmatch(name)
    assert match is not None
    return int(match[1]), match[2]


def image_head(measure: str, *, of: str) -> str:
    """Returns the head of an image metric of ``one`` sample, the ``mean``, the ``best`` or the ``reconstruction``."""
    info = METRICS[measure]
    return replace(info, title=f"{info.title} of {of}").head
