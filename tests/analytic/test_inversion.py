"""Localisation by inversion of a model whose likelihood of an image, given the camera, is known in closed form."""

import linear_gaussian
import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from zoo.data.camera import pose_vector
from zoo.episode import ScheduleValues
from zoo.evaluation.candidates import by_inversion
from zoo.evaluation.pose_grid import grid_over
from zoo.evaluation.throughput import random_batch
from zoo.likelihoods.annealed_gaussian import AnnealedGaussian
from zoo.model.interfaces import CoreShapes
from zoo.model.scene_model import SceneModel
from zoo.nn.noise import fold

SIGMA, SIZE, CONTEXT = 0.4, 4, 2
SCHEDULE = ScheduleValues(*(torch.tensor(value, dtype=torch.float64) for value in (1.0, SIGMA, 1.0)))


def made(*, shift):
    """The linear Gaussian model, with its exact posterior or with one that is moved."""
    torch.manual_seed(0)
    task = linear_gaussian.ExactImages(linear_gaussian.ExactImages.Config(), image_size=SIZE)
    encoder = linear_gaussian.LinearEncoder(linear_gaussian.LinearEncoder.Config(), view=task.view_shape)
    shapes = CoreShapes(representation=encoder.shape, query=(7,), target=(3, SIZE, SIZE), prediction_channels=3)
    core = linear_gaussian.LinearGaussian(linear_gaussian.LinearGaussian.Config(shift=shift), shapes=shapes)
    likelihood = AnnealedGaussian(AnnealedGaussian.Config())
    return SceneModel(task=task, encoder=encoder, core=core, likelihood=likelihood).double()


def exact(model, episode, cameras):
    """log N(x; A (C v + E r) + B v + F r + b, A A^T + sigma^2) at every camera, and its mean as a function of v."""
    core = model.core
    r = model.encoder(episode.context).pooled.flatten(1)
    poses = pose_vector(cameras).double()
    mean = (poses @ core.C.T + r @ core.E.T) @ core.A.T + poses @ core.B.T + r @ core.F.T + core.b
    covariance = core.A @ core.A.T + SIGMA**2 * torch.eye(mean.shape[1], dtype=torch.float64)
    return MultivariateNormal(mean, covariance).log_prob(episode.target[0, 0].flatten())


@pytest.mark.parametrize("shift", [0.0, 0.6])
@torch.no_grad()
def test_candidates_have_their_marginal_likelihood(shift):
    model = made(shift=shift)
    batch = random_batch(batch_size=1, num_views=CONTEXT + 1, image_size=SIZE)
    episode = model.task(batch, num_context=CONTEXT)
    cameras = torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    known = exact(model, episode, cameras)
    bound = by_inversion(model, episode, schedule=SCHEDULE, samples=1)(cameras)
    if shift == 0.0:
        # With the exact posterior every single sample gives the marginal likelihood.
        torch.testing.assert_close(bound, known, rtol=1e-9, atol=1e-7)
    else:
        many = by_inversion(model, episode, schedule=SCHEDULE, samples=400)(cameras)
        # One sample of the ELBO may lie above the marginal likelihood; their mean may not.
        drawn = [episode._replace(key=fold(episode.key, number)) for number in range(100)]
        elbo = torch.stack([by_inversion(model, each, schedule=SCHEDULE, samples=0)(cameras) for each in drawn]).mean(0)
        assert ((known - elbo) > 0.02).float().mean() > 0.8
        np.testing.assert_allclose(many, known, atol=0.5)
        assert (known - many).abs().mean() < 0.3 * (known - elbo).abs().mean()


@torch.no_grad()
def test_the_posterior_over_a_grid_is_the_gaussian_that_it_should_be():
    """With the yaw known, the mean of an image is linear in (x, y): the posterior is Gaussian, in closed form."""
    model = made(shift=0.0)
    core = model.core
    batch = random_batch(batch_size=1, num_views=CONTEXT + 1, image_size=SIZE)
    episode = model.task(batch, num_context=CONTEXT)
    camera = torch.tensor([0.0, 0.0, 0.2, 0.7, -0.1], dtype=torch.float64)
    jacobian = (core.B + core.A @ core.C)[:, :2]
    precision_of_image = torch.linalg.inv(
        core.A @ core.A.T + SIGMA**2 * torch.eye(3 * SIZE * SIZE, dtype=torch.float64)
    )
    precision = jacobian.T @ precision_of_image @ jacobian
    r = model.encoder(episode.context).pooled.flatten(1)
    pose = pose_vector(camera)
    offset = (pose @ core.C.T + r @ core.E.T) @ core.A.T + pose @ core.B.T + r @ core.F.T + core.b
    residual = (episode.target[0, 0].flatten() - offset)[0]
    mean = torch.linalg.solve(precision, jacobian.T @ precision_of_image @ residual)
    deviation = torch.linalg.inv(precision).diagonal().sqrt()
    corners = torch.stack([mean - 7 * deviation, mean + 7 * deviation])
    grid = grid_over(torch.cat([corners, torch.zeros(2, 3, dtype=torch.float64)], dim=1), places=61, turns=1)
    grid = grid._replace(yaw=torch.full((1,), 0.7, dtype=torch.float64))
    cameras = grid.cameras(camera)
    log_likelihood = by_inversion(model, episode, schedule=SCHEDULE, samples=1)(cameras)
    log_mass = log_likelihood - torch.logsumexp(log_likelihood, dim=0)
    expected = MultivariateNormal(mean, precision_matrix=precision).log_prob(cameras[:, :2])
    expected = expected + (grid.spacing[0] * grid.spacing[1]).log()
    torch.testing.assert_close(log_mass, expected, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close((log_mass.exp()[:, None] * cameras[:, :2]).sum(0), mean, rtol=1e-5, atol=1e-5)
