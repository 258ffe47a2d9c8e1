"""From figures by scene to the metrics of a row: mean, standard error, unit, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from zoo.results.store import Metric

ONE, BEST = "_one", "_best"  # suffixes of image metrics: of a single sample, of the closest sample

NATS = "nats/target"
UNITS = {
    "mse": "squared 0-to-1 range",
    "mae_255": "0-to-255 range",
    "rmse_255": "0-to-255 range",
    "bits_per_dim": "bits/dim",
    "psnr": "dB",
    "ssim": "1",
    "sample_variance": "squared 0-to-1 range",
    "predictive_log_likelihood": NATS,
    "marginal_log_likelihood": NATS,
    "rmse": "units of the values",
    "position_error": "scene units",
    "angle_error": "degrees",
    "pose_log_density": NATS,
}
OF_SAMPLES = frozenset(UNITS) - {"bits_per_dim"}
HIGHER = frozenset(
    {
        "pose_log_density",
        "psnr",
        "ssim",
        "log_likelihood",
        "predictive_log_likelihood",
        "marginal_log_likelihood",
    }
)
NEUTRAL = ("kl", "floor", "sample_variance", "wrong_context_nelbo_excess")


def metrics_of(per_scene: Mapping[str, np.ndarray], *, samples: int) -> dict[str, Metric]:
    """Returns the mean over scenes of every figure; ``samples`` are those of a prediction."""
    return {name: _metric(name, values, samples=samples) for name, values in per_scene.items() if name != "scene"}


def floor_metric(values: np.ndarray) -> Metric:
    """Returns the floor, which is the same for every scene, as a metric that is neither good nor bad."""
    return Metric(value=float(values.mean()), stderr=0.0, n=len(values), unit=NATS)


def code_sigma_metric(sigma: float, *, num_scenes: int) -> Metric:
    """Returns the sigma of a code, fitted on so many scenes, as a metric that is neither good nor bad."""
    return Metric(value=sigma, n=num_scenes, unit="0-to-1 range")


def _metric(name: str, values: np.ndarray, *, samples: int) -> Metric:
    stderr = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    higher = None if name in NEUTRAL or name.endswith("_gap") else _base(name) in HIGHER
    return Metric(
        value=float(values.mean()),
        stderr=stderr,
        n=len(values),
        unit=unit_of(name, samples=samples),
        higher_is_better=higher,
    )


def _base(name: str) -> str:
    """Returns the name of an error without what it is the error of: ``reconstruction_psnr`` and ``psnr_best`` are psnr."""
    return name.removeprefix("reconstruction_").removesuffix(ONE).removesuffix(BEST)


def unit_of(name: str, *, samples: int) -> str:
    """Returns the unit of a metric; ``samples`` are those of a prediction."""
    unit = UNITS.get(_base(name), NATS)
    if name.startswith("reconstruction_") or name.endswith(ONE) or _base(name) not in OF_SAMPLES:
        return unit
    # How good several samples look depends on how many they are.
    return f"{unit}, {'best of ' if name.endswith(BEST) else ''}{samples} samples"
