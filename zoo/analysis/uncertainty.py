"""Whether the spread of predictions covers their error, and falls with the number of context views.

S predictions from the prior of the same view have a mean and, at every pixel, a standard deviation. If the truth is one more
sample of the same distribution, the root of the mean squared error of the mean is the standard deviation times
sqrt(1 + 1/S), which is the spread here. Pixels are sorted by their spread into ten bins of equally many.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.requirements import missing_views
from zoo.analysis.trends import trend_findings
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.figures.trends import Points, TrendPanel, trend_of
from zoo.model.scene_model import SceneModel

BINS = 10
COVERED = 2.0  # the largest error, in spreads
RANGE = "0-to-1 range"


class PixelErrors(NamedTuple):
    """Spread and error of every pixel of one predicted view per scene, root mean square over the colours, 0-to-1 range."""

    spread: np.ndarray  # [scenes, H * W] float64
    error: np.ndarray  # [scenes, H * W] float64

    @property
    def mean_spread(self) -> np.ndarray:
        """Root of the mean square over the pixels, [scenes]."""
        return np.sqrt(np.square(self.spread).mean(1))

    @property
    def mean_error(self) -> np.ndarray:
        """Root of the mean square over the pixels, [scenes]."""
        return np.sqrt(np.square(self.error).mean(1))

    @property
    def correlation(self) -> np.ndarray:
        """Correlation of spread and error over the pixels of each view, [scenes]; 0 where one of them is constant."""
        spread, error = (each - each.mean(1, keepdims=True) for each in self)
        norm = np.sqrt(np.square(spread).sum(1) * np.square(error).sum(1))
        return (spread * error).sum(1) / np.where(norm > 0.0, norm, 1.0)


missing = partial(missing_views, latents=True, several=True)


def run(given: AnalysisInputs) -> Findings:
    """Predicts the first target of every scene from few and from many context views."""
    found = {
        label: {
            number: pixel_errors(
                trained.model, given.evaluation(trained, num_context=number), num_samples=given.num_samples
            )
            for number in given.contexts()
        }
        for label, trained in given.models.items()
    }
    # Error against spread with the most context views, and both against the number of views.
    curves = [calibration(by_number[max(by_number)], label=label) for label, by_number in found.items()]
    trends = []
    for label, by_number in found.items():
        each = list(by_number.values())
        trends.append(trend_of(label, list(by_number), [one.mean_spread for one in each]))
        trends.append(trend_of(f"{label}, error", list(by_number), [one.mean_error for one in each]))
    panels = [
        TrendPanel(f"error of a pixel ({RANGE})", curves, along=f"predicted spread ({RANGE})", diagonal=True),
        TrendPanel(f"spread, and error ({RANGE})", trends),
    ]
    claims = uncertainty_claims(found)
    return trend_findings("uncertainty", claims=claims, panels=panels, along="context views")


def pixel_errors(model: SceneModel, evaluation: Evaluation, *, num_samples: int) -> PixelErrors:
    """Returns spread and error of the first target of every scene, of S = ``num_samples`` (at least 2) predictions."""
    assert num_samples > 1

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        prediction = model.predict(part.batch, evaluation.schedule, part.num_context, num_samples=num_samples)
        images = prediction.expected[:, :, 0].double()  # [S, B, C, H, W]
        variance = images.var(0, correction=1).mean(1) * (1.0 + 1.0 / num_samples)
        squared = (images.mean(0) - prediction.target[:, 0].double()).square().mean(1)
        return {"spread": variance.sqrt().flatten(1), "error": squared.sqrt().flatten(1)}

    return PixelErrors(**evaluation.score(score, model=model))


def calibration(found: PixelErrors, *, label: str) -> Points:
    """Returns the error against the spread, root mean squares of the pixels of each bin, with errors over the scenes."""
    edges = np.quantile(found.spread, np.linspace(0.0, 1.0, BINS + 1)[1:-1])
    bins = np.searchsorted(edges, found.spread, side="right")
    rows = []
    for number in range(BINS):
        inside = bins == number
        counts = inside.sum(1)
        if not counts.any():
            continue
        squared = (np.square(found.error) * inside).sum(1)
        mean = squared.sum() / counts.sum()
        # Of the ratio of two sums over scenes, then of its root.
        error = np.sqrt(np.square(squared - mean * counts).sum()) / counts.sum() / (2.0 * np.sqrt(max(mean, 1e-12)))
        rows.append((np.sqrt(np.square(found.spread[inside]).mean()), np.sqrt(mean), error))
    spread, mean, error = np.array(rows).T
    return Points(label, spread.tolist(), mean, error, len(found.spread))


def uncertainty_claims(found: Mapping[str, Mapping[int, PixelErrors]]) -> list[Claim]:
    """Tests every model, paired over the scenes."""
    expectations = []
    for label, by_number in found.items():
        few, many = min(by_number), max(by_number)
        best = by_number[many]
        text = f"{label}: given {many} views the error is larger where the spread is"
        note = f"correlation over pixels {best.correlation.mean():.2f}"
        expectations.append(Expectation.below_zero(text, -best.correlation, unit="", note=note))
        text = f"{label}: given {many} views the error is at most {COVERED:g} times the spread"
        excess = best.mean_error - COVERED * best.mean_spread
        note = f"error {best.mean_error.mean():.3f}, spread {best.mean_spread.mean():.3f}"
        expectations.append(Expectation.below_zero(text, excess, unit=RANGE, note=note))
        text = f"{label}: predictions vary less given {many} views than given {few}"
        spreads = best.mean_spread, by_number[few].mean_spread
        expectations.append(Expectation.less(text, *spreads, unit=RANGE))
    return conclude(expectations)
