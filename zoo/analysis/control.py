"""Representations for control: policies that see r need fewer interactions than policies that see pixels (Eslami et al. 2018).

For each model with r, for pixels and for the true state, policies of several seeds learn to reach the ball (see
:mod:`zoo.control.reaching`) by the same algorithm. The trained policies are tested, without exploration, on episodes that
none of them has seen. Interactions are the environment steps until the return of the training episodes reaches a level
that every kind of policy reaches in the mean over its seeds.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.trends import trend_figure, trend_table
from zoo.analysis.view_sets import PIXELS, POOLED
from zoo.comparison.statistics import paired_t_test, paired_t_test_over_seeds
from zoo.errors import ConfigError
from zoo.evaluation.representations import has_representation
from zoo.figures.trends import Points, TrendPanel
from zoo.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from zoo.control.observations import Observation

STATE = "true state"
ALONG = "environment steps"
LEVEL_SHARE = 0.8  # of the lowest final return
FINAL_SHARE = 0.2  # of training, over which the final return is taken
SMOOTHED = 3  # batches of episodes whose returns are averaged
FEWEST_BATCHES = 5  # of episodes, of which the last one is the final fifth
TEST_SEED = 1_000_000  # of the first test episode, far above those of training
SEED_DISTANCE = 1_000  # between the seeds of two trainings, above the number of arms


class Learning(NamedTuple):
    """The trainings of several seeds with one kind of observation."""

    steps: np.ndarray  # [P], environment steps
    returns: np.ndarray  # [seeds, P], of training episodes, metres
    distances: np.ndarray  # [seeds, episodes], after the test episodes, metres

    @property
    def final(self) -> np.ndarray:
        """Returns at the end of training, [seeds]."""
        return self.returns[:, -max(1, round(FINAL_SHARE * len(self.steps))) :].mean(1)

    def interactions(self, level: float) -> np.ndarray:
        """Returns after how many steps a level is first reached, [seeds]; all steps where it never is."""
        reached = self.returns >= level
        return np.where(reached.any(1), self.steps[reached.argmax(1)], self.steps[-1])


def missing(trained: TrainedModel) -> str | None:
    """Returns what a model or the installation would need."""
    if any(importlib.util.find_spec(name) is None for name in ("gymnasium", "stable_baselines3")):
        return "the extra control: pip install 'gqn-zoo[control]'"
    return None if has_representation(trained.model) else POOLED


def run(given: AnalysisInputs) -> Findings:
    """Trains and tests all policies.

    Raises:
        ConfigError: if there are too few environment steps to draw a learning curve.
    """
    from zoo.control.observations import FrozenRepresentation, Pixels, TrueState
    from zoo.control.policies import BATCH_STEPS

    if given.env_steps < FEWEST_BATCHES * BATCH_STEPS:
        raise ConfigError(
            f"control: found {given.env_steps} environment steps, expected {FEWEST_BATCHES * BATCH_STEPS} or more"
        )
    observations: dict[str, Observation] = {
        label: FrozenRepresentation(trained.model) for label, trained in given.models.items()
    }
    observations |= {PIXELS: Pixels(given.scenes.image_size), STATE: TrueState()}
    found = learn(given, observations)
    panels = [learning_panel(found)]
    return Findings(
        claims=control_claims(found, represented=list(given.models)),
        table=trend_table(panels, along=ALONG),
        draw=trend_figure(panels, along=ALONG, title=ANALYSES["control"].title),
    )


def learn(given: AnalysisInputs, observations: Mapping[str, Observation]) -> dict[str, Learning]:
    """Trains and tests policies of all seeds, seed after seed."""
    from zoo.control.policies import BATCH_STEPS, train_policy

    device = next(iter(given.models.values())).model.device
    returns: dict[str, list[np.ndarray]] = {label: [] for label in observations}
    distances: dict[str, list[np.ndarray]] = {label: [] for label in observations}
    for index in range(given.num_seeds):
        seed = given.seed + index * SEED_DISTANCE
        for label, observation in observations.items():
            policy = train_policy(observation, env_steps=given.env_steps, seed=seed, device=device)
            curve = policy.returns.mean(1)
            tested = policy.final_distances(num_episodes=given.num_scenes, seed=TEST_SEED + given.seed)
            returns[label].append(np.convolve(curve, np.ones(SMOOTHED) / SMOOTHED, mode="valid"))
            distances[label].append(tested)
            given.log(
                f"{label}, seed {seed}: {policy.num_parameters} parameters, return {curve[-1]:.3f} m at the end of "
                f"training, hand {tested.mean():.3f} m from the ball in test episodes"
            )
    return {
        label: Learning(
            BATCH_STEPS * np.arange(SMOOTHED, SMOOTHED + len(curves[0])), np.array(curves), np.array(distances[label])
        )
        for label, curves in returns.items()
    }


def learning_panel(found: Mapping[str, Learning]) -> TrendPanel:
    """Returns the learning curves, with standard errors over seeds."""
    trends = [
        Points(
            label,
            one.steps.tolist(),
            one.returns.mean(0),
            one.returns.std(0, ddof=1) / np.sqrt(len(one.returns)),
            len(one.returns),
        )
        for label, one in found.items()
    ]
    return TrendPanel("return: how much nearer the hand comes in an episode (m)", trends)


def control_claims(found: Mapping[str, Learning], *, represented: Sequence[str]) -> list[Claim]:
    """Compares policies that see r with those that see pixels: interactions to the same return, and test episodes."""
    level = LEVEL_SHARE * min(float(one.final.mean()) for one in found.values())
    claims: list[Claim | Expectation] = []
    for label in represented:
        own, pixels = found[label], found[PIXELS]
        claims.append(interaction_claim(label, own, pixels, level=level))
        claims.append(
            Expectation(
                f"{label}: hands of policies that see r end nearer to the ball than those of policies that see pixels",
                paired_t_test_over_seeds(own.distances, pixels.distances, same_seeds=True),
                "m",
                f"{own.distances.mean():.4g} against {pixels.distances.mean():.4g}, true state "
                f"{found[STATE].distances.mean():.4g}, {len(own.distances)} seeds",
            )
        )
    return conclude(claims)


def interaction_claim(label: str, own: Learning, pixels: Learning, *, level: float) -> Claim:
    """Returns the claim that r needs fewer interactions; ratio of geometric means, with Student's interval.

    Policies of one seed see the same episodes first, so that they are paired.
    """
    text = f"{label}: policies that see r need fewer interactions than policies that see pixels"
    if level <= 0.0:
        return Claim(text, f"not measured, as the lowest final return is {level / LEVEL_SHARE:.3g} m", holds=False)
    numbers = [one.interactions(level) for one in (own, pixels)]
    never = [int((one.returns.max(1) < level).sum()) for one in (own, pixels)]
    logs = paired_t_test(np.log(numbers[0]) - np.log(numbers[1]))
    ratio, low, high = (math.exp(each) for each in (logs.mean, logs.low, logs.high))
    return Claim(
        text=text,
        measured=f"{numbers[0].mean():.0f} against {numbers[1].mean():.0f} steps to a return of {level:.3g} m, ratio "
        f"{ratio:.3g}, 95% interval {low:.3g} to {high:.3g}, over {len(own.returns)} seeds, of which {never[0]} and "
        f"{never[1]} never reach it and count as all {own.steps[-1]} steps",
        holds=bool(high < 1.0 and never[0] == 0),
        mean=ratio,
        low=low,
        high=high,
        unit="of the interactions",
        scenes=len(own.returns),
        paired_over="seeds",
    )
