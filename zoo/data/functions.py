"""Functions of one number, drawn from Gaussian processes: data whose best possible prediction is known exactly.

The protocol is that of the public code of Lee et al. 2020 ("Bootstrapping neural processes", NeurIPS): inputs are uniform
in [-2, 2]; length scale in [0.1, 0.6], amplitude in [0.1, 1] and, for the periodic kernel, period in [0.1, 0.5] are
uniform and of each function's own; the noise on values has standard deviation 0.02. ``functions_smooth`` has length scales
in [0.5, 1.5], amplitudes in [0.5, 1] and noise 0.1: small networks come close to its exact posterior within minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch

from zoo.data.built_in import BuiltIn, Rendering
from zoo.data.gaussian_process import Kernel, KernelKind
from zoo.data.points import INPUTS, KERNEL, VALUES, point_shapes, rendering_of_points
from zoo.data.render.rng import uniform
from zoo.data.source import ExtraShape, Split

REACH = 2.0
PERIODS = (0.1, 0.5)
DECIMALS = 3  # hyper-parameters that agree to so many count as the same for the division into splits


@dataclass(frozen=True)
class Functions(BuiltIn):
    """Draws f ~ GP(0, k) with a kernel of its own for every function, y = f(x) + noise.

    A scene is a function, a view one point of it. The extra ``kernel`` is what the exact posterior needs, see
    :meth:`zoo.data.gaussian_process.Kernel.row`.

    Attributes:
        kind: of the kernel.
        length_scales: least and largest length scale.
        amplitudes: least and largest amplitude.
        noise: standard deviation of the noise on values.
    """

    has_images: ClassVar[bool] = False

    kind: KernelKind
    length_scales: tuple[float, float] = (0.1, 0.6)
    amplitudes: tuple[float, float] = (0.1, 1.0)
    noise: float = 0.02

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the types and shapes of inputs, values and kernel."""
        points = point_shapes(input_width=1, value_width=1)
        return MappingProxyType({**points, KERNEL: ExtraShape("float32", (len(Kernel._fields),), per_view=False)})

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

    def draw(self, *, seed: int, split: Split, index: int) -> tuple[Kernel, np.ndarray, np.ndarray]:
        """Draws function ``index`` of a split: its kernel, inputs [V, 1] and values [V, 1], float32."""
        kernel, _, rng = self.draw_content(self._draw_kernel, seed=seed, split=split, index=index)
        inputs = (REACH * (2.0 * rng.random((self.num_views, 1)) - 1.0)).astype(np.float32)
        covariance = kernel.covariance(inputs, inputs) + kernel.noise**2 * np.eye(self.num_views)
        values = np.einsum("ij,j->i", _cholesky(covariance), _normal(rng, self.num_views))
        return kernel, inputs, values[:, None].astype(np.float32)

    def render(
        self,
        *,
        seed: int,
        scene_indices: Sequence[int],
        split: Split,
        image_size: int,
        device: torch.device | str = "cpu",
        samples_per_side: int = 2,
    ) -> Rendering:
        """Draws functions of a split; see :meth:`zoo.data.built_in.BuiltIn.render`."""
        drawn = [self.draw(seed=seed, split=split, index=int(index)) for index in scene_indices]
        kernels, inputs, values = zip(*drawn, strict=True)
        rows = [kernel.row() for kernel in kernels]
        extras = {INPUTS: np.stack(inputs), VALUES: np.stack(values), KERNEL: np.stack(rows)}
        return rendering_of_points(kernels, num_views=self.num_views, extras=extras)


def _normal(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws standard normal numbers [count] (Box & Muller 1958) from uniform ones."""
    radius = np.sqrt(-2.0 * np.log(1.0 - rng.random(count)))
    return radius * np.cos(2.0 * math.pi * rng.random(count))


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    """Returns the lower factor of a positive definite matrix.

    That of LAPACK adds up in an order that depends on the number of threads, and so on the number of processes.
    """
    factor = np.zeros_like(matrix)
    for column in range(len(matrix)):
        rest = matrix[column:, column] - np.einsum("ik,k->i", factor[column:, :column], factor[column, :column])
        factor[column:, column] = rest / math.sqrt(rest[0])
    return factor


def _functions(kind: KernelKind, described: str) -> Functions:
    return Functions(
        name=f"functions_{kind}",
        version=1,
        num_views=64,
        description=f"functions of one number from Gaussian processes with {described}, with the kernel of each",
        kind=kind,
    )


_SMOOTH = Functions(
    name="functions_smooth",
    version=1,
    num_views=64,
    description="functions of one number from Gaussian processes with long length scales and more noise",
    kind="rbf",
    length_scales=(0.5, 1.5),
    amplitudes=(0.5, 1.0),
    noise=0.1,
)

FUNCTIONS: tuple[Functions, ...] = (
    _functions("rbf", "an RBF kernel"),
    _functions("matern", "a Matern-5/2 kernel"),
    _functions("periodic", "a periodic kernel"),
    _SMOOTH,
)
