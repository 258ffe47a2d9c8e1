"""Neural processes learn from examples alone what a Gaussian process with the true kernel does exactly.

A conditional, a latent and an attentive neural process are trained on functions drawn from Gaussian processes and scored on
new ones beside the exact posterior, which is given each function's kernel. The score is the joint predictive log-likelihood
of 16 targets, in nats a target: what latents are for is that targets are predicted together, and a score of every target by
itself, the marginal log-likelihood that is reported as well, cannot see that. Each is estimated by 256 samples of q(z | context),
which if anything puts the latent models at a disadvantage.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from zoo.analysis.base import AnalysisContext, Claim
from zoo.comparison.statistics import paired_t_test
from zoo.config.schedules import schedule_values
from zoo.data.functions import Kernel
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource, Split
from zoo.evaluation.gaussian_process import exact_predictions, predictive, score_exactly
from zoo.evaluation.point_predictions import predict_at
from zoo.evaluation.values import score_values
from zoo.figures.functions import Band, Panel, curve_panels
from zoo.figures.trends import Trend, TrendPanel, trend_panels
from zoo.model.scene_model import SceneModel

TITLE = "Neural processes learn what a Gaussian process does exactly"
PAPER = (
    "Garnelo et al. 2018, Conditional neural processes, ICML; Garnelo et al. 2018, Neural processes, ICML workshop; "
    "Kim et al. 2019, Attentive neural processes, ICLR"
)
MINUTES = 5

FUNCTIONS = "functions_smooth"
NUM_FUNCTIONS: Mapping[Split, int] = {"train": 8000, "validation": 100, "test": 400}
MODELS = {"CNP": "cnp-1d", "NP": "np-1d", "attentive NP": "anp-1d"}
EXACT = "exact posterior"

CONTEXTS = (0, 1, 3, 6, 12, 24)
FEW, MANY = (0, 1, 3), (12, 24)
# Over all sizes the models are in the order of their papers. The reason for the first step shows where targets are uncertain
# together, that for the second where much is known: what a mean over the points blurs, attention finds.
ORDERS: Mapping[tuple[int, ...], tuple[tuple[str, str], ...]] = {
    CONTEXTS: (("CNP", "NP"), ("NP", "attentive NP")),
    FEW: (("CNP", "NP"),),
    MANY: (("NP", "attentive NP"),),
}
NUM_TARGETS, NUM_SAMPLES, BATCH_SIZE = 16, 256, 50
SHARE = 0.7  # of what the exact posterior gains by 24 points, the least that the attentive NP must gain

SHOWN_CONTEXTS, SHOWN_SAMPLES = (1, 4, 16), 6
COLOURS = {"CNP": "#0072B2", "NP": "#D55E00", "attentive NP": "#009E73"}
GREY = "#555555"

JOINT, MARGINAL, SPREAD = "predictive_log_likelihood", "marginal_log_likelihood", "spread"
SCHEDULE = schedule_values(sigma=1.0)


def run(workshop: AnalysisContext) -> list[Claim]:
    """Trains three models, scores them, and draws ``neural-processes`` and ``neural-processes-curves``."""
    functions = workshop.dataset(FUNCTIONS, num_scenes=NUM_FUNCTIONS)
    models = {label: workshop.trained(variant, data=functions).model.eval() for label, variant in MODELS.items()}
    test = open_scenes(functions, "test")
    workshop.tell(f"scoring {NUM_FUNCTIONS['test']} test functions")
    scores = {EXACT: score_exact_by_size(test)}
    scores |= {label: score_by_size(model, test) for label, model in models.items()}
    draw_scores(workshop, scores)
    draw_curves(workshop, models, test)
    return judge(scores)


def score_by_size(model: SceneModel, test: SceneSource) -> dict[int, dict[str, np.ndarray]]:
    """Returns context size -> name of a score -> [functions], the spread being the mean predictive deviation."""
    found = {}
    for number in CONTEXTS:
        plan = EvaluationPlan(test, num_context=number, num_targets=NUM_TARGETS)
        found[number] = score_values(
            model, test, plan, schedule=SCHEDULE, batch_size=BATCH_SIZE, num_samples=NUM_SAMPLES, device="cpu"
        )
        extras = test.read_extras(np.arange(test.num_scenes), plan.views)
        inputs, values = extras["inputs"], extras["values"]
        predicted = predict_at(
            model, inputs[:, :number], values[:, :number], queries=inputs[:, number:], schedule=SCHEDULE, num_samples=32
        )
        found[number][SPREAD] = predicted.scale.mean(1)
    return found


def score_exact_by_size(test: SceneSource) -> dict[int, dict[str, np.ndarray]]:
    """Returns the same of the exact posterior."""
    found = {}
    for number in CONTEXTS:
        plan = EvaluationPlan(test, num_context=number, num_targets=NUM_TARGETS)
        predictions = exact_predictions(test, plan, scenes=np.arange(test.num_scenes))
        spread = np.array([distribution.scale.mean() for distribution, _ in predictions])
        found[number] = {**score_exactly(test, plan), SPREAD: spread}
    return found


def judge(scores: Mapping[str, Mapping[int, Mapping[str, np.ndarray]]]) -> list[Claim]:
    """Compares the models with each other and with the exact posterior, paired over functions."""

    def mean_over(label: str, sizes: tuple[int, ...], name: str = JOINT) -> np.ndarray:
        return np.mean([scores[label][number][name] for number in sizes], axis=0)

    claims = []
    for sizes, pairs in ORDERS.items():
        points = ", ".join(str(number) for number in sizes)
        for worse, better in pairs:
            difference = paired_t_test(mean_over(worse, sizes) - mean_over(better, sizes))
            text = f"Given {points} points, the {worse} predicts {NUM_TARGETS} targets together worse than the {better}"
            claims.append(Claim.below_zero(text, difference, unit="nats/target"))
    beyond = [paired_t_test(mean_over(label, CONTEXTS) - mean_over(EXACT, CONTEXTS)) for label in MODELS]
    claims.append(
        Claim.below_zero(
            "No model beats the exact posterior", max(beyond, key=lambda step: step.t), unit="nats/target (the closest)"
        )
    )
    best, last = "attentive NP", CONTEXTS[-1]
    gained, possible = (scores[label][last][MARGINAL] - scores[EXACT][0][MARGINAL] for label in (best, EXACT))
    short = paired_t_test(SHARE * possible - gained)
    text = f"By {last} points the {best} gains over {SHARE:.0%} of what the exact posterior gains, target by target"
    shares = f" ({gained.mean():.3f} of {possible.mean():.3f})"
    claim = Claim.below_zero(text, short, unit="nats/target")
    claims.append(claim._replace(measured=claim.measured + shares))
    for label in ("NP", best):
        steps = [
            paired_t_test(scores[label][more][SPREAD] - scores[label][fewer][SPREAD])
            for fewer, more in pairwise(CONTEXTS)
        ]
        widths = ", ".join(f"{scores[label][number][SPREAD].mean():.3f}" for number in CONTEXTS)
        claim = Claim.below_zero(
            f"The uncertainty of the {label} falls with every larger context",
            max(steps, key=lambda step: step.t),
            unit="(the least sure step)",
        )
        claims.append(claim._replace(measured=f"{claim.measured}; deviations {widths}"))
    return claims


def draw_scores(workshop: AnalysisContext, scores: Mapping[str, Mapping[int, Mapping[str, np.ndarray]]]) -> None:
    """Draws all scores against the size of the context."""
    quantities = {
        JOINT: f"joint log-likelihood of {NUM_TARGETS} targets (nats/target)",
        MARGINAL: "log-likelihood of each target alone (nats)",
        SPREAD: "standard deviation of a target",
    }
    panels = [
        TrendPanel(
            quantity,
            [Trend(label, CONTEXTS, [sizes[number][name] for number in CONTEXTS]) for label, sizes in scores.items()],
        )
        for name, quantity in quantities.items()
    ]
    trend_panels(workshop.image("neural-processes"), panels=panels, along="context points", title=TITLE)


def draw_curves(
    workshop: AnalysisContext, models: Mapping[str, SceneModel], test: SceneSource, *, function: int = 0
) -> None:
    """Draws what the models expect of one function, with the exact posterior behind."""
    plan = EvaluationPlan(test, num_context=max(SHOWN_CONTEXTS), num_targets=NUM_TARGETS)
    chosen = np.array([function])
    extras = test.read_extras(chosen, plan.views[chosen])
    kernel = Kernel.from_row(extras["kernel"][0])
    along = np.linspace(-2.0, 2.0, 121)
    panels = []
    for label, model in models.items():
        for number in SHOWN_CONTEXTS:
            inputs, values = extras["inputs"][:, :number], extras["values"][:, :number]
            exact = predictive(kernel, inputs=inputs[0], values=values[0, :, 0], queries=along[:, None])
            found = predict_at(model, inputs, values, queries=along[None, :, None], schedule=SCHEDULE, num_samples=64)
            shown = found.samples[:SHOWN_SAMPLES, 0] if found.samples.std(0).max() > 0 else found.samples[:0, 0]
            bands = [
                Band(EXACT, GREY, exact.mean, exact.scale, np.empty((0, len(along)))),
                Band(label, COLOURS[label], found.mean[0], found.scale[0], shown),
            ]
            title = f"{label}, {number} point{'s' if number > 1 else ''}"
            panels.append(Panel(title, along, bands, inputs[0, :, 0], values[0, :, 0]))
    curve_panels(
        workshop.image("neural-processes-curves"),
        panels=panels,
        columns=len(SHOWN_CONTEXTS),
        same_scale=True,
        title="Mean and two standard deviations; thin lines are samples of the latent",
    )
