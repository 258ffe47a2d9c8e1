"""Neural processes against the exact Gaussian process posterior.

A conditional, a latent and an attentive neural process are trained on functions sampled from Gaussian processes and scored
on new functions. The exact posterior, which knows the kernel of each function, is the reference. The score is the joint
predictive log-likelihood of 16 targets, nats/target: latents matter for joint predictions, and the marginal log-likelihood
of single targets, which is reported too, does not measure them. Both are lower bounds with 100 samples, of the posterior for
the joint one and of q(z | context) for single targets, which if anything underestimates the latent models.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from zoo.analysis.catalogue import DEMONSTRATIONS
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.context import AnalysisContext
from zoo.analysis.scores import Scores, panels_of
from zoo.config.schedules import schedule_values
from zoo.data.functions import Kernel
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource, Split
from zoo.evaluation.gaussian_process import predictive, score_exactly
from zoo.evaluation.loop import Evaluation
from zoo.evaluation.values import predict_at, score_values
from zoo.figures.functions import Band, Panel, curve_panels
from zoo.figures.style import GREY, PALETTE
from zoo.figures.trends import trend_panels
from zoo.model.scene_model import SceneModel

FUNCTIONS = "functions_smooth"
NUM_FUNCTIONS: Mapping[Split, int] = {"train": 8000, "validation": 100, "test": 400}
MODELS = {"CNP": "cnp-1d", "NP": "np-1d", "attentive NP": "anp-1d"}
EXACT = "exact posterior"

CONTEXTS = (0, 1, 3, 6, 12, 24)
FEW, MANY = (0, 1, 3), (12, 24)
# Over all sizes the models have the order of their papers. The NP gains on the CNP where targets are jointly uncertain, the
# attentive NP on the NP where much is known and a mean over the points underfits.
ORDERS: Mapping[tuple[int, ...], tuple[tuple[str, str], ...]] = {
    CONTEXTS: (("CNP", "NP"), ("NP", "attentive NP")),
    FEW: (("CNP", "NP"),),
    MANY: (("NP", "attentive NP"),),
}
NUM_TARGETS, NUM_SAMPLES = 16, 100
SHARE = 0.7  # the least share of the exact posterior's gain by 24 points that the attentive NP must gain

FIGURE_CONTEXTS, FIGURE_SAMPLES = (1, 4, 16), 6

JOINT, MARGINAL, SPREAD = "joint_log_likelihood", "marginal_log_likelihood", "spread"
QUANTITIES = {
    JOINT: f"joint log-likelihood of {NUM_TARGETS} targets (nats/target)",
    MARGINAL: "log-likelihood of single targets (nats/target)",
    SPREAD: "standard deviation of a target",
}
SCHEDULE = schedule_values(sigma=1.0)


def run(context: AnalysisContext) -> list[Claim]:
    """Trains and scores three models, and draws ``neural-processes.png`` and ``neural-processes-curves.png``."""
    functions = context.dataset(FUNCTIONS, num_scenes=NUM_FUNCTIONS)
    models = {label: context.trained(variant, data=functions).model.eval() for label, variant in MODELS.items()}
    test = open_scenes(functions, "test")
    context.log(f"scoring {NUM_FUNCTIONS['test']} test functions")
    plans = {number: EvaluationPlan(test, num_context=number, num_targets=NUM_TARGETS) for number in CONTEXTS}
    scores: dict[str, Scores] = {EXACT: {number: score_exactly(test, plan) for number, plan in plans.items()}}
    for label, model in models.items():
        scores[label] = {number: score_model(model, test, plan) for number, plan in plans.items()}
    trend_panels(
        context.image("neural-processes"),
        panels=panels_of(scores, QUANTITIES),
        along="context points",
        title=DEMONSTRATIONS["neural_processes"].title,
    )
    draw_curves(context, models, test)
    return neural_process_claims(scores)


def score_model(model: SceneModel, test: SceneSource, plan: EvaluationPlan) -> dict[str, np.ndarray]:
    """Returns the scores of a model; the spread is the mean predictive standard deviation."""
    known, extras = plan.num_context, test.read_extras(np.arange(test.num_scenes), plan.views)
    inputs, values = extras["inputs"], extras["values"][:, :known]
    predicted = predict_at(
        model, inputs[:, :known], values, queries=inputs[:, known:], schedule=SCHEDULE, num_samples=32
    )
    evaluation = Evaluation(test, plan, schedule=SCHEDULE, batch_size=50)
    return score_values(model, evaluation, num_samples=NUM_SAMPLES) | {SPREAD: predicted.scale.mean(1)}


def neural_process_claims(scores: Mapping[str, Scores]) -> list[Claim]:
    """Compares the models with each other and with the exact posterior, paired over functions."""

    def mean_over(label: str, sizes: tuple[int, ...]) -> np.ndarray:
        return np.mean([scores[label][number][JOINT] for number in sizes], axis=0)

    expectations = []
    for sizes, pairs in ORDERS.items():
        points = ", ".join(str(number) for number in sizes)
        for worse, better in pairs:
            text = f"given {points} points, the {worse} predicts {NUM_TARGETS} targets jointly worse than the {better}"
            pair = mean_over(worse, sizes), mean_over(better, sizes)
            expectations.append(Expectation.less(text, *pair, unit="nats/target"))
    text = "no model is better than the exact posterior"
    beyond = [mean_over(label, CONTEXTS) - mean_over(EXACT, CONTEXTS) for label in MODELS]
    expectations.append(Expectation.least_sure(text, beyond, unit="nats/target for the closest"))
    best, last = "attentive NP", CONTEXTS[-1]
    text = f"by {last} points the {best} gains over {SHARE:.0%} of the exact posterior's gain on single targets"
    gained, possible = (scores[label][last][MARGINAL] - scores[EXACT][0][MARGINAL] for label in (best, EXACT))
    note = f"{gained.mean():.3f} of {possible.mean():.3f}"
    expectations.append(Expectation.below_zero(text, SHARE * possible - gained, unit="nats/target", note=note))
    for label in ("NP", best):
        text = f"the uncertainty of the {label} falls with every larger context"
        spreads = [scores[label][number][SPREAD] for number in CONTEXTS]
        falls = [more - fewer for fewer, more in pairwise(spreads)]
        note = "deviations " + ", ".join(f"{spread.mean():.3f}" for spread in spreads)
        expectations.append(Expectation.least_sure(text, falls, unit="in the least sure step", note=note))
    return conclude(expectations)


def draw_curves(context: AnalysisContext, models: Mapping[str, SceneModel], test: SceneSource) -> None:
    """Draws the predictions of the models for the first function, and the exact posterior."""
    plan = EvaluationPlan(test, num_context=max(FIGURE_CONTEXTS), num_targets=NUM_TARGETS)
    extras = test.read_extras(np.array([0]), plan.views[:1])
    kernel = Kernel.from_row(extras["kernel"][0])
    along = np.linspace(-2.0, 2.0, 121)
    panels = []
    for (label, model), colour in zip(models.items(), PALETTE, strict=False):
        for number in FIGURE_CONTEXTS:
            inputs, values = extras["inputs"][:, :number], extras["values"][:, :number]
            exact = predictive(kernel, inputs=inputs[0], values=values[0, :, 0], queries=along[:, None])
            found = predict_at(model, inputs, values, queries=along[None, :, None], schedule=SCHEDULE, num_samples=64)
            count = FIGURE_SAMPLES if found.samples.std(0).max() > 0 else 0
            bands = [
                Band(EXACT, GREY, exact.mean, exact.scale, np.empty((0, len(along)))),
                Band(label, colour, found.mean[0], found.scale[0], found.samples[:count, 0]),
            ]
            title = f"{label}, {number} point{'s' if number > 1 else ''}"
            panels.append(Panel(title, along, bands, inputs[0, :, 0], values[0, :, 0]))
    curve_panels(
        context.image("neural-processes-curves"),
        panels=panels,
        columns=len(FIGURE_CONTEXTS),
        same_scale=True,
        title="Mean and two standard deviations; thin curves are samples of the latent",
    )
