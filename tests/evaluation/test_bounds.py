"""Several importance-weighted bounds at once, separate targets beside joint ones, and reconstructions."""

import numpy as np
import pytest
import torch

from zoo.config.schedules import evaluation_schedule_values
from zoo.data.plan import EvaluationPlan
from zoo.episode import Views
from zoo.errors import ConfigError
from zoo.evaluation.bounds import Bounds, ElboScores, score_scenes
from zoo.evaluation.images import image_errors
from zoo.evaluation.loop import Evaluation
from zoo.model.scene_model import SceneModel
from zoo.registry.registry import default_registry
from zoo.registry.variant import build
from zoo.results.metrics import IMAGE_METRICS


def scored(name, source, *, bounds, num_targets=3, num_context=2):
    variant = default_registry().variant(name, size="smoke")
    model, chosen = build(variant, seed=0), evaluation_schedule_values(variant.training)
    plan = EvaluationPlan(source, num_context=num_context, num_targets=num_targets)
    evaluation = Evaluation(source, plan, schedule=chosen, batch_size=4)
    return score_scenes(model, evaluation, bounds=bounds), model, evaluation


def test_a_bound_is_the_same_alone_and_beside_a_larger_one(array_scenes):
    source = array_scenes(num_scenes=3)
    together, _, _ = scored("gqn-tower", source, bounds=Bounds(importance_samples=(2, 7)))
    for number in (2, 7):
        alone, _, _ = scored("gqn-tower", source, bounds=Bounds(importance_samples=(number,)))
        np.testing.assert_allclose(together[f"iwae_{number}"], alone[f"iwae_{number}"], rtol=1e-9)
        np.testing.assert_allclose(
            together[f"iwae_{number}_gap"], together["nelbo"] - together[f"iwae_{number}"], atol=1e-9
        )


def test_without_latents_all_bounds_are_that_of_one_pass(array_scenes, monkeypatch):
    passes, score = [], SceneModel.score
    monkeypatch.setattr(SceneModel, "score", lambda *given, **named: passes.append(1) or score(*given, **named))
    scores, _, _ = scored("deterministic", array_scenes(num_scenes=3), bounds=Bounds(importance_samples=(1, 50)))
    assert len(passes) == 1
    for number in (1, 50):
        np.testing.assert_allclose(scores[f"iwae_{number}"], scores["nelbo"], rtol=1e-6)


@pytest.mark.parametrize("name", ["gqn-tower", "cvae", "deterministic"])
def test_without_latents_of_the_scene_the_joint_bound_is_the_sum(array_scenes, name):
    scores, model, _ = scored(name, array_scenes(num_scenes=4), bounds=Bounds(separate=True))
    assert model.core.latents != "scene"
    np.testing.assert_array_equal(scores["separate_nelbo_excess"], scores["nelbo_excess"])


@pytest.mark.parametrize("name", ["cgqn", "np-rooms"])
def test_with_latents_of_the_scene_every_separate_target_has_its_own_kl(array_scenes, name):
    source = array_scenes(num_scenes=4)
    scores, model, evaluation = scored(name, source, bounds=Bounds(separate=True))
    assert model.core.latents == "scene"
    ((_, batch, number),) = evaluation.batches()
    schedule = evaluation_schedule_values(default_registry().variant(name, size="smoke").training)
    total = torch.zeros(4, dtype=torch.float64)
    with torch.no_grad():
        model.eval()
        for target in range(3):
            chosen = [*range(number), number + target]
            alone = batch._replace(frames=batch.frames[:, chosen], cameras=batch.cameras[:, chosen])
            total += model(alone, schedule, number).excess().double()
    # Another draw of the latents: the noise is a small part of a few hundred nats.
    np.testing.assert_allclose(scores["separate_nelbo_excess"], total.numpy() / 3, rtol=0.05)
    assert (scores["separate_nelbo_excess"] != scores["nelbo_excess"]).all()


def test_one_target_has_nothing_separate(array_scenes):
    scores, _, _ = scored("cgqn", array_scenes(), bounds=Bounds(separate=True), num_targets=1)
    assert set(scores) == {"scene", *ElboScores._fields}


def test_reconstructions_are_those_of_the_scored_posterior(array_scenes):
    source = array_scenes(num_scenes=4)
    scores, model, evaluation = scored("gqn-tower", source, bounds=Bounds(reconstruction=True))
    ((_, batch, number),) = evaluation.batches()
    schedule = evaluation_schedule_values(default_registry().variant("gqn-tower", size="smoke").training)
    with torch.no_grad():
        episode = model.eval().episode(batch, num_context=number)
        terms, parameters = model.score_and_reconstruct(episode, schedule)
    expected = image_errors(model.expected_image(parameters), episode.target)
    for name in IMAGE_METRICS:
        np.testing.assert_allclose(scores[f"reconstruction_{name}"], expected[name].numpy(), rtol=1e-5)
    # The images before they are clamped are what the likelihood scored.
    distortion = (model.likelihood.mean(parameters) - episode.target).square().sum((1, 2, 3, 4)) / 2 / 0.49
    floor = scores["floor"] * 3
    np.testing.assert_allclose(-terms.log_likelihood.numpy() - floor, distortion.numpy(), rtol=1e-3)


def test_target_views_are_selected_with_their_target(array_scenes):
    """Were the posterior of one target shown all of them, the bound would be too good."""
    seen = []
    source = array_scenes(num_scenes=2)
    variant = default_registry().variant("cgqn", size="smoke")
    model = build(variant)
    original = model.core.forward

    def forward(episode, encode, schedule):
        seen.append((episode.query.shape[1], episode.target.shape[1], Views(*episode.target_views).mask.shape[1]))
        return original(episode, encode, schedule)

    model.core.forward = forward
    plan = EvaluationPlan(source, num_context=1, num_targets=3)
    schedule = evaluation_schedule_values(variant.training)
    evaluation = Evaluation(source, plan, schedule=schedule, batch_size=2)
    score_scenes(model, evaluation, bounds=Bounds(separate=True))
    assert seen == [(3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1)]


def test_bounds_of_no_samples_are_refused():
    with pytest.raises(ConfigError, match="found 0, expected 1 or more"):
        Bounds(importance_samples=(10, 0))
