"""Every scene once, one number a scene, whatever the batch."""

from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from importance_weighting import importance_weighted_nelbo
from torch import nn

from zoo.config.schedules import evaluation_schedule_values, schedule_values
from zoo.data.plan import EvaluationPlan
from zoo.episode import CoreOutput, ElboTerms, SceneBatch, Views
from zoo.errors import ConfigError
from zoo.evaluation.bounds import Bounds, score_episode, score_scenes, select_targets
from zoo.evaluation.loop import Evaluation
from zoo.evaluation.throughput import random_batch
from zoo.nn.noise import fold
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

SCHEDULE = schedule_values(sigma=0.7)
COLUMNS = {"scene", "nelbo", "nelbo_excess", "log_likelihood", "kl", "floor"}


class Cut(NamedTuple):
    """What the recorder takes for an episode."""

    batch: SceneBatch
    num_context: int
    key: torch.Tensor
    context: Views | None = None
    target_views: Views | None = None


class Recorder(nn.Module):
    """Scores a scene by a number that only its own images decide, and remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.seen, self.schedule, self.modes = [], [], []
        self.encoder = nn.Identity()
        self.core = SimpleNamespace(latents="scene")

    def episode(self, batch, *, num_context):
        return Cut(batch, num_context, batch.key)

    def score_and_reconstruct(self, episode, schedule, *, encode):
        return self.score(episode, schedule, encode=encode), episode.batch.frames

    def score(self, episode, schedule, *, encode):
        batch, num_context = episode.batch._replace(key=episode.key), episode.num_context
        self.seen.append((batch, num_context))
        self.schedule.append(schedule)
        self.modes.append(self.training)
        likelihood = -batch.frames[:, num_context:].double().flatten(1).mean(1)
        ones = torch.ones_like(likelihood)
        targets = batch.frames.shape[1] - num_context
        kl = batch.cameras[:, 0, 0].double().square()
        return ElboTerms(likelihood, kl, 0.5 * kl, ones * targets, ones * 10, ones * targets * 3.0, kl - likelihood)


def smoke(name="gqn-tower"):
    variant = default_registry().variant(name, size="smoke")
    return build(variant, seed=0), evaluation_schedule_values(variant.training)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
@pytest.mark.parametrize("num_scenes", range(1, 8))
def test_every_scene_counts_exactly_once(array_scenes, num_scenes, batch_size):
    source = array_scenes(num_scenes=num_scenes, image_size=4)
    plan = EvaluationPlan(source, num_context=2, num_targets=2)
    model = Recorder()
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=batch_size)
    scores = score_scenes(model, evaluation, bounds=Bounds(importance_samples=(2,)))
    assert scores["scene"].tolist() == list(range(num_scenes))
    frames = source.frames[np.arange(num_scenes)[:, None], plan.views]
    cameras = source.cameras[np.arange(num_scenes)[:, None], plan.views]
    cost = frames[:, 2:].astype(np.float64).reshape(num_scenes, -1).mean(1)
    kl = cameras[:, 0, 0].astype(np.float64) ** 2
    np.testing.assert_allclose(scores["nelbo"], (cost + kl) / 2, rtol=1e-12)
    np.testing.assert_allclose(scores["nelbo"].mean(), ((cost + kl) / 2).mean(), rtol=1e-12)
    np.testing.assert_allclose(scores["log_likelihood"], -cost / 2, rtol=1e-12)
    np.testing.assert_allclose(scores["kl"], kl / 2, rtol=1e-12)
    np.testing.assert_allclose(scores["floor"], 3.0, rtol=1e-12)
    np.testing.assert_allclose(scores["nelbo_excess"], scores["nelbo"] - 3.0, rtol=1e-9)
    np.testing.assert_allclose(scores["iwae_2"], (cost + 0.5 * kl) / 2, rtol=1e-12)
    np.testing.assert_allclose(scores["iwae_2_excess"], scores["iwae_2"] - 3.0, rtol=1e-9)
    assert all(values.dtype == np.float64 and values.shape == (num_scenes,) for values in scores.values())


def test_a_scene_scored_twice_or_not_at_all_is_noticed(array_scenes, monkeypatch):
    source = array_scenes(num_scenes=4, image_size=4)
    plan = EvaluationPlan(source, num_context=1, num_targets=1)
    original = Evaluation.batches

    def twice(evaluation):
        batches = list(original(evaluation))
        yield from [*batches, batches[-1]]

    monkeypatch.setattr(Evaluation, "batches", twice)
    with pytest.raises(AssertionError, match="exactly once"):
        score_scenes(Recorder(), Evaluation(source, plan, schedule=SCHEDULE, batch_size=3))


@pytest.mark.parametrize("name", ["gqn-tower", "cvae", "vae", "gqn-tower-8bit"])
def test_numbers_do_not_depend_on_the_batch_size(array_scenes, name):
    source = array_scenes(num_scenes=5)
    plan = EvaluationPlan(source, num_context=2, num_targets=2)
    model, chosen = smoke(name)
    scores = [
        score_scenes(
            model,
            Evaluation(source, plan, schedule=chosen, batch_size=size),
            bounds=Bounds(importance_samples=(2,)),
        )
        for size in (1, 2, 5)
    ]
    # Single precision leaves about 1e-7 of a few thousand nats.
    for other in scores[1:]:
        for column, values in scores[0].items():
            np.testing.assert_allclose(other[column], values, rtol=2e-6, atol=2e-3, err_msg=column)


def test_numbers_of_a_scene_do_not_depend_on_how_many_follow(array_scenes):
    source = array_scenes(num_scenes=5)
    model, chosen = smoke()
    plans = [EvaluationPlan(source, num_context=2, num_targets=1, max_scenes=number) for number in (2, None)]
    few, all_of_them = (score_scenes(model, Evaluation(source, plan, schedule=chosen, batch_size=5)) for plan in plans)
    assert len(few["nelbo"]) == 2
    np.testing.assert_allclose(few["nelbo"], all_of_them["nelbo"][:2], rtol=1e-6)


def test_sigma_is_that_of_the_knobs_and_the_model_comes_back_in_its_mode(array_scenes):
    source = array_scenes(num_scenes=3, image_size=4)
    plan = EvaluationPlan(source, num_context=1, num_targets=1)
    for training in (True, False):
        model = Recorder().train(training)
        evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=2)
        score_scenes(model, evaluation, bounds=Bounds(importance_samples=(1,)))
        assert model.modes == [False] * 4
        assert all(used is SCHEDULE for used in model.schedule)
        assert model.training is training


def test_excess_is_the_nelbo_above_the_floor_of_sigma(array_scenes):
    source = array_scenes(num_scenes=3)
    plan = EvaluationPlan(source, num_context=1, num_targets=2)
    model, _ = smoke()
    for sigma in (0.7, 0.2):
        schedule = schedule_values(sigma=sigma)
        scores = score_scenes(model, Evaluation(source, plan, schedule=schedule, batch_size=2))
        floor = 768 * (0.5 * np.log(2 * np.pi) + np.log(sigma))
        np.testing.assert_allclose(scores["floor"], floor, rtol=1e-6)
        np.testing.assert_allclose(scores["nelbo_excess"], scores["nelbo"] - scores["floor"], rtol=1e-12)
        np.testing.assert_allclose(scores["nelbo"], scores["kl"] - scores["log_likelihood"], rtol=1e-12)
        assert (scores["nelbo_excess"] > 0).all()


def test_scoring_twice_gives_the_same_and_another_noise_something_else(array_scenes):
    source = array_scenes(num_scenes=3)
    plan = EvaluationPlan(source, num_context=1, num_targets=1)
    model, chosen = smoke()
    evaluation = Evaluation(source, plan, schedule=chosen, batch_size=2)
    one, other = (score_scenes(model, evaluation, bounds=Bounds(importance_samples=(number,))) for number in (1, 2))
    np.testing.assert_array_equal(one["nelbo"], other["nelbo"])
    assert (one["iwae_1"] != other["iwae_2"]).all()


@pytest.mark.parametrize("shift", [1, 2])
def test_a_wrong_context_is_another_scenes_and_the_targets_stay(array_scenes, shift):
    source = array_scenes(num_scenes=5, image_size=4)
    plan = EvaluationPlan(source, num_context=2, num_targets=2)
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=2)
    own, shifted = (list(replace(evaluation, shift=places).batches()) for places in (0, shift))
    frames, moved = (torch.cat([part.batch.frames for part in parts]) for parts in (own, shifted))
    cameras, moved_cameras = (torch.cat([part.batch.cameras for part in parts]) for parts in (own, shifted))
    other = (torch.arange(5) + shift) % 5
    assert torch.equal(moved[:, :2], frames[other, :2])
    assert torch.equal(moved_cameras[:, :2], cameras[other, :2])
    assert torch.equal(moved[:, 2:], frames[:, 2:])
    assert torch.equal(moved_cameras[:, 2:], cameras[:, 2:])
    for one, two in zip(own, shifted, strict=True):
        assert torch.equal(one.batch.key, two.batch.key)
        assert torch.equal(one.batch.scene, two.batch.scene)


def test_a_model_without_context_does_not_mind_a_wrong_one(array_scenes):
    source = array_scenes(num_scenes=4)
    plan = EvaluationPlan(source, num_context=2, num_targets=1)
    for name, minds in (("vae", False), ("gqn-tower", True)):
        model, chosen = smoke(name)
        evaluation = Evaluation(source, plan, schedule=chosen, batch_size=4)
        own, shifted = (score_scenes(model, replace(evaluation, shift=shift))["nelbo"] for shift in (0, 1))
        assert np.array_equal(own, shifted) is not minds


def test_progress_ends_at_the_whole(array_scenes):
    source = array_scenes(num_scenes=5, image_size=4)
    plan = EvaluationPlan(source, num_context=1, num_targets=1)
    calls = []
    evaluation = Evaluation(
        source, plan, schedule=SCHEDULE, batch_size=2, progress=lambda done, total: calls.append((done, total))
    )
    score_scenes(Recorder(), evaluation)
    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_a_negative_number_of_samples_is_refused():
    with pytest.raises(ConfigError, match="found -1"):
        Bounds(importance_samples=(-1,))


class TestImportanceWeighting:
    def batch(self, count=6):
        return random_batch(batch_size=count, num_views=3, image_size=16)

    @pytest.mark.parametrize("name", ["gqn-tower", "cvae"])
    def test_more_samples_give_a_lower_bound_on_the_cost(self, name):
        model, chosen = smoke(name)
        with torch.no_grad():
            for core_parameter in model.core.parameters():
                core_parameter.mul_(1.5)  # weights at the start of training make the weights of samples nearly equal
            bounds = [
                importance_weighted_nelbo(model, self.batch(40), chosen, 1, samples=number) for number in (1, 4, 16)
            ]
        for more, fewer in ((bounds[1], bounds[0]), (bounds[2], bounds[1])):
            difference = fewer - more
            assert difference.mean() > -4 * difference.std() / len(difference) ** 0.5

    def test_one_sample_is_an_unbiased_elbo(self):
        model, chosen = smoke()
        whole = self.batch(1)
        many = whole.apply(lambda field: field.expand(2000, *field.shape[1:]))._replace(key=torch.arange(2000))
        with torch.no_grad():
            one = importance_weighted_nelbo(model, many, chosen, 1, samples=1)
            elbo = model(many, chosen, 1).nelbo().double()
        error = (one.var() / 2000 + elbo.var() / 2000) ** 0.5
        assert abs(one.mean() - elbo.mean()) < 4 * error

    def test_the_result_is_float64(self):
        model, chosen = smoke()
        with torch.no_grad():
            assert importance_weighted_nelbo(model, self.batch(), chosen, 1, samples=2).dtype == torch.float64


def test_kl_of_any_shape_is_summed_within_its_scene(monkeypatch, array_scenes):
    """Everything behind the batch is a latent of the same scene."""
    model, chosen = smoke()
    kl = torch.rand(3, 2, 4, 5)

    def forward(episode, encode, schedule):
        return CoreOutput(prediction=episode.target, kl=kl, log_ratio=torch.zeros(3))

    monkeypatch.setattr(model.core, "forward", forward)
    terms = model(random_batch(batch_size=3, num_views=3, image_size=16), chosen, 1)
    torch.testing.assert_close(terms.kl, kl.sum(dim=(1, 2, 3)))
    torch.testing.assert_close(terms.excess(), terms.kl, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["gqn-tower", "cgqn", "np-1d"])
def test_all_samples_of_a_bound_are_drawn_from_one_look_at_the_context(name, monkeypatch):
    variant = default_registry().variant(name, size="smoke")
    model = build(variant, seed=0)
    batch = random_batch(batch_size=2, num_views=4, image_size=variant.image_size, extras=model.task.extras)
    whole = model.episode(batch, num_context=2)
    # Latents of each query are weighed by themselves, those of a scene for all of its targets.
    parts = [whole]
    if model.core.latents == "query":
        parts = [
            select_targets(whole, slice(index, index + 1))._replace(key=fold(whole.key, index)) for index in (0, 1)
        ]
    expected = 0.0
    for part in parts:
        terms = [model.score(part._replace(key=fold(part.key, sample)), SCHEDULE) for sample in range(4)]
        weights = torch.stack([each.log_likelihood.double() - each.log_ratio.double() for each in terms])
        expected = expected + np.log(4) - torch.logsumexp(weights, dim=0)
    encoded, encode = [], model.encoder.forward
    monkeypatch.setattr(model.encoder, "forward", lambda views: encoded.append(views) or encode(views))
    episode = model.episode(batch, num_context=2)
    scores = score_episode(model, episode, SCHEDULE, bounds=Bounds(importance_samples=(4,)))
    torch.testing.assert_close(scores["iwae_4"] * episode.query.shape[1], expected)
    known = [views for views in encoded if torch.equal(views.poses, episode.context.poses)]
    assert len(known) == 1
