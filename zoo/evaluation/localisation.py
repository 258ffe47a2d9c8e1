"""Localisation of a camera from one image: a map of log-probability over the floor, and the most probable camera.

A model of images is inverted, p(v | x^q, r) ~ p(x^q | v, r) p(v): a grid of cameras is scored and its best cells are
refined by gradient. A reversed model is evaluated at the same cameras. Both yield the same kind of result, the generative
and discriminative localisation of Rosenbaum et al. 2018, "Learning models for visual 3D localization with implicit
mapping". As there, height and pitch of the camera are known; place and yaw are estimated.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from zoo.episode import ScheduleValues
from zoo.evaluation.bounds import select_targets
from zoo.evaluation.candidates import CandidateScore, by_density, by_inversion, localisation_method
from zoo.evaluation.loop import Evaluation, EvaluationBatch, evaluation_mode
from zoo.evaluation.pose_grid import PoseGrid, PosePrior, num_modes
from zoo.evaluation.poses import PoseErrors, pose_errors
from zoo.evaluation.refine_poses import Search, refine_poses
from zoo.model.scene_model import SceneModel

COORDINATES = ("x", "y", "yaw")  # those that are estimated
IMPROBABLE = 8.0  # cells of a prior so many nats below its maximum are not scored


class Located(NamedTuple):
    """The localisation of one image; cameras are [5] (x, y, z, yaw, pitch)."""

    scene: int
    grid: PoseGrid
    log_mass: np.ndarray  # [Y, X, W], log-probability of each cell of the grid; they sum to 1
    estimate: np.ndarray  # [5], the most probable camera found
    truth: np.ndarray  # [5]
    guess: np.ndarray  # [5], the best constant estimate under the prior
    log_density: float  # nats, of the true place and yaw (per radian); see ``locate``
    prior_log_density: float  # of the same under the prior
    context: np.ndarray  # [N, 5], the cameras of the context
    image: np.ndarray  # [H, W, 3] uint8

    @property
    def position_error(self) -> float:
        """Distance of the estimate from the true place, scene units."""
        return float(_errors(self.estimate, self.truth).position)

    @property
    def angle_error(self) -> float:
        """Angle between the estimated and the true yaw, degrees."""
        return float(_errors(self.estimate, self.truth).angle)

    @property
    def prior_position_error(self) -> float:
        """Distance of the best constant estimate from the true place, scene units."""
        return float(_errors(self.guess, self.truth).position)

    @property
    def prior_angle_error(self) -> float:
        """Angle between the best constant estimate and the true yaw, degrees."""
        return float(_errors(self.guess, self.truth).angle)

    @property
    def summary(self) -> str:
        """The errors as text."""
        return f"{self.position_error:.2f} and {self.angle_error:.0f}\N{DEGREE SIGN} off"

    @property
    def floor_mass(self) -> np.ndarray:
        """Probability of each place, summed over yaw, [Y, X]."""
        return np.exp(self.log_mass).sum(-1)

    @property
    def entropy(self) -> float:
        """Entropy over the cells, nats: 0 if one cell is certain, log(Y X W) if all are equally probable."""
        mass = np.exp(self.log_mass)
        return float(-(mass * np.where(mass > 0, self.log_mass, 0.0)).sum())

    @property
    def modes(self) -> int:
        """Number of separate poses that hold at least a tenth of the probability each."""
        return num_modes(torch.from_numpy(self.log_mass))


def _errors(estimate: np.ndarray, truth: np.ndarray) -> PoseErrors:
    return pose_errors(torch.from_numpy(estimate), torch.from_numpy(truth), coordinates=COORDINATES)


def localise(model: SceneModel, evaluation: Evaluation, *, prior: PosePrior, search: Search) -> list[Located]:
    """Localises the first target of every scene, one scene at a time.

    ``prior`` is that over cameras, with its grid; a reversed model has learned its own prior and uses the grid alone.

    Raises:
        ConfigError: if the model is of neither kind.
    """
    localisation_method(model)
    one_by_one = replace(evaluation, batch_size=1)
    with evaluation_mode(model):
        return [
            locate(model, part, schedule=evaluation.schedule, prior=prior, search=search)
            for part in one_by_one.batches()
        ]


def locate(
    model: SceneModel, part: EvaluationBatch, *, schedule: ScheduleValues, prior: PosePrior, search: Search
) -> Located:
    """Localises the first target of one scene, B = 1, with a model in evaluation mode; see :func:`localise`.

    The log-density at the truth is exact for a reversed model of place and yaw. For inversion it is the mass of the true
    camera's cell over its volume, so that a sharp likelihood between the points of the grid cannot raise it.
    """
    (scene,), batch, num_context = part
    way, grid = localisation_method(model), prior.grid
    score: CandidateScore
    episode = select_targets(model.task(batch, num_context=num_context), slice(1))
    truth = batch.cameras[0, num_context].double()
    candidates = grid.cameras(truth.cpu()).to(truth.device)
    log_prior = prior.on_grid.to(truth.device)
    if way == "inversion":
        score = _times_prior(by_inversion(model, episode, schedule=schedule, samples=search.samples), prior)
        scored = log_prior > log_prior.max() - IMPROBABLE
    else:
        score = by_density(model, episode, schedule=schedule, samples=search.samples)
        scored = torch.ones_like(log_prior, dtype=torch.bool)
    log_joint = torch.full_like(log_prior, -math.inf)
    with torch.no_grad():
        log_joint[scored] = torch.cat([score(part) for part in candidates[scored].split(search.batch_size)])
    log_mass = (log_joint - torch.logsumexp(log_joint, dim=0)).view(grid.shape)
    log_volume = float(grid.spacing.log().sum())
    cell = grid.cell_of(truth)
    log_density = -math.inf if cell is None else float(log_mass.flatten()[cell]) - log_volume
    if way == "direct" and set(COORDINATES) == set(model.likelihood.coordinates):  # type: ignore[arg-type]
        with torch.no_grad():
            log_density = float(score(truth[None])[0])
    return Located(
        scene=int(scene),
        grid=grid,
        log_mass=log_mass.cpu().numpy(),
        estimate=refine_poses(score, candidates, log_joint, grid=grid, search=search).cpu().numpy(),
        truth=truth.cpu().numpy(),
        guess=prior.best_guess().cpu().numpy(),
        log_density=log_density,
        prior_log_density=float(prior.log_density(truth[None])[0]),
        context=batch.cameras[0, :num_context].double().cpu().numpy(),
        image=batch.frames[0, num_context].cpu().numpy(),
    )


def _times_prior(likelihood: CandidateScore, prior: PosePrior) -> CandidateScore:
    return lambda cameras: likelihood(cameras) + prior.log_density(cameras)
