"""Localisation on models whose images are known functions of the camera, and on the parts it is made of."""

import math

import numpy as np
import pytest
import torch
from importance_weighting import importance_weighted_nelbo

from zoo.config.schedules import evaluation_schedule_values, schedule_values
from zoo.config.settings import Settings
from zoo.data.camera import pose_vector
from zoo.data.plan import EvaluationPlan
from zoo.encoders.none import NoEncoder
from zoo.episode import CoreOutput, SceneBatch
from zoo.errors import ConfigError
from zoo.evaluation.candidates import by_density, by_inversion, localisation_method
from zoo.evaluation.localisation import Search, localise, locate
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.evaluation.pose_grid import PosePrior, grid_over
from zoo.evaluation.throughput import random_batch
from zoo.likelihoods.annealed_gaussian import AnnealedGaussian
from zoo.model.interfaces import LatentCore
from zoo.model.scene_model import SceneModel
from zoo.model.tasks import Render
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

SIZE = 8


class Painter(LatentCore):
    """x = sigmoid(W v): every image shows from where it was taken, unless ``mirrored``, when yaw and -yaw look alike."""

    class Config(Settings):
        """Whether left and right differ."""

        mirrored: bool = False

    required_features = frozenset()
    latents = "none"

    def __init__(self, config, *, shapes):
        super().__init__(config, shapes=shapes)
        generator = torch.Generator().manual_seed(3)
        self.weight = torch.randn(3 * SIZE * SIZE, 7, generator=generator)
        self.weight[:, 2] = self.weight[:, 5:].fill_(0.0)[:, 0]
        if config.mirrored:
            self.weight[:, 4] = 0.0

    def paint(self, poses):
        return torch.sigmoid(poses.to(self.weight) @ self.weight.T).unflatten(-1, (3, SIZE, SIZE))

    def forward(self, episode, encode, schedule):
        nothing = torch.zeros(len(episode.query))
        return CoreOutput(prediction=self.paint(episode.query), kl=nothing[:, None], log_ratio=nothing)

    def predict(self, context, query, key, *, encode, schedule, num_samples):
        return self.paint(query).expand(num_samples, *query.shape[:2], 3, SIZE, SIZE)


def painter(**settings):
    task = Render(Render.Config(), image_size=SIZE)
    core = Painter(Painter.Config(**settings), shapes=None)
    encoder = NoEncoder(NoEncoder.Config(), view=task.view_shape)
    return SceneModel(
        task=task, encoder=encoder, core=core, likelihood=AnnealedGaussian(AnnealedGaussian.Config())
    ).eval()


def cameras_somewhere(*shape, seed=0):
    generator = np.random.default_rng(seed)
    found = generator.uniform(-1.0, 1.0, size=(*shape, 5))
    found[..., 3] *= math.pi
    found[..., 2], found[..., 4] = 0.4, -0.1
    return torch.from_numpy(found.astype(np.float32))


def photographed(model, cameras):
    """Scenes [B, V] as the model itself paints them, rounded to bytes."""
    frames = (model.core.paint(pose_vector(cameras)) * 255).round().to(torch.uint8).movedim(-3, -1)
    places = torch.arange(len(cameras))
    return SceneBatch(frames=frames.contiguous(), cameras=cameras, scene=places, key=places)


def prior_over(kind="uniform", places=8, turns=8):
    known = cameras_somewhere(500, seed=9).double()
    return PosePrior(kind, grid=grid_over(known, places=places, turns=turns), cameras=known)


def located(model, camera, *, prior=None, sigma=0.05, **search):
    batch = photographed(model, torch.stack([cameras_somewhere(seed=5), camera])[None])
    return locate(
        model,
        EvaluationBatch(np.array([0]), batch, num_context=1),
        schedule=schedule_values(sigma=sigma),
        prior=prior or prior_over(),
        search=Search(**search),
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["uniform", "cameras"])
def test_inversion_finds_the_camera_within_the_cells(kind, seed):
    model, camera, prior = painter(), cameras_somewhere(seed=seed), prior_over(kind)
    coarse = located(model, camera, prior=prior, starts=0)
    found = located(model, camera, prior=prior, steps=60)
    assert coarse.position_error < 0.75 * prior.grid.spacing[:2].norm()
    assert found.position_error < 0.05 and found.angle_error < 3.0
    assert found.position_error < coarse.position_error
    assert found.prior_position_error > 0.05
    np.testing.assert_allclose(found.estimate[[2, 4]], camera[[2, 4]], rtol=1e-6)
    assert np.exp(found.log_mass).sum() == pytest.approx(1.0, abs=1e-9)
    assert found.floor_mass.sum() == pytest.approx(1.0, abs=1e-9)
    assert found.modes == 1 and found.entropy < 1.5
    # A likelihood that is sharp beside the cells may miss the middle of the true one; a wide one cannot.
    assert located(model, camera, prior=prior, sigma=0.4).log_density > found.prior_log_density + 1.0


def test_what_looks_alike_from_two_sides_has_two_equal_modes():
    camera = cameras_somewhere(seed=1)
    # In the middle of a cell, so that both modes meet the grid alike.
    prior = prior_over(turns=12)
    camera[3] = prior.grid.yaw[9]
    found = located(painter(mirrored=True), camera, prior=prior)
    assert found.modes == 2
    mass = np.exp(found.log_mass)
    np.testing.assert_allclose(mass, mass[:, :, ::-1], atol=1e-6)
    assert abs(abs(found.estimate[3]) - float(camera[3])) < 0.05
    assert located(painter(), camera, prior=prior).modes == 1


def test_the_density_at_the_truth_is_that_of_its_cell_and_nothing_is_there_outside_the_grid():
    model, camera, prior = painter(), cameras_somewhere(seed=2), prior_over()
    found = located(model, camera, prior=prior)
    cell = prior.grid.cell_of(camera)
    expected = found.log_mass.flatten()[cell] - float(prior.grid.spacing.log().sum())
    assert found.log_density == pytest.approx(expected)
    away = camera.clone()
    away[0] = 5.0
    assert located(model, away, prior=prior).log_density == -math.inf


def test_cells_that_the_prior_leaves_out_are_never_rendered(monkeypatch):
    model, prior = painter(), prior_over("cameras")
    prior.on_grid[: len(prior.on_grid) // 2] = -1000.0
    rendered = []
    original = model.core.paint
    camera = prior.grid.cameras(torch.zeros(5))[-5].float()
    batch = photographed(model, torch.stack([camera, camera])[None])
    monkeypatch.setattr(model.core, "paint", lambda poses: (rendered.append(len(poses)), original(poses))[1])
    part = EvaluationBatch(np.array([0]), batch, num_context=1)
    search = Search(starts=0, batch_size=50)
    found = locate(model, part, schedule=schedule_values(sigma=0.05), prior=prior, search=search)
    assert 0 < sum(rendered) <= len(prior.on_grid) // 2 and max(rendered) <= 50
    assert np.isneginf(found.log_mass.flatten()[: len(prior.on_grid) // 2]).all()


def smoke(name):
    variant = default_registry().variant(name, size="smoke")
    return build(variant, seed=0).eval(), evaluation_schedule_values(variant.training), variant.image_size


def at(batch, cameras):
    """The same scene with its one target image seen from each of several cameras [G, 5]."""
    context, count = batch.frames.shape[1] - 1, len(cameras)
    return batch._replace(
        frames=torch.cat([batch.frames[:, :context], batch.frames[:, context:].expand(-1, count, -1, -1, -1)], dim=1),
        cameras=torch.cat([batch.cameras[:, :context], cameras[None]], dim=1),
    )


@pytest.mark.parametrize("name", ["gqn-tower", "cgqn", "cvae", "vae", "deterministic", "gqn-attention"])
@pytest.mark.parametrize("num_context", [0, 2])
@torch.no_grad()
def test_a_score_is_the_bound_that_the_image_has_at_that_camera(name, num_context):
    model, chosen, size = smoke(name)
    batch = random_batch(batch_size=1, num_views=num_context + 1, image_size=size)
    candidates = cameras_somewhere(4)
    score = by_inversion(model, model.task(batch, num_context=num_context), schedule=chosen, samples=0)
    each = torch.cat([-model(at(batch, one[None]), chosen, num_context).nelbo() for one in candidates]).double()
    if model.core.latents == "query":
        # Queries of one scene have noise of their own, so that only the first is the same as when asked alone.
        together = -model(at(batch, candidates), chosen, num_context).nelbo().double()
        torch.testing.assert_close(score(candidates).sum()[None], together, rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(score(candidates)[:1], each[:1], rtol=1e-5, atol=1e-3)
    else:
        torch.testing.assert_close(score(candidates), each, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", ["gqn-tower", "cgqn"])
@torch.no_grad()
def test_an_importance_weighted_score_is_that_bound_at_that_camera(name):
    model, chosen, size = smoke(name)
    batch = random_batch(batch_size=1, num_views=3, image_size=size)
    candidates = cameras_somewhere(4)
    score = by_inversion(model, model.task(batch, num_context=2), schedule=chosen, samples=3)
    each = [importance_weighted_nelbo(model, at(batch, one[None]), chosen, 2, samples=3) for one in candidates]
    torch.testing.assert_close(score(candidates), -torch.cat(each), rtol=1e-5, atol=1e-3)


@torch.no_grad()
def test_the_context_is_encoded_once_for_all_candidates(monkeypatch):
    model, chosen, size = smoke("gqn-tower")
    calls = []
    forward = model.encoder.forward
    monkeypatch.setattr(model.encoder, "forward", lambda views: (calls.append(views.values.shape), forward(views))[1])
    batch = random_batch(batch_size=1, num_views=4, image_size=size)
    score = by_inversion(model, model.task(batch, num_context=3), schedule=chosen, samples=2)
    score(cameras_somewhere(5))
    score(cameras_somewhere(5))
    assert [shape[:2] for shape in calls] == [(1, 3)]


def test_more_importance_samples_raise_the_bound_on_average():
    model, chosen, size = smoke("gqn-tower")
    with torch.no_grad():
        for parameter in model.core.parameters():
            parameter.mul_(1.5)
        batch = random_batch(batch_size=1, num_views=3, image_size=size)
        episode = model.task(batch, num_context=2)
        one, many = (by_inversion(model, episode, schedule=chosen, samples=k)(cameras_somewhere(30)) for k in (1, 12))
    assert (many - one).mean() > 0


@pytest.mark.parametrize("name", ["reversed-gqn", "reversed-gqn-attention", "reversed-gqn-latent"])
def test_a_reversed_model_is_evaluated_at_the_same_grid(array_scenes, name):
    model, chosen, _ = smoke(name)
    source = array_scenes(num_scenes=2)
    plan = EvaluationPlan(source, num_context=2, num_targets=1)
    prior = prior_over(places=5, turns=6)
    evaluation = Evaluation(source, plan, schedule=chosen, batch_size=2)
    found = localise(model.train(), evaluation, prior=prior, search=Search(samples=3))
    assert model.training and [one.scene for one in found] == [0, 1]
    for scene, one in enumerate(found):
        views = plan.views[scene]
        assert one.log_mass.shape == (5, 5, 6) and np.exp(one.log_mass).sum() == pytest.approx(1.0, abs=1e-9)
        np.testing.assert_array_equal(one.image, source.frames[scene, views[2]])
        np.testing.assert_allclose(one.context, source.cameras[scene, views[:2]], rtol=1e-6)
        np.testing.assert_allclose(one.truth, source.cameras[scene, views[2]], rtol=1e-6)
        assert "off" in one.summary


@torch.no_grad()
def test_the_direct_score_is_the_density_of_the_likelihood():
    model, chosen, size = smoke("reversed-gqn")
    batch = random_batch(batch_size=1, num_views=3, image_size=size)
    episode = model.task(batch, num_context=2)
    score = by_density(model, episode, schedule=chosen, samples=5)
    truth = batch.cameras[0, 2:]
    torch.testing.assert_close(score(truth), -model(batch, chosen, 2).nelbo().double(), rtol=1e-5, atol=1e-5)


def test_models_of_neither_kind_are_refused():
    assert localisation_method(smoke("vae")[0]) == "inversion"
    assert localisation_method(smoke("reversed-gqn")[0]) == "direct"
    with pytest.raises(ConfigError, match="predicts values at inputs cannot localise"):
        localisation_method(smoke("np-1d")[0])


@pytest.mark.parametrize(("name", "value"), [("samples", -1), ("batch_size", 0), ("steps", -1), ("stride", 0.0)])
def test_searches_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        Search(**{name: value})
