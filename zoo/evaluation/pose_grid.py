"""Regular grids of cameras over a floor and all directions, and priors over them."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.opening import Source
from zoo.errors import ConfigError, DataError

PriorKind = Literal["uniform", "cameras"]
MARGIN = 0.02  # of the extent, added on every side
MOST_CAMERAS = 2000  # from which a prior is made
KERNEL = 0.5  # standard deviation of a kernel, in cells
REACH = 2  # of a mode, in cells
CHUNK = 4096  # candidates whose distances to all of them are computed at once


class PoseGrid(NamedTuple):
    """Centres of equal cells: Y by X places, W directions at each."""

    x: Tensor  # [X] float64, scene units
    y: Tensor  # [Y]
    yaw: Tensor  # [W], radians, over the full circle

    @property
    def spacing(self) -> Tensor:
        """Sizes of a cell along x, y and yaw, [3]."""
        step_yaw = self.yaw.new_tensor(2 * math.pi / len(self.yaw))
        return torch.stack([self.x[1] - self.x[0], self.y[1] - self.y[0], step_yaw])

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Outer edges of the cells: least x, largest x, least y, largest y."""
        half_x, half_y, _ = 0.5 * self.spacing
        edges = (self.x[0] - half_x, self.x[-1] + half_x, self.y[0] - half_y, self.y[-1] + half_y)
        return tuple(map(float, edges))  # type: ignore[return-value]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Y, X, W)."""
        return (len(self.y), len(self.x), len(self.yaw))

    def cameras(self, known: Tensor) -> Tensor:
        """Returns cameras [Y * X * W, 5] with z and pitch of ``known`` [5], row by row, directions last."""
        y, x, yaw = torch.meshgrid(self.y, self.x, self.yaw, indexing="ij")
        cameras = known.to(x).expand(*x.shape, 5).clone()
        cameras[..., 0], cameras[..., 1], cameras[..., 3] = x, y, yaw
        return cameras.flatten(0, 2)

    def cell_of(self, camera: Tensor) -> int | None:
        """Returns the flat index of the cell that contains a camera [5], or None if it is outside of the grid."""
        low_x, high_x, low_y, high_y = self.extent
        if not (low_x <= camera[0] < high_x and low_y <= camera[1] < high_y):
            return None
        step_x, step_y, step_yaw = self.spacing.tolist()
        column, row = int((float(camera[0]) - low_x) / step_x), int((float(camera[1]) - low_y) / step_y)
        turn = int(((float(camera[3]) + math.pi) % (2.0 * math.pi)) / step_yaw)
        rows, columns, turns = self.shape
        return (min(row, rows - 1) * columns + min(column, columns - 1)) * turns + min(turn, turns - 1)


def read_cameras(source: Source) -> Tensor:
    """Returns up to 2000 random cameras of a split, [n, 5] float64."""
    generator = np.random.default_rng(0)
    scenes = np.sort(generator.permutation(source.num_scenes)[:MOST_CAMERAS])
    cameras = source.read_cameras(scenes).astype(np.float64).reshape(-1, 5)
    return torch.from_numpy(cameras[generator.permutation(len(cameras))[:MOST_CAMERAS]])


def grid_over(cameras: Tensor, *, places: int, turns: int) -> PoseGrid:
    """Makes a grid over the places of cameras [n, 5]: ``places`` along each side, ``turns`` directions.

    Raises:
        ConfigError: if there are fewer than two places, or no direction.
        DataError: if all cameras have the same x or the same y.
    """
    if places < 2 or turns < 1:
        raise ConfigError(
            f"a grid of {places} places a side and {turns} directions: expected at least 2 and at least 1"
        )
    axes = []
    for index, name in enumerate("xy"):
        low, high = float(cameras[:, index].min()), float(cameras[:, index].max())
        if high - low <= 0.0:
            raise DataError(f"all cameras have {name} = {low:g}: there is nothing to localise along {name}")
        low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
        step = (high - low) / places
        axes.append(low + step * (torch.arange(places, dtype=torch.float64) + 0.5))
    yaw = -math.pi + (torch.arange(turns, dtype=torch.float64) + 0.5) * (2.0 * math.pi / turns)
    return PoseGrid(x=axes[0], y=axes[1], yaw=yaw)


class PosePrior:
    """Prior p(x, y, yaw): uniform over the grid, or a kernel density of the cameras of other scenes.

    The kernels are a Gaussian over places times a von Mises distribution over directions, with standard deviations of
    half a cell. The density is smooth, so that a search can follow its gradient.
    """

    def __init__(self, kind: PriorKind, *, grid: PoseGrid, cameras: Tensor) -> None:
        """``cameras`` [n, 5] are those of other scenes; a uniform prior uses them for its best guess alone."""
        self.kind = kind
        self.grid = grid
        self.known = cameras.double()
        self.on_grid = self.log_density(grid.cameras(cameras.new_zeros(5)))  # [Y * X * W]; z and pitch do not matter

    def log_density(self, cameras: Tensor) -> Tensor:
        """Returns log p, [G], nats, at cameras [G, 5]; the density is one of place and direction (per radian)."""
        if self.kind == "uniform":
            low_x, high_x, low_y, high_y = self.grid.extent
            volume = (high_x - low_x) * (high_y - low_y) * 2.0 * math.pi
            return cameras.new_full(cameras.shape[:1], -math.log(volume), dtype=torch.float64)
        return torch.cat([self._kernels(part) for part in cameras.double().split(CHUNK)])

    def _kernels(self, cameras: Tensor) -> Tensor:
        known = self.known.to(cameras.device)
        step_x, step_y, step_yaw = (KERNEL * self.grid.spacing).tolist()
        kappa = 1.0 / step_yaw**2
        away = ((cameras[:, None, 0] - known[:, 0]) / step_x).square()
        away = away + ((cameras[:, None, 1] - known[:, 1]) / step_y).square()
        turned = 2.0 * kappa * torch.sin(0.5 * (cameras[:, None, 3] - known[:, 3])).square()
        log_bessel = math.log(float(torch.special.i0e(torch.tensor(kappa, dtype=torch.float64))))
        constant = math.log(len(known)) + math.log((2.0 * math.pi) ** 2 * step_x * step_y) + log_bessel
        return torch.logsumexp(-0.5 * away - turned, dim=1) - constant

    def best_guess(self) -> Tensor:
        """Returns the best constant estimate, [5]: the mean place and the mean direction of the known cameras."""
        guess = self.known.mean(0)
        for angle in (3, 4):
            guess[angle] = torch.atan2(self.known[:, angle].sin().mean(), self.known[:, angle].cos().mean())
        return guess


def local_maxima(values: Tensor) -> Tensor:
    """Returns which cells [Y, X, W] are not below any of their 26 neighbours; directions are periodic."""
    padded = F.pad(values[None, None], (1, 1, 0, 0, 0, 0), mode="circular")
    padded = F.pad(padded, (0, 0, 1, 1, 1, 1), value=-math.inf)
    return values >= F.max_pool3d(padded, kernel_size=3, stride=1)[0, 0]


def num_modes(log_mass: Tensor, *, least: float = 0.1) -> int:
    """Counts the separate poses that hold at least the share ``least`` of the probability each.

    The most probable cell takes all cells within two in every direction, then the most probable of the rest, and so on
    while the sum of what one takes is at least ``least``. ``log_mass`` [Y, X, W] are log-probabilities of the cells.
    """
    mass = log_mass.exp()
    mass = mass / mass.sum()
    turns = mass.shape[2]
    near = torch.arange(-REACH, REACH + 1) if turns > 2 * REACH + 1 else torch.arange(turns)
    count = 0
    while True:
        row, column, turn = np.unravel_index(int(mass.argmax()), mass.shape)
        part = (
            slice(max(row - REACH, 0), row + REACH + 1),
            slice(max(column - REACH, 0), column + REACH + 1),
            (int(turn) + near) % turns,
        )
        if float(mass[part].sum()) < least:
            return count
        count += 1
        mass[part] = 0.0
