"""Neural processes learn from examples alone what a Gaussian process with the true kernel does exactly.

A conditional, a latent and an attentive neural process are trained on functions drawn from Gaussian processes and scored on
new ones beside the exact posterior, which is given each function's kernel. The score is the joint predictive log-likelihood
of 16 targets, in nats a target: what latents are for is that targets are predicted together, and a score of every target by
itself, the marginal log-likelihood that is reported as well, cannot see that. Each is estimated by 256 samples of q(z | context),
which if anything puts the latent models at a disadvantage. A convolutional process then completes pictures of digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from zoo.data.gaussian_process import Kernel, predictive
from zoo.data.opening import open_scenes, open_splits
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource, Split
from zoo.demonstration import Claim, Workshop
from zoo.episode import SceneBatch
from zoo.evaluation.gaussian_process import exact_predictions, score_exactly
from zoo.evaluation.values import score_values
from zoo.likelihoods.learned_gaussian import LearnedGaussian
from zoo.model import SceneModel
from zoo.report.picture_table import Column, picture_table
from zoo.report.points import Band, Panel, curve_panels, pictures_of_points
from zoo.report.statistics import bootstrap_difference
from zoo.report.trends import Trend, TrendPanel, trend_panels
from zoo.schedules import knobs

TITLE = "Neural processes learn what a Gaussian process does exactly"
PAPER = (
    "Garnelo et al. 2018, Conditional neural processes, ICML; Garnelo et al. 2018, Neural processes, ICML workshop; "
    "Kim et al. 2019, Attentive neural processes, ICLR; Gordon et al. 2020, Convolutional CNPs, ICLR"
)
MINUTES = 7

FUNCTIONS, DIGITS = "functions_smooth", "completion_digits"
NUM_FUNCTIONS: Mapping[Split, int] = {"train": 8000, "validation": 100, "test": 400}
NUM_DIGITS: Mapping[Split, int] = {"train": 1400, "validation": 100, "test": 160}
MODELS = {"CNP": "cnp-1d", "NP": "np-1d", "attentive NP": "anp-1d"}
COMPLETER = "convcnp-digits"
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
PIXELS = (8, 16, 40)
SHARE = 0.7  # of what the exact posterior gains by 24 points, the least that the attentive NP must gain

SHOWN_CONTEXTS, SHOWN_SAMPLES, SHOWN_DIGITS = (1, 4, 16), 6, 8
COLOURS = {"CNP": "#0072B2", "NP": "#D55E00", "attentive NP": "#009E73"}
GREY = "#555555"

JOINT, MARGINAL, SPREAD = "predictive_log_likelihood", "marginal_log_likelihood", "spread"
KNOBS = knobs(sigma=1.0)


class Predicted(NamedTuple):
    """Values that a model expects at given inputs, [n, Q] each for values of one number."""

    mean: np.ndarray
    scale: np.ndarray  # standard deviation over samples and noise together
    samples: np.ndarray  # [S, n, Q] means for single samples of the latents


def run(workshop: Workshop) -> list[Claim]:
    """Trains four models, scores them, and draws ``neural-processes``, ``-curves`` and ``-digits``."""
    functions = workshop.dataset(FUNCTIONS, num_scenes=NUM_FUNCTIONS)
    models = {label: workshop.trained(variant, data=functions).model.eval() for label, variant in MODELS.items()}
    test = open_scenes(functions, "test")
    workshop.tell(f"scoring {NUM_FUNCTIONS['test']} test functions")
    scores = {EXACT: score_exact_by_size(test)}
    scores |= {label: score_by_size(model, test) for label, model in models.items()}
    draw_scores(workshop, scores)
    draw_curves(workshop, models, test)
    digits = workshop.dataset(DIGITS, num_scenes=NUM_DIGITS)
    completer = workshop.trained(COMPLETER, data=digits).model.eval()
    splits = open_splits(digits)
    return [*judge(scores), *complete(workshop, completer, splits["test"], train=splits["train"])]


def score_by_size(model: SceneModel, test: SceneSource) -> dict[int, dict[str, np.ndarray]]:
    """Returns context size -> name of a score -> [functions], the spread being the mean predictive deviation."""
    found = {}
    for number in CONTEXTS:
        plan = EvaluationPlan(test, num_context=number, num_targets=NUM_TARGETS)
        found[number] = score_values(
            model, test, plan, knobs=KNOBS, batch_size=BATCH_SIZE, num_samples=NUM_SAMPLES, device="cpu"
        )
        extras = test.read_extras(np.arange(test.num_scenes), plan.views)
        inputs, values = extras["inputs"], extras["values"]
        predicted = predict_at(
            model, inputs[:, :number], values[:, :number], queries=inputs[:, number:], num_samples=32
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


@torch.no_grad()
def predict_at(
    model: SceneModel, inputs: np.ndarray, values: np.ndarray, *, queries: np.ndarray, num_samples: int
) -> Predicted:
    """Predicts at queries [n, Q, P] given inputs [n, N, P] and values [n, N, 1] of n functions."""
    count, number = inputs.shape[:2]
    points = torch.from_numpy(np.concatenate([inputs, queries], axis=1).astype(np.float32))
    known = torch.zeros(count, points.shape[1], 1)
    known[:, :number] = torch.from_numpy(values.astype(np.float32))
    batch = SceneBatch(
        frames=torch.zeros(count, points.shape[1], 0, 0, 3, dtype=torch.uint8),
        cameras=torch.zeros(count, points.shape[1], 5),
        scene=torch.arange(count),
        key=torch.arange(count),
        extras={"inputs": points, "values": known},
    )
    assert isinstance(model.likelihood, LearnedGaussian)
    parameters = model.predict(batch, KNOBS, number, num_samples=num_samples).parameters
    mean, scale = (part.flatten(3)[..., 0].double() for part in model.likelihood.scale(parameters))
    variance = scale.square().mean(0) + mean.var(0, correction=0)
    return Predicted(mean=mean.mean(0).numpy(), scale=variance.sqrt().numpy(), samples=mean.numpy())


def judge(scores: Mapping[str, Mapping[int, Mapping[str, np.ndarray]]]) -> list[Claim]:
    """Compares the models with each other and with the exact posterior, paired over functions."""

    def mean_over(label: str, sizes: tuple[int, ...], name: str = JOINT) -> np.ndarray:
        return np.mean([scores[label][number][name] for number in sizes], axis=0)

    claims = []
    for sizes, pairs in ORDERS.items():
        points = ", ".join(str(number) for number in sizes)
        for worse, better in pairs:
            difference = bootstrap_difference(mean_over(worse, sizes) - mean_over(better, sizes))
            text = f"Given {points} points, the {worse} predicts {NUM_TARGETS} targets together worse than the {better}"
            claims.append(Claim.below_zero(text, difference, unit="nats/target"))
    beyond = [bootstrap_difference(mean_over(label, CONTEXTS) - mean_over(EXACT, CONTEXTS)) for label in MODELS]
    claims.append(
        Claim.below_zero(
            "No model beats the exact posterior", max(beyond, key=lambda step: step.z), unit="nats/target (the closest)"
        )
    )
    best, last = "attentive NP", CONTEXTS[-1]
    gained, possible = (scores[label][last][MARGINAL] - scores[EXACT][0][MARGINAL] for label in (best, EXACT))
    short = bootstrap_difference(SHARE * possible - gained)
    text = f"By {last} points the {best} gains over {SHARE:.0%} of what the exact posterior gains, target by target"
    shares = f" ({gained.mean():.3f} of {possible.mean():.3f})"
    claim = Claim.below_zero(text, short, unit="nats/target")
    claims.append(claim._replace(measured=claim.measured + shares))
    for label in ("NP", best):
        steps = [
            bootstrap_difference(scores[label][more][SPREAD] - scores[label][fewer][SPREAD])
            for fewer, more in pairwise(CONTEXTS)
        ]
        widths = ", ".join(f"{scores[label][number][SPREAD].mean():.3f}" for number in CONTEXTS)
        claim = Claim.below_zero(
            f"The uncertainty of the {label} falls with every larger context",
            max(steps, key=lambda step: step.z),
            unit="(the least sure step)",
        )
        claims.append(claim._replace(measured=f"{claim.measured}; deviations {widths}"))
    return claims


def draw_scores(workshop: Workshop, scores: Mapping[str, Mapping[int, Mapping[str, np.ndarray]]]) -> None:
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
    trend_panels(workshop.picture("neural-processes"), panels=panels, along="context points", title=TITLE)


def draw_curves(workshop: Workshop, models: Mapping[str, SceneModel], test: SceneSource, *, function: int = 0) -> None:
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
            found = predict_at(model, inputs, values, queries=along[None, :, None], num_samples=64)
            shown = found.samples[:SHOWN_SAMPLES, 0] if found.samples.std(0).max() > 0 else found.samples[:0, 0]
            bands = [
                Band(EXACT, GREY, exact.mean, exact.scale, np.empty((0, len(along)))),
                Band(label, COLOURS[label], found.mean[0], found.scale[0], shown),
            ]
            title = f"{label}, {number} point{'s' if number > 1 else ''}"
            panels.append(Panel(title, along, bands, inputs[0, :, 0], values[0, :, 0]))
    curve_panels(
        workshop.picture("neural-processes-curves"),
        panels=panels,
        columns=len(SHOWN_CONTEXTS),
        one_scale=True,
        title="Mean and two standard deviations; thin lines are samples of the latent",
    )


def complete(workshop: Workshop, model: SceneModel, test: SceneSource, *, train: SceneSource) -> list[Claim]:
    """Completes digits, draws some and compares the error with those of two guesses.

    One takes the nearest known pixel, which knows nothing of digits (the baseline of Garnelo et al. 2018, table 1), the other
    the mean of all digits of the training split, which knows nothing of the one at hand.
    """
    order = EvaluationPlan(test, num_context=max(PIXELS), num_targets=1).views[:, : max(PIXELS)]
    inputs, values = everything_of(test)
    mean_digit = everything_of(train)[1].mean(0)[:, 0]
    columns, claims = [], []
    for number in PIXELS:
        known = order[:, :number, None]
        context = np.take_along_axis(inputs, known, axis=1), np.take_along_axis(values, known, axis=1)
        found = predict_at(model, *context, queries=inputs, num_samples=64)
        unknown = np.ones(values.shape[:2])
        np.put_along_axis(unknown, known[..., 0], 0.0, axis=1)
        error = root_mean_square(found.mean - values[..., 0], weights=unknown)
        distance = np.square(inputs[:, :, None] - context[0][:, None]).sum(-1)
        copied = np.take_along_axis(context[1][..., 0], distance.argmin(-1), axis=1)
        for guess, guessed in (("the nearest of them", copied), ("the mean digit", mean_digit)):
            other = root_mean_square(guessed - values[..., 0], weights=unknown)
            text = f"Given {number} of 64 pixels, the others are predicted better than by {guess}"
            unit = f"of RMSE ({error.mean():.3f} against {other.mean():.3f})"
            claims.append(Claim.below_zero(text, bootstrap_difference(error - other), unit=unit))
        pictures = (context, (inputs, found.mean[..., None]), (inputs, found.scale[..., None]))
        titles = (f"{number} pixels", "mean", "deviation")
        columns += [
            Column(title, pictures_of_points(*(part[:SHOWN_DIGITS] for part in picture), size=8))
            for title, picture in zip(titles, pictures, strict=True)
        ]
    columns.append(Column("truth", pictures_of_points(inputs[:SHOWN_DIGITS], values[:SHOWN_DIGITS], size=8)))
    picture_table(
        workshop.picture("neural-processes-digits"), columns=columns, title="Digits completed by a convolutional CNP"
    )
    return claims


def everything_of(source: SceneSource) -> tuple[np.ndarray, np.ndarray]:
    """Returns all points of all scenes of a split: inputs [n, V, P] and values [n, V, C]."""
    views = np.broadcast_to(np.arange(source.num_views), (source.num_scenes, source.num_views))
    extras = source.read_extras(np.arange(source.num_scenes), views)
    return extras["inputs"], extras["values"]


def root_mean_square(errors: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """Returns the root of the weighted mean of squares of errors [n, V], for each row."""
    return np.sqrt((weights * np.square(errors)).sum(1) / weights.sum(1))
