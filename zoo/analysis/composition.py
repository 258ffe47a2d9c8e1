"""Compositionality: combinations of factors that were held out of training, such as red cones (Eslami et al. 2018, figure 3).

The data are made with ``gqn-zoo data make --hold-out shape=cone,colour=red``: in the split test every even scene shows a
held-out combination and every odd one shows none. The gap between both, in excess NELBO and in errors of predicted images, is
a difference of means of different scenes, with Welch's interval. A gap may also come from what is held out being harder to
predict: a second model, trained on other data in which nothing was held out, shows that part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.stats import ttest_ind

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.intervals import interval_findings, interval_of
from zoo.analysis.requirements import check_comparable, missing_views
from zoo.comparison.statistics import ALPHA, MIN_SCENES
from zoo.data.store import SceneStore, read_meta
from zoo.errors import ConfigError, DataError
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.images import score_images
from zoo.training.trained_model import TrainedModel

FEWEST_SCENES = 4  # two with held-out combinations and two without
NUM_CONTEXT = 4  # views; fewer for a model that was trained with fewer
SEEN, UNSEEN = "seen in training", "held out"
EXCESS, MSE = "nelbo_excess", "mse"
METRICS = {EXCESS: ("excess NELBO (nats)", "nats"), MSE: ("MSE of the mean prediction", "squared 0-to-1 range")}
MARGIN = 0.1  # of the mean of seen combinations: a smaller gap counts as none

missing = missing_views


class Gap(NamedTuple):
    """A mean of scenes with held-out combinations minus the mean of scenes without."""

    mean: float
    low: float  # ends of the 95 % interval
    high: float
    seen: float  # mean of the scenes without held-out combinations
    scenes: int  # of both kinds


class CompositionScores(NamedTuple):
    """Scores of one model, per scene; even scenes show held-out combinations."""

    own: Mapping[str, np.ndarray]  # metric -> [n]
    elsewhere: np.ndarray  # [n], excess NELBO given the views of another scene of the same kind, nats


def run(given: AnalysisInputs) -> Findings:
    """Scores all models on the scenes with and without held-out combinations.

    Raises:
        ConfigError: for fewer than two scenes of each kind, or if the NELBOs of the models cannot be compared.
        DataError: if nothing is held out of the data, or no model was trained on them.
    """
    if given.num_scenes < FEWEST_SCENES:
        raise ConfigError(
            f"composition: found {given.num_scenes} scenes, expected {FEWEST_SCENES} or more for intervals"
        )
    check_comparable(given.models)
    held_out = held_out_combinations(given)
    revisions = {label: trained.config["data"]["revision"] for label, trained in given.models.items()}
    unseen_by = [label for label, revision in revisions.items() if revision == given.scenes.revision]
    if not unseen_by:
        raise DataError(
            f"{given.other.given}: no model was trained on these data, so that nothing is known to be held out of its training"
        )
    found = {label: measure(given, trained, label=label) for label, trained in given.models.items()}
    intervals = [
        interval_of(one.own[metric][first::2], quantity=quantity, case=label, series=kind)
        for metric, (quantity, _) in METRICS.items()
        for label, one in found.items()
        for first, kind in ((0, UNSEEN), (1, SEEN))
    ]
    claims = composition_claims(found, unseen_by=unseen_by)
    return interval_findings("composition", claims=claims, intervals=intervals, about=f" ({'; '.join(held_out)})")


def held_out_combinations(given: AnalysisInputs) -> list[str]:
    """Returns the combinations that the data hold out of training; raises DataError if there is none."""
    held_out, folder = None, given.other.given
    if folder is not None and isinstance(given.scenes, SceneStore):
        held_out = read_meta(folder).provenance.get("hold_out")
    if not isinstance(held_out, list) or not held_out:
        raise DataError(
            f"{folder or given.scenes.name}: holds nothing out of training; use data of `gqn-zoo data make --hold-out`, with --data"
        )
    return [str(combination) for combination in held_out]


def measure(given: AnalysisInputs, trained: TrainedModel, *, label: str) -> CompositionScores:
    """Scores the first target of every scene, of an even number of them: then the scene two places later is of the same kind."""
    number = min(NUM_CONTEXT, trained.variant.training.contexts.maximum)
    even = given.num_scenes - given.num_scenes % 2
    given.log(f"{label}: {even} scenes, {number} context views")
    evaluation = given.evaluation(trained, num_context=number, num_scenes=even)
    bounds = score_scenes(trained.model, evaluation)
    images = score_images(trained.model, evaluation, num_samples=given.num_samples)
    elsewhere = score_scenes(trained.model, replace(evaluation, shift=2))
    return CompositionScores({EXCESS: bounds[EXCESS], MSE: images[MSE]}, elsewhere[EXCESS])


def gap_of(scores: np.ndarray) -> Gap:
    """Returns the gap of scores [n] between even and odd scenes, with the interval of Welch's t-test."""
    unseen, seen = scores[::2], scores[1::2]
    low, high = ttest_ind(unseen, seen, equal_var=False).confidence_interval(1.0 - ALPHA)
    return Gap(float(unseen.mean() - seen.mean()), float(low), float(high), float(seen.mean()), len(scores))


def composition_claims(found: Mapping[str, CompositionScores], *, unseen_by: Sequence[str]) -> list[Claim]:
    """States the gaps of the models that were trained without the combinations, alone and beside the other models."""
    claims: list[Claim | Expectation] = []
    for label in unseen_by:
        own = found[label]
        for metric, (quantity, unit) in METRICS.items():
            claims.append(gap_claim(f"{label}: {quantity}", gap_of(own.own[metric]), unit=unit))
            for other in [name for name in found if name not in unseen_by]:
                # The same scenes: what makes a scene hard for both models cancels.
                gap = gap_of(own.own[metric] - found[other].own[metric])
                text = f"{label}, beyond the gap of {other}: {quantity}"
                claims.append(gap_claim(text, gap._replace(seen=float(own.own[metric][1::2].mean())), unit=unit))
        text = f"{label}: held-out combinations are predicted better given their own views than given those of another scene"
        claims.append(Expectation.less(text, own.own[EXCESS][::2], own.elsewhere[::2], unit="nats"))
    return conclude(claims)


def gap_claim(text: str, gap: Gap, *, unit: str) -> Claim:
    """Returns the claim that a gap is below the margin, which holds if the whole interval is."""
    limit = MARGIN * gap.seen
    return Claim(
        text=f"{text} of held-out combinations is less than {MARGIN:.0%} above that of combinations seen in training",
        measured=f"gap {gap.mean:+.4g} {unit}, 95% interval {gap.low:+.4g} to {gap.high:+.4g}, {MARGIN:.0%} are {limit:.3g}, "
        f"over {gap.scenes} scenes",
        holds=gap.high < limit and gap.scenes >= 2 * MIN_SCENES,
        mean=gap.mean,
        low=gap.low,
        high=gap.high,
        unit=unit,
        scenes=gap.scenes,
    )
