"""Where was a image taken? Maps of log-probability over the floor, and the one most probable camera.

A model of images is inverted, p(v | x^q, r) ~ p(x^q | v, r) p(v), by scoring a grid of cameras and climbing from its
best cells; a reversed model is asked at the same cameras. Both answer alike, so that they can be compared (Rosenbaum et
al. 2018, "Learning models for visual 3D localization with implicit mapping", whose generative and discriminative
localisation these are). Height and pitch of the camera are taken as known, as there; place and yaw are sought.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.episode import Episode, SceneBatch, ScheduleValues, Views
from zoo.evaluation.candidates import CandidateScore, by_density, by_inversion, localisation_method
from zoo.evaluation.loop import Progress, evaluation_batches, evaluation_mode
from zoo.evaluation.pose_grid import PoseGrid, PosePrior, num_modes
from zoo.evaluation.poses import PoseErrors, pose_errors
from zoo.evaluation.refine_poses import Search, refine_poses
from zoo.model.scene_model import SceneModel

SOUGHT = ("x", "y", "yaw")
IMPROBABLE = 8.0  # nats below the most probable cell of the prior: not worth a look


class Located(NamedTuple):
    """What was found out about one image; arrays, cameras [5] as everywhere (x, y, z, yaw, pitch)."""

    scene: int
    grid: PoseGrid
    log_mass: np.ndarray  # [Y, X, W], log-probability of each cell of the grid; they sum to 1
    estimate: np.ndarray  # [5], the most probable camera found
    truth: np.ndarray  # [5]
    guess: np.ndarray  # [5], the best that can be said without image and context
    log_density: float  # nats, of the true place and yaw (per radian); see ``locate``
    prior_log_density: float  # the same before anything was seen
    context: np.ndarray  # [N, 5], the cameras of the context
    image: np.ndarray  # [H, W, 3] uint8

    @property
    def position_error(self) -> float:
        """Returns how far the estimate is from the true place, scene units."""
        return float(_errors(self.estimate, self.truth).position)

    @property
    def angle_error(self) -> float:
        """Returns the angle between the estimated and the true yaw, degrees."""
        return float(_errors(self.estimate, self.truth).angle)

    @property
    def prior_position_error(self) -> float:
        """Returns how far the best constant guess is from the true place, scene units."""
        return float(_errors(self.guess, self.truth).position)

    @property
    def prior_angle_error(self) -> float:
        """Returns the angle between the best constant guess and the true yaw, degrees."""
        return float(_errors(self.guess, self.truth).angle)

    @property
    def summary(self) -> str:
        """Returns the errors in words."""
        return f"{self.position_error:.2f} and {self.angle_error:.0f}\N{DEGREE SIGN} off"

    @property
    def floor_mass(self) -> np.ndarray:
        """Returns the probability of each place, whatever the yaw, [Y, X]."""
        return np.exp(self.log_mass).sum(-1)

    @property
    def likeliest_yaw(self) -> np.ndarray:
        """Returns the most probable yaw at each place, radians, [Y, X]."""
        return self.grid.yaw.numpy()[self.log_mass.argmax(-1)]

    @property
    def entropy(self) -> float:
        """Returns the entropy over the cells, nats: 0 if one cell is certain, log(Y X W) if all are alike."""
        mass = np.exp(self.log_mass)
        return float(-(mass * np.where(mass > 0, self.log_mass, 0.0)).sum())

    @property
    def modes(self) -> int:
        """Returns how many separate poses hold at least a tenth of the probability each."""
        return num_modes(torch.from_numpy(self.log_mass))


def _errors(estimate: np.ndarray, truth: np.ndarray) -> PoseErrors:
    return pose_errors(torch.from_numpy(estimate), torch.from_numpy(truth), coordinates=SOUGHT)


def localise(
    model: SceneModel,
    source: SceneSource,
    plan: EvaluationPlan,
    *,
    schedule: ScheduleValues,
    prior: PosePrior,
    search: Search,
    device: torch.device | str,
    progress: Progress | None = None,
) -> list[Located]:
    """Localises the first target of every scene of a plan, one after the other.

    Args:
        model: of images at viewpoints, or of viewpoints of images.
        source: the scenes.
        plan: which views are context and target.
        schedule: those of evaluation.
        prior: over the cameras, with the grid; a reversed model learned its own and uses the grid alone.
        search: how.
        device: where the model is.
        progress: called with the scenes done and the scenes in all.

    Raises:
        ConfigError: if the model is of neither kind.
    """
    localisation_method(model)
    found: list[Located] = []
    with evaluation_mode(model):
        for scenes, batch, num_context in evaluation_batches(source, plan, batch_size=1, device=device):
            found.append(
                locate(
                    model,
                    batch,
                    num_context=num_context,
                    scene=int(scenes[0]),
                    schedule=schedule,
                    prior=prior,
                    search=search,
                )
            )
            if progress:
                progress(len(found), plan.num_scenes)
    return found


def locate(
    model: SceneModel,
    batch: SceneBatch,
    *,
    num_context: int,
    scene: int,
    schedule: ScheduleValues,
    prior: PosePrior,
    search: Search,
) -> Located:
    """Localises the first target of one scene.

    The log-density at the truth is exact for a reversed model that knows place and yaw. For inversion it is that of the
    true camera's cell, its mass over its volume: a sharp likelihood that falls between the points of the grid cannot
    make it better than it is.

    Args:
        model: in evaluation mode.
        batch: one scene, B = 1; the context views come first.
        num_context: N.
        scene: its number, for the record.
        schedule: those of evaluation.
        prior: over the cameras, with the grid.
        search: how.

    Raises:
        ConfigError: if the model is of neither kind.
    """
    way, grid = localisation_method(model), prior.grid
    score: CandidateScore
    episode = _first_target(model.task(batch, num_context=num_context))
    truth = batch.cameras[0, num_context].double()
    candidates = grid.cameras(truth.cpu()).to(truth.device)
    log_prior = prior.on_grid.to(truth.device)
    if way == "inversion":
        score = _times_prior(by_inversion(model, episode, schedule=schedule, samples=search.samples), prior)
        worth = log_prior > log_prior.max() - IMPROBABLE
    else:
        score = by_density(model, episode, schedule=schedule, samples=search.samples)
        worth = torch.ones_like(log_prior, dtype=torch.bool)
    log_joint = torch.full_like(log_prior, -math.inf)
    with torch.no_grad():
        log_joint[worth] = torch.cat([score(part) for part in candidates[worth].split(search.batch_size)])
    log_mass = (log_joint - torch.logsumexp(log_joint, dim=0)).view(grid.shape)
    log_volume = float(grid.spacing.log().sum())
    cell = grid.cell_of(truth)
    log_density = -math.inf if cell is None else float(log_mass.flatten()[cell]) - log_volume
    if way == "direct" and set(SOUGHT) == set(model.likelihood.coordinates):  # type: ignore[arg-type]
        with torch.no_grad():
            log_density = float(score(truth[None])[0])
    return Located(
        scene=scene,
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


def _first_target(episode: Episode) -> Episode:
    return episode._replace(
        query=episode.query[:, :1],
        target=episode.target[:, :1],
        target_views=Views(*(field[:, :1] for field in episode.target_views)),
    )
