"""Localisation of a camera from one image: a map of log-probability over the floor, and the most probable camera.

A model of images is inverted, p(v | x^q, r) ~ p(x^q | v, r) p(v): a grid of cameras is scored and its best cells are
refined by gradient. A reversed model is evaluated at the same cameras. Both yield the same kind of result, the generative
and discriminative localisation of Rosenbaum et al. 2018, "Learning models for visual 3D localization with implicit
mapping". As there, height and pitch of the camera are known; place and yaw are estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.episode import ScheduleValues
from zoo.errors import ConfigError
from zoo.evaluation.bounds import select_targets
from zoo.evaluation.candidates import CandidateScore, by_density, by_inversion, localisation_method
from zoo.evaluation.loop import Evaluation, EvaluationBatch, evaluation_mode
from zoo.evaluation.pose_grid import PoseGrid, PosePrior, local_maxima, num_modes
from zoo.evaluation.poses import PoseErrors, pose_errors
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


@dataclass(frozen=True, kw_only=True)
class Search:
    """Settings of the gradient search of the most probable camera between the points of a grid.

    Attributes:
        samples: for inversion K of the importance-weighted bound, 0: the ELBO; for reversed models with latents the
            number of prior samples that the density is averaged over.
        batch_size: candidates scored at once; changes the memory needed, not the numbers.
        starts: local maxima of the grid that are refined by gradient; 0 takes the best cell.
        steps: steps of Adam from each of them.
        stride: length of the first steps, in cells.
    """

    samples: int = 0
    batch_size: int = 256
    starts: int = 4
    steps: int = 30
    stride: float = 0.1

    def __post_init__(self) -> None:
        for name, least in (("samples", 0), ("batch_size", 1), ("starts", 0), ("steps", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: found {getattr(self, name)}, expected at least {least}")
        if not self.stride > 0:
            raise ConfigError(f"stride: found {self.stride}, expected a positive number of cells")


def localise(model: SceneModel, evaluation: Evaluation, *, prior: PosePrior, search: Search) -> list[Located]:
    """Localises the first target of every scene, one scene at a time; raises ConfigError if the model cannot localise.

    ``prior`` is that over cameras, with its grid; a reversed model has learned its own prior and uses the grid alone.
    """
    batches = replace(evaluation, batch_size=1).batches()
    with evaluation_mode(model):
        return [locate(model, part, schedule=evaluation.schedule, prior=prior, search=search) for part in batches]


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


@torch.enable_grad()
def refine_poses(
    score: CandidateScore, candidates: Tensor, log_joint: Tensor, *, grid: PoseGrid, search: Search
) -> Tensor:
    """Returns the best camera [5] found from the grid's best local maxima; never worse than the best cell."""
    values = torch.where(local_maxima(log_joint.view(grid.shape)).flatten(), log_joint, -math.inf)
    count = min(max(search.starts, 1), int(torch.isfinite(values).sum()))
    starts = candidates[values.topk(count).indices]
    if search.starts == 0 or search.steps == 0:
        return starts[0]
    step_x, step_y, step_yaw = grid.spacing.tolist()
    cells = starts.new_tensor([step_x, step_y, 0.0, step_yaw, 0.0])
    offset = torch.zeros_like(starts, requires_grad=True)  # in cells
    optimizer = torch.optim.Adam([offset], lr=search.stride)
    # The values of the grid are not comparable: latents of a query have other noise at another place.
    best, best_values = starts.clone(), log_joint.new_full((count,), -math.inf)
    for index in range(search.steps + 1):
        cameras = starts + offset * cells
        reached = score(cameras)
        better = reached.detach() > best_values
        best_values = torch.where(better, reached.detach(), best_values)
        best[better] = cameras.detach()[better]
        if index == search.steps or not reached.requires_grad:
            break
        # Steps grow shorter, so that the search settles.
        optimizer.param_groups[0]["lr"] = search.stride * (1.0 - index / search.steps)
        (offset.grad,) = torch.autograd.grad(-reached.sum(), offset)
        optimizer.step()
    found = best[int(best_values.argmax())].clone()
    found[3] = torch.remainder(found[3] + math.pi, 2.0 * math.pi) - math.pi
    return found
