"""Gradient search of the most probable camera between the points of a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.evaluation.candidates import CandidateScore
from zoo.evaluation.pose_grid import PoseGrid, local_maxima


@dataclass(frozen=True, kw_only=True)
class Search:
    """Settings of the search.

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
