"""Regression of functions of one number, compared with the exact posterior of the Gaussian process they come from.

The exact posterior knows the kernel of each function. The score is the joint predictive log-likelihood of 16 targets,
nats/target: latents matter for joint predictions, and the marginal log-likelihood of single targets does not measure them.
Both are lower bounds with the given number of samples, of the posterior for the joint one and of q(z | context) for single
targets, which if anything underestimates the latent models.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import numpy as np

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Draw, Findings
from zoo.analysis.requirements import missing_values
from zoo.analysis.scores import Scores, panels_of
from zoo.analysis.trends import trend_findings
from zoo.data.functions import Kernel
from zoo.data.plan import EvaluationPlan
from zoo.data.source import INPUTS, KERNEL, VALUES
from zoo.errors import ConfigError
from zoo.evaluation.gaussian_process import predictive, score_exactly
from zoo.evaluation.loop import Evaluation
from zoo.evaluation.values import predict_at, score_values
from zoo.figures.functions import Band, Panel, curve_panels
from zoo.figures.style import GREY, PALETTE
from zoo.training.trained_model import TrainedModel

EXACT = "exact posterior"
CONTEXTS = (0, 1, 3, 6, 12, 24)
NUM_TARGETS = 16
SHARE = 0.7  # the least share of the exact posterior's gain by the largest context that the last model must gain
FIGURE_CONTEXTS, FIGURE_SAMPLES = (1, 4, 16), 6

JOINT, MARGINAL, SPREAD = "joint_log_likelihood", "marginal_log_likelihood", "spread"
QUANTITIES = {
    JOINT: f"joint log-likelihood of {NUM_TARGETS} targets (nats/target)",
    MARGINAL: "log-likelihood of single targets (nats/target)",
    SPREAD: "standard deviation of a target",
}


missing = partial(
    missing_values, inputs=1, needed="a model of functions of one number with a learned standard deviation"
)


def run(given: AnalysisInputs) -> Findings:
    """Scores all models and the exact posterior on the same functions, points and targets.

    Raises:
        DataError: if the data have no kernels, so that there is no exact posterior.
        ConfigError: if the models were trained with fewer than two of the numbers of points.
    """
    trained_with = given.contexts()
    numbers = [number for number in CONTEXTS if number in trained_with]
    if len(numbers) < 2:
        raise ConfigError(
            f"regression: {', '.join(given.models)}: trained with {trained_with[0]} to {trained_with[-1]} points, expected "
            f"two or more of {', '.join(map(str, CONTEXTS))}"
        )
    plans = {
        number: EvaluationPlan(
            given.scenes,
            num_context=number,
            num_targets=NUM_TARGETS,
            seed=given.seed,
            max_scenes=given.num_scenes,
        )
        for number in numbers
    }
    scores: dict[str, Scores] = {EXACT: {number: score_exactly(given.scenes, plan) for number, plan in plans.items()}}
    for label, trained in given.models.items():
        given.log(f"{label}: scoring {given.num_scenes} functions given {numbers} points")
        scores[label] = {number: score_model(given, trained, plan) for number, plan in plans.items()}
    return trend_findings(
        "regression",
        claims=regression_claims(scores),
        panels=panels_of(scores, QUANTITIES),
        along="context points",
        sheets={"curves": draw_curves(given)},
    )


def score_model(given: AnalysisInputs, trained: TrainedModel, plan: EvaluationPlan) -> dict[str, np.ndarray]:
    """Returns the scores of a model; the spread is the mean predictive standard deviation."""
    known, extras = plan.num_context, given.scenes.read_extras(np.arange(given.num_scenes), plan.views)
    inputs, values = extras[INPUTS], extras[VALUES][:, :known]
    predicted = predict_at(
        trained.model,
        inputs[:, :known],
        values,
        queries=inputs[:, known:],
        schedule=trained.schedule,
        num_samples=given.num_samples,
    )
    evaluation = Evaluation(given.scenes, plan, schedule=trained.schedule, batch_size=50)
    return score_values(trained.model, evaluation, num_samples=given.num_samples) | {SPREAD: predicted.scale.mean(1)}


def regression_claims(scores: Mapping[str, Scores]) -> list[Claim]:
    """Compares the models, each expected to be better than the one before it, and the exact posterior, over functions."""
    labels = [label for label in scores if label != EXACT]
    numbers = list(scores[EXACT])

    def mean_over(label: str) -> np.ndarray:
        return np.mean([scores[label][number][JOINT] for number in numbers], axis=0)

    expectations = []
    for worse, better in pairwise(labels):
        text = f"the {worse} predicts {NUM_TARGETS} targets jointly worse than the {better}"
        expectations.append(Expectation.less(text, mean_over(worse), mean_over(better), unit="nats/target"))
    beyond = [mean_over(label) - mean_over(EXACT) for label in labels]
    text = "no model is better than the exact posterior"
    expectations.append(Expectation.least_sure(text, beyond, unit="nats/target for the closest"))
    best, first, last = labels[-1], numbers[0], numbers[-1]
    text = f"by {last} points the {best} gains over {SHARE:.0%} of the exact posterior's gain on single targets"
    gained, possible = (scores[label][last][MARGINAL] - scores[EXACT][first][MARGINAL] for label in (best, EXACT))
    note = f"{gained.mean():.3f} of {possible.mean():.3f}"
    expectations.append(Expectation.below_zero(text, SHARE * possible - gained, unit="nats/target", note=note))
    for label in labels:
        text = f"the uncertainty of the {label} falls with every larger context"
        spreads = [scores[label][number][SPREAD] for number in numbers]
        falls = [more - fewer for fewer, more in pairwise(spreads)]
        note = "deviations " + ", ".join(f"{spread.mean():.3f}" for spread in spreads)
        expectations.append(Expectation.least_sure(text, falls, unit="in the least sure step", note=note))
    return conclude(expectations)


def draw_curves(given: AnalysisInputs) -> Draw:
    """Returns the function that draws the predictions of the models for the first function, and the exact posterior."""
    plan = EvaluationPlan(given.scenes, num_context=max(FIGURE_CONTEXTS), num_targets=1, seed=given.seed)
    extras = given.scenes.read_extras(np.array([0]), plan.views[:1])
    kernel = Kernel.from_row(extras[KERNEL][0])
    along = np.linspace(-2.0, 2.0, 121)
    panels = []
    for index, (label, trained) in enumerate(given.models.items()):
        for number in FIGURE_CONTEXTS:
            inputs, values = extras[INPUTS][:, :number], extras[VALUES][:, :number]
            exact = predictive(kernel, inputs=inputs[0], values=values[0, :, 0], queries=along[:, None])
            found = predict_at(
                trained.model, inputs, values, queries=along[None, :, None], schedule=trained.schedule, num_samples=64
            )
            count = FIGURE_SAMPLES if found.samples.std(0).max() > 0 else 0
            colour = PALETTE[index % len(PALETTE)]
            bands = [
                Band(EXACT, GREY, exact.mean, exact.scale, np.empty((0, len(along)))),
                Band(label, colour, found.mean[0], found.scale[0], found.samples[:count, 0]),
            ]
            title = f"{label}, {number} point{'s' if number > 1 else ''}"
            panels.append(Panel(title, along, bands, inputs[0, :, 0], values[0, :, 0]))
    title = "Mean and two standard deviations; thin curves are samples of the latent"
    return lambda path: curve_panels(path, panels=panels, columns=len(FIGURE_CONTEXTS), same_scale=True, title=title)
