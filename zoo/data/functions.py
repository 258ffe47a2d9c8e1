"""Functions of one number drawn from Gaussian processes: data whose best possible prediction is known exactly.

The protocol is that of the public code of Lee et al. 2020 ("Bootstrapping neural processes", NeurIPS): inputs are uniform
in [-2, 2]; length scale in [0.1, 0.6], amplitude in [0.1, 1] and, for the periodic kernel, period in [0.1, 0.5] are
uniform and drawn for each function; the noise on values has standard deviation 0.02. ``functions_smooth`` has length
scales in [0.5, 1.5], amplitudes in [0.5, 1] and noise 0.1: small networks approach its exact posterior within minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
import torch

from zoo.data.built_in import BuiltIn, DrawnScene, Rendering, stack_extras
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.render.rng import uniform
from zoo.data.source import INPUTS, KERNEL, VALUES, ExtraShape, Split, point_shapes

KernelKind = Literal["rbf", "matern", "periodic"]
KINDS: tuple[KernelKind, ...] = get_args(KernelKind)

LARGEST_INPUT = 2.0
PERIODS = (0.1, 0.5)
DECIMALS = 3  # hyper-parameters that agree to so many count as the same for the division into splits


def rendering_of_points(drawn: Sequence[DrawnScene]) -> Rendering:
    """Returns functions as scenes with images of no pixels."""
    extras = stack_extras(drawn)
    lead = extras[INPUTS].shape[:2]
    frames, cameras = torch.zeros(*lead, 0, 0, 3, dtype=torch.uint8), torch.zeros(*lead, CAMERA_WIDTH)
    return Rendering(frames, cameras, tuple(item.scene for item in drawn), extras)


class Kernel(NamedTuple):
    """A stationary covariance k(d) of two values at distance d, and the noise on values; all in float64.

    ``rbf`` is a^2 exp(-r^2 / 2), ``matern`` the one of smoothness 5/2, a^2 (1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r),
    both with r = d / l; ``periodic`` is a^2 exp(-2 (sin(pi d / period) / l)^2).
    """

    kind: KernelKind
    length_scale: float  # l, in units of the inputs; without a unit for the periodic kernel
    amplitude: float  # a, in units of the values
    period: float  # in units of the inputs; 0 where there is none
    noise: float  # in units of the values

    def row(self) -> np.ndarray:
        """Returns the kernel as numbers, [5] float32: index of the kind in ``KINDS``, then the other fields."""
        return np.array([KINDS.index(self.kind), *self[1:]], dtype=np.float32)

    @classmethod
    def from_row(cls, row: np.ndarray) -> Kernel:
        """Returns the kernel that ``row`` was made of."""
        kind, *numbers = row.astype(np.float64).tolist()
        return cls(KINDS[int(kind)], *numbers)

    def covariance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Returns the covariances [n, m] of the values, without noise, at inputs [n, P] and [m, P]."""
        difference = one.astype(np.float64)[:, None] - other.astype(np.float64)[None]
        distance = np.sqrt(np.square(difference).sum(-1))
        if self.kind == "periodic":
            shape = np.exp(-2.0 * np.square(np.sin(math.pi * distance / self.period) / self.length_scale))
        elif self.kind == "matern":
            scaled = math.sqrt(5.0) * distance / self.length_scale
            shape = (1.0 + scaled + np.square(scaled) / 3.0) * np.exp(-scaled)
        else:
            shape = np.exp(-0.5 * np.square(distance / self.length_scale))
        return self.amplitude**2 * shape


@dataclass(frozen=True)
class Functions(BuiltIn):
    """Functions f ~ GP(0, k) with a kernel drawn for each, y = f(x) + noise.

    A scene is a function, a view one of its points. The extra ``kernel`` is :meth:`Kernel.row`, from which the exact
    posterior follows.
    """

    has_images: ClassVar[bool] = False

    kind: KernelKind
    length_scales: tuple[float, float] = (0.1, 0.6)  # smallest and largest
    amplitudes: tuple[float, float] = (0.1, 1.0)  # smallest and largest
    noise: float = 0.02  # standard deviation, on values

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the types and shapes of inputs, values and kernel."""
        points = point_shapes(input_width=1, value_width=1)
        return {**points, KERNEL: ExtraShape("float32", (len(Kernel._fields),), per_view=False)}

    def _draw_kernel(self, rng: np.random.Generator) -> tuple[Kernel, str]:
        kernel = Kernel(
            kind=self.kind,
            length_scale=uniform(rng, *self.length_scales),
            amplitude=uniform(rng, *self.amplitudes),
            period=uniform(rng, *PERIODS) if self.kind == "periodic" else 0.0,
            noise=self.noise,
        )
        name = " ".join([self.kind, *(f"{number:.{DECIMALS}f}" for number in kernel[1:])])
        return Kernel.from_row(kernel.row()), name

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws function ``index`` of a split: its kernel, inputs [V, 1] and values [V, 1], float32."""
        kernel, name, rng = self.draw_content(self._draw_kernel, seed=seed, split=split, index=index)
        inputs = (LARGEST_INPUT * (2.0 * rng.random((self.num_views, 1)) - 1.0)).astype(np.float32)
        covariance = kernel.covariance(inputs, inputs) + kernel.noise**2 * np.eye(self.num_views)
        values = np.einsum("ij,j->i", _cholesky(covariance), _normal(rng, self.num_views))
        extras = {INPUTS: inputs, VALUES: values[:, None].astype(np.float32), KERNEL: kernel.row()}
        return DrawnScene(kernel, name, extras=extras)

    def render_drawn(self, drawn: Sequence[DrawnScene], *, image_size: int, device: torch.device | str) -> Rendering:
        """Returns functions as scenes without images."""
        return rendering_of_points(drawn)


def _normal(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws standard normal numbers [count] (Box & Muller 1958) from uniform ones."""
    radius = np.sqrt(-2.0 * np.log(1.0 - rng.random(count)))
    return radius * np.cos(2.0 * math.pi * rng.random(count))


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    """Returns the lower factor of a positive definite matrix.

    LAPACK's order of summation depends on the number of threads, and so on the number of processes.
    """
    factor = np.zeros_like(matrix)
    for column in range(len(matrix)):
        rest = matrix[column:, column] - np.einsum("ik,k->i", factor[column:, :column], factor[column, :column])
        factor[column:, column] = rest / math.sqrt(rest[0])
    return factor


def _functions(kind: KernelKind, kernel: str) -> Functions:
    return Functions(
        name=f"functions_{kind}",
        num_views=64,
        description=f"functions of one number from Gaussian processes with {kernel}, with the kernel of each",
        kind=kind,
    )


FUNCTIONS: tuple[Functions, ...] = (
    _functions("rbf", "an RBF kernel"),
    _functions("matern", "a Matern-5/2 kernel"),
    _functions("periodic", "a periodic kernel"),
    Functions(
        name="functions_smooth",
        num_views=64,
        description="functions of one number from Gaussian processes with long length scales and more noise",
        kind="rbf",
        length_scales=(0.5, 1.5),
        amplitudes=(0.5, 1.0),
        noise=0.1,
    ),
)
