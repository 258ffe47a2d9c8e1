"""The metrics of result rows: one table of name, title, unit, direction and digits, and means over scenes.

* ``nelbo``, ``floor`` (the least NELBO that the likelihood allows), ``nelbo_excess`` (their difference), ``kl``,
  ``log_likelihood`` and ``distortion`` (``nelbo_excess - kl``, of a Gaussian with fixed sigma);
* ``iwae_<K>`` (the negative importance-weighted bound of K samples), ``iwae_<K>_excess`` and ``iwae_<K>_gap`` (NELBO minus it);
* ``separate_nelbo_excess`` (every target scored by itself, with latents of its own) and ``wrong_context_nelbo_excess`` (with
  the context of another scene);
* ``bits_per_dim``, the lossless code length of the 8-bit values, with ``code_sigma`` where a sigma was fitted for it;
* of predictions from the prior ``mse``, ``mae_255``, ``rmse_255``, ``psnr`` and ``ssim`` of the mean of all samples, with the
  suffix ``_one`` of a single sample and ``_best`` of the closest one, and ``sample_variance``; with the prefix
  ``reconstruction_`` of the posterior, which has seen the truth;
* ``digit_disagreement`` and ``digit_disagreement_of_samples``, of the hidden side of a cube with digits, given the three others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from zoo.results.row import Metric

NATS = "nats/target"
ONE, BEST, RECONSTRUCTION = "_one", "_best", "reconstruction_"
IMAGE_METRICS = ("mae_255", "rmse_255", "psnr", "ssim", "mse")

_IWAE = re.compile(r"iwae_(\d+)(_excess|_gap|)")


@dataclass(frozen=True)
class MetricInfo:
    """What is known about a metric by its name."""

    name: str  # as in rows
    title: str  # for heads of tables and axes, without the unit
    unit: str = NATS  # as in rows, without the number of samples
    higher_is_better: bool | None = False  # None if neither direction is better
    digits: int = 2  # the most decimal places that tables show
    short_unit: str = ""  # in heads of tables; empty if the head shows none
    of_samples: bool = False  # whether it depends on the number of samples of a prediction, which the unit names
    has_percent: bool = True  # whether zero is its natural origin, so that a relative change means something

    @property
    def arrow(self) -> str:
        """The better direction: an arrow up, an arrow down, or nothing."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    @property
    def head(self) -> str:
        """The head of a table's column, such as ``PSNR (dB) ↑``."""
        unit = f" ({self.short_unit})" if self.short_unit else ""
        return f"{self.title}{unit} {self.arrow}".rstrip()

    @property
    def axis(self) -> str:
        """The label of an axis, such as ``excess NELBO (nats/target)``."""
        unit = self.short_unit or self.unit
        return self.title if unit in ("1", self.title) else f"{self.title} ({unit})"

    def unit_with_samples(self, samples: int) -> str:
        """Returns the unit for a row; how good several samples look depends on how many they are."""
        if not self.of_samples:
            return self.unit
        return f"{self.unit}, {'best of ' if self.name.endswith(BEST) else ''}{samples} samples"


def _of_samples(name: str, title: str, unit: str = NATS, higher_is_better: bool = False, **options: Any) -> MetricInfo:
    return MetricInfo(name, title, unit, higher_is_better, of_samples=True, **options)


_GREY, _SQUARED_GREY = "0-to-255 range", "squared 0-to-1 range"
_PAIRS = "share of pairs of views"
_LOG: dict[str, Any] = {"higher_is_better": True, "digits": 3, "has_percent": False}
METRICS = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            MetricInfo("nelbo_excess", "excess NELBO", digits=3),
            MetricInfo("separate_nelbo_excess", "separate excess NELBO"),
            MetricInfo("wrong_context_nelbo_excess", "wrong-context excess", higher_is_better=None),
            MetricInfo("nelbo", "NELBO", has_percent=False),
            MetricInfo("floor", "floor", higher_is_better=None, has_percent=False),
            MetricInfo("kl", "KL", higher_is_better=None),
            MetricInfo("distortion", "distortion"),
            MetricInfo("log_likelihood", "log-likelihood", higher_is_better=True, has_percent=False),
            MetricInfo("bits_per_dim", "bits/dim", "bits/dim", digits=3),
            MetricInfo("code_sigma", "code sigma", "0-to-1 range", None, digits=3),
            _of_samples("mae_255", "MAE", _GREY, short_unit="0-255"),
            _of_samples("rmse_255", "RMSE", _GREY, short_unit="0-255"),
            _of_samples("psnr", "PSNR", "dB", True, short_unit="dB", has_percent=False),
            _of_samples("ssim", "SSIM", "1", True, digits=3),
            _of_samples("mse", "MSE", _SQUARED_GREY, digits=5),
            _of_samples("digit_disagreement", "disagreement of digits", _PAIRS, short_unit="1", digits=3),
            MetricInfo("digit_disagreement_of_samples", "of two samples", _PAIRS, None, digits=3, of_samples=True),
            MetricInfo("sample_variance", "variance of samples", _SQUARED_GREY, None, digits=5, of_samples=True),
            _of_samples("joint_log_likelihood", "joint log likelihood", **_LOG),
            # Of rows before ``joint_log_likelihood``: with samples of the prior, a much looser bound.
            _of_samples("predictive_log_likelihood", "joint log likelihood, prior samples", **_LOG),
            _of_samples("marginal_log_likelihood", "marginal log likelihood", **_LOG),
            _of_samples("rmse", "RMSE", "units of the values", digits=4),
            _of_samples("position_error", "position error", "scene units", digits=3),
            _of_samples("angle_error", "angle error", "degrees", short_unit="°"),
            _of_samples("pose_log_density", "pose log-density", **_LOG),
        )
    }
)


def find_metric(name: str) -> MetricInfo | None:
    """Returns the entry of a metric or of a member of a family, None for a name that the table does not have."""
    if name in METRICS:
        return METRICS[name]
    if match := _IWAE.fullmatch(name):
        bound = f"IWAE-{match[1]}"
        if match[2] == "_gap":
            return MetricInfo(name, f"{bound} gap", higher_is_better=None)
        return MetricInfo(name, f"excess {bound}") if match[2] else MetricInfo(name, bound, has_percent=False)
    base = name.removeprefix(RECONSTRUCTION).removesuffix(ONE).removesuffix(BEST)
    if base not in IMAGE_METRICS:
        return None
    info = METRICS[base]
    of = {RECONSTRUCTION + base: "reconstruction", base + ONE: "one", base + BEST: "best"}.get(name)
    if of is None:
        return None
    return replace(info, name=name, title=f"{info.title} of {of}", of_samples=of == "best")


def metric_info(name: str) -> MetricInfo:
    """Returns the entry of a metric; a name that the table does not have is in nats per target, and lower is better."""
    return find_metric(name) or MetricInfo(name, name)


def iwae_samples(name: str) -> tuple[int, str] | None:
    """Returns K and ``_excess``, ``_gap`` or nothing of the name of an importance-weighted bound, None for another."""
    match = _IWAE.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def metrics_of(per_scene: Mapping[str, np.ndarray], *, samples: int) -> dict[str, Metric]:
    """Returns the mean over scenes of every list of values; ``samples`` is the number of samples of a prediction."""
    metrics = {}
    for name, values in per_scene.items():
        if name == "scene":
            continue
        info = metric_info(name)
        stderr = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
        metrics[name] = Metric(
            value=float(values.mean()),
            stderr=0.0 if name == "floor" else stderr,  # the floor is the same for every scene
            n=len(values),
            unit=info.unit_with_samples(samples),
            higher_is_better=info.higher_is_better,
        )
    return metrics


def code_sigma_metric(sigma: float, *, num_scenes: int) -> Metric:
    """Returns the sigma of a code, fitted on so many scenes, as a metric without a better direction."""
    return Metric(value=sigma, n=num_scenes, unit=METRICS["code_sigma"].unit)
