"""The core of convolutional conditional neural processes."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Depth, Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.gaussian import at_least_float32


class ConvolutionalCnp(DeterministicCore):
    """Convolutional conditional neural process (Gordon et al. 2020, ICLR), no latents:

        p(y^1..Q | x^1..Q, C) = prod_q p(y^q | h(x^q)),  h = SetConv(CNN(SetConv(C))).

    Set convolutions map the context to values and a density on a grid, and the features of the grid to the queries. With
    ``anchor: context`` shifting all inputs shifts the predictions, so that the model extrapolates beyond the range of
    training. Inputs have one number, or two for positions of pixels.
    """

    class Config(Settings):
        anchor: Literal["context", "origin"] = Field(
            default="context", description="centre of the grid: of the context's range, or zero"
        )
        reach: float = Field(default=4.0, gt=0, description="half the width of the grid, units of the inputs")
        points_per_unit: float = Field(default=16.0, gt=0, description="cells of the grid per unit of the inputs")
        channels: Size = Field(default=64, description="channels of the convolutional network")
        layers: Depth = Field(default=6, description="residual convolutions")
        kernel_size: Size = Field(default=9, description="of every convolution, cells; odd")

    required_features = frozenset()
    query_kinds = frozenset({"inputs"})
    target_kinds = frozenset({"values"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.grid = GridMaker(config, dimensions=shapes.query_width)
        self.to_grid = ToGrid(spacing=self.grid.spacing)
        channels = (1 + shapes.target[0], shapes.prediction_channels)
        self.network = GridNetwork(config, dimensions=shapes.query_width, channels=channels)
        self.from_grid = FromGrid(spacing=self.grid.spacing)

    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        grid = self.grid(context.poses, context.mask)
        signal = self.to_grid(context.values.flatten(2), context.poses, context.mask, grid)
        return self.from_grid(self.network(signal), grid, query)[..., None, None]


class Grid(NamedTuple):
    """Coordinates of the cells of every scene's grid."""

    first: Tensor  # [B, G], in the first dimension
    second: Tensor | None  # [B, G], in the second; None if there is one dimension

    def squares(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Returns squared distances of points [B, N, D] from the cells per dimension: [B, N, G] and [B, N, G or 1]."""
        first = (points[..., :1] - self.first[:, None]).square()
        if self.second is None:
            return first, first.new_zeros(*first.shape[:2], 1)
        return first, (points[..., 1:] - self.second[:, None]).square()


class GridMaker:
    """Makes a grid for the inputs of every scene.

    A grid anchored to the middle of the context's range moves with the context, so that predictions are equivariant to
    shifts of all inputs. Queries do not move it, so that they stay independent. Without context the middle is zero.

    Raises:
        ValueError: if the inputs have neither one nor two dimensions.
    """

    def __init__(self, config: ConvolutionalCnp.Config, *, dimensions: int) -> None:
        if dimensions not in (1, 2):
            raise ValueError(f"inputs of {dimensions} numbers: a set convolution needs inputs of 1 or 2 numbers")
        self.config, self.dimensions = config, dimensions

    @property
    def spacing(self) -> float:
        """The distance of neighbouring cells, in units of the inputs."""
        return 1.0 / self.config.points_per_unit

    @property
    def size(self) -> tuple[int, int]:
        """Cells along the two sides of the grid."""
        cells = 2 * math.ceil(self.config.reach * self.config.points_per_unit) + 1
        return cells, cells if self.dimensions > 1 else 1

    def __call__(self, inputs: Tensor, mask: Tensor) -> Grid:
        """Makes grids for contexts at [B, N, D] with their mask [B, N]."""
        middle = inputs.new_zeros(len(inputs), self.dimensions)
        if self.config.anchor == "context" and inputs.shape[1]:
            kept = mask[..., None]
            low = inputs.masked_fill(~kept, torch.inf).amin(1)
            high = inputs.masked_fill(~kept, -torch.inf).amax(1)
            middle = torch.where(kept.any(1), 0.5 * (low + high), middle)
        half = self.size[0] // 2
        steps = torch.arange(-half, half + 1, dtype=inputs.dtype, device=inputs.device)
        cells = middle[..., None] + self.spacing * steps
        return Grid(first=cells[:, 0], second=cells[:, 1] if self.dimensions > 1 else None)


class _LengthScale(nn.Module):
    """A learned length scale l."""

    def __init__(self, initial: float) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.tensor(math.log(initial)))

    def forward(self, squares: Tensor) -> Tensor:
        """Returns exponents -d^2 / (2 l^2) for squared distances."""
        return -0.5 * squares * torch.exp(-2.0 * at_least_float32(self.logarithm))


class ToGrid(nn.Module):
    """Density and values on the grid: rho(g) = sum_i k(g - x_i) and sum_i y_i k(g - x_i) / rho(g), with a Gaussian k.

    Gordon et al. 2020, section 4: the density distinguishes an observation of zero from no observation.
    """

    def __init__(self, *, spacing: float) -> None:
        super().__init__()
        self.length_scale = _LengthScale(spacing)

    def forward(self, values: Tensor, inputs: Tensor, mask: Tensor, grid: Grid) -> Tensor:
        """Maps values [B, N, C] at [B, N, D] with their mask [B, N] to [B, 1 + C, G, G or 1]."""
        first, second = (torch.exp(self.length_scale(squares)) for squares in grid.squares(inputs))
        first = first * mask[..., None]
        signal = torch.cat([torch.ones_like(values[..., :1]), values], dim=-1)
        density, weighted = torch.einsum("bnc,bng,bnh->bcgh", signal, first, second).split([1, values.shape[-1]], dim=1)
        return torch.cat([density, weighted / (density + 1e-8)], dim=1)


class FromGrid(nn.Module):
    """Features at any input: the mean of the cells' features with normalised Gaussian weights.

    Normalised weights give a constant for constant features, and the nearest cell's features far from the grid.
    """

    def __init__(self, *, spacing: float) -> None:
        super().__init__()
        self.length_scale = _LengthScale(spacing)

    def forward(self, features: Tensor, grid: Grid, query: Tensor) -> Tensor:
        """Maps features [..., B, C, G, G or 1] to [..., B, Q, C] at queries [B, Q, D]."""
        first, second = (torch.softmax(self.length_scale(squares), dim=-1) for squares in grid.squares(query))
        rows = torch.einsum("...bcgh,bqg->...bqch", features, first.to(features.dtype))
        return torch.einsum("...bqch,bqh->...bqc", rows, second.to(features.dtype))


class GridNetwork(nn.Module):
    """Residual convolutions on a grid of one or two dimensions, equivariant to shifts away from the edge.

    Raises:
        ValueError: if the kernel is not odd.
    """

    def __init__(self, config: ConvolutionalCnp.Config, *, dimensions: int, channels: tuple[int, int]) -> None:
        """``channels`` are those of the input and of the output."""
        super().__init__()
        if config.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {config.kernel_size}: must be odd, so that the grid keeps its size")
        size = (config.kernel_size, config.kernel_size if dimensions > 1 else 1)
        self.enter = nn.Conv2d(channels[0], config.channels, 1)
        self.layers = nn.ModuleList(
            nn.Conv2d(config.channels, config.channels, size, padding="same") for _ in range(config.layers)
        )
        self.leave = nn.Conv2d(config.channels, channels[1], 1)

    def forward(self, signal: Tensor) -> Tensor:
        """Maps [B, C, G, H] to [B, C', G, H]."""
        features = self.enter(signal)
        for layer in self.layers:
            features = features + layer(F.relu(features))
        return self.leave(F.relu(features))
