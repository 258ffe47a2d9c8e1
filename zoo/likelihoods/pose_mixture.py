"""Mixture densities of camera poses: Gaussians over positions, von Mises over angles."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from zoo.config.settings import Settings, Size
from zoo.data.camera import CAMERA_FIELDS
from zoo.episode import ScheduleValues
from zoo.model.interfaces import Likelihood
from zoo.nn.gaussian import DiagonalGaussian, at_least_float32
from zoo.nn.noise import sample_categorical

Coordinate = Literal["x", "y", "z", "yaw", "pitch"]
ANGLES = ("yaw", "pitch")
TINY = 1e-12  # added under the root, so that the gradient of a length exists at 0
REACH = 12.0  # standard deviations in a table of quantiles; the density beyond is less than e^-29 of that of the mode
TABLE = 2049  # points of a table of quantiles, 0.012 standard deviations apart


class PoseComponents(NamedTuple):
    """The K components of every query, with P scored positions and A scored angles."""

    log_weights: Tensor  # [..., K]; weights sum to 1 over K
    positions: DiagonalGaussian  # [..., K, P]
    angles: VonMises  # [..., K, A]

    def log_prob(self, positions: Tensor, angles: Tensor) -> Tensor:
        """Returns log p, [...], nats, at positions [..., P] and angles [..., A]."""
        log_prob = self.positions.log_prob(positions.unsqueeze(-2)).sum(-1)
        log_prob = log_prob + self.angles.log_prob(angles.unsqueeze(-2)).sum(-1)
        return torch.logsumexp(self.log_weights + log_prob, dim=-1)


class PoseLikelihood(Likelihood):
    """Base of likelihoods of cameras, of which only some coordinates are scored."""

    class Config(Settings):
        coordinates: list[Coordinate] = Field(default=["x", "y", "yaw"], min_length=1, description="scored coordinates")

    target_kinds = frozenset({"poses"})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if len(set(config.coordinates)) < len(config.coordinates):
            raise ValueError(f"coordinates {config.coordinates}: each may be named once")
        self.coordinates: tuple[str, ...] = tuple(name for name in CAMERA_FIELDS if name in config.coordinates)

    @abstractmethod
    def log_density(self, prediction: Tensor, cameras: Tensor) -> Tensor:
        """Returns log p, [..., G], nats, at any cameras [..., G, 5], for predictions [..., C', 1, 1]."""

    def log_prob(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        return self.log_density(prediction, target.flatten(-3).unsqueeze(-2)).squeeze(-1)


class PoseMixture(PoseLikelihood):
    """Mixture density of cameras, for scenes that look alike from several places:

        p(v) = sum_k pi_k prod_{c in positions} N(v_c; m_kc, s_kc^2) prod_{c in angles} vM(v_c; mu_kc, kappa_kc).

    Only ``coordinates`` are scored: a coordinate that is constant in the data would have an unbounded density.
    Predictions are, for K components: logit of pi; m and the softplus of s per position; a vector in the plane per angle,
    with direction mu and a length that determines kappa (see ``bounded``).

    The floor is 0, and an excess may be negative, since the density grows as s falls to ``minimum_scale``. ``mean`` is
    the mode of the component with the largest weight, with 0 at other coordinates. ``sample`` is exact with one normal
    number per coordinate: the first also selects the component; angles by inversion of their distribution function.
    """

    class Config(PoseLikelihood.Config):
        components: Size = Field(default=8, description="K, components of the mixture")
        position_scale: float = Field(default=1.0, gt=0, description="half the width of the scenes, scene units")
        initial_scale: float = Field(
            default=1.0, gt=0, description="standard deviation of a position at parameter 0, scene units"
        )
        minimum_scale: float = Field(default=0.02, gt=0, description="least deviation of a position, scene units")
        maximum_concentration: float = Field(
            default=2000.0, gt=0, description="largest concentration of an angle; 2000 is a deviation of 1.3 degrees"
        )

    config: Config
    bounded = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.initial_scale <= config.minimum_scale:
            raise ValueError(
                f"initial_scale {config.initial_scale}: must be above minimum_scale {config.minimum_scale}"
            )
        self.positions = [CAMERA_FIELDS.index(name) for name in self.coordinates if name not in ANGLES]
        self.angles = [CAMERA_FIELDS.index(name) for name in self.coordinates if name in ANGLES]
        # Components with equal means differentiate slowly.
        self.starts: Tensor
        self.register_buffer("starts", _spread_points(config.components, len(self.positions)), persistent=False)

    def prediction_channels(self, target_channels: int) -> int:
        return self.config.components * (1 + 2 * len(self.positions) + 2 * len(self.angles))

    def components(self, prediction: Tensor) -> PoseComponents:
        """Reads predictions [..., C', 1, 1]."""
        config, positions, angles = self.config, len(self.positions), len(self.angles)
        numbers = at_least_float32(prediction).flatten(-3).unflatten(-1, (config.components, -1))
        logits, means, rhos, cosines, sines = numbers.split([1, positions, positions, angles, angles], dim=-1)
        slope = (config.initial_scale - config.minimum_scale) / math.log(2.0)
        scales = config.minimum_scale + slope * F.softplus(rhos)
        return PoseComponents(
            log_weights=torch.log_softmax(logits[..., 0], dim=-1),
            positions=DiagonalGaussian(
                mean=config.position_scale * (self.starts.to(means.dtype) + means), log_scale=torch.log(scales)
            ),
            angles=bounded(cosines, sines, maximum=config.maximum_concentration),
        )

    def log_density(self, prediction: Tensor, cameras: Tensor) -> Tensor:
        components = self.components(prediction.unsqueeze(-4))
        cameras = cameras.to(components.log_weights.dtype)
        return components.log_prob(cameras[..., self.positions], cameras[..., self.angles])

    def mean(self, prediction: Tensor) -> Tensor:
        components = self.components(prediction)
        heaviest = self._chosen(components, components.log_weights.argmax(-1))
        return self._cameras(heaviest.positions.mean, heaviest.angles.mode)

    def sample(self, prediction: Tensor, noise: Tensor, schedule: ScheduleValues) -> Tensor:
        components = self.components(prediction)
        uniform = torch.special.ndtr(noise.flatten(-3).double()).clamp(1e-12, 1.0 - 1e-12)
        first = CAMERA_FIELDS.index(self.coordinates[0])
        choice = sample_categorical(components.log_weights, uniform[..., first])
        uniform = torch.cat([uniform[..., :first], choice.uniform.unsqueeze(-1), uniform[..., first + 1 :]], dim=-1)
        chosen = self._chosen(components, choice.category)
        positions = chosen.positions.sample(torch.special.ndtri(uniform[..., self.positions]))
        turns = quantile(uniform[..., self.angles], concentration=chosen.angles.concentration)
        return self._cameras(positions, torch.remainder(chosen.angles.mode + turns + math.pi, 2.0 * math.pi) - math.pi)

    @staticmethod
    def _chosen(components: PoseComponents, index: Tensor) -> PoseComponents:
        """Selects one component per query by indices [...]: fields are [...] and [..., P or A]."""

        def chosen(field: Tensor) -> Tensor:
            indices = index[..., None, None].expand(*index.shape, 1, field.shape[-1])
            return field.gather(-2, indices).squeeze(-2)

        return PoseComponents(
            log_weights=chosen(components.log_weights.unsqueeze(-1)).squeeze(-1),
            positions=DiagonalGaussian(*map(chosen, components.positions)),
            angles=VonMises(*map(chosen, components.angles)),
        )

    def _cameras(self, positions: Tensor, angles: Tensor) -> Tensor:
        """Returns cameras [..., 5, 1, 1] of positions [..., P] and angles [..., A], with 0 at other coordinates."""
        cameras = positions.new_zeros(*positions.shape[:-1], len(CAMERA_FIELDS))
        cameras[..., self.positions] = positions
        cameras[..., self.angles] = angles
        return cameras[..., None, None]


def _spread_points(count: int, dimensions: int) -> Tensor:
    """Returns points spread evenly over the cube [-1, 1]^dimensions, the first in its centre, [count, dimensions].

    The additive sequence with the powers of 1 / phi, phi^(d + 1) = phi + 1, modulo 1.
    """
    phi = 2.0
    for _ in range(40):
        phi = (1.0 + phi) ** (1.0 / (dimensions + 1))
    steps = torch.tensor([phi ** -(place + 1) for place in range(dimensions)], dtype=torch.float64)
    points = 2.0 * torch.remainder(0.5 + torch.arange(count).unsqueeze(-1) * steps, 1.0) - 1.0
    return points.to(torch.float32)


class VonMises(NamedTuple):
    """Von Mises distributions of independent angles, in float32 or better; both fields have the same shape:

        p(t; a, b) = exp(a cos t + b sin t) / (2 pi I0(kappa)),  kappa = |(a, b)|,  mode atan2(b, a).

    Unlike separate angle and length, the natural parameters are not singular at the uniform distribution.
    """

    cosine: Tensor  # a
    sine: Tensor  # b

    @property
    def concentration(self) -> Tensor:
        """Returns kappa."""
        return torch.sqrt(self.cosine.square() + self.sine.square() + TINY)

    @property
    def mode(self) -> Tensor:
        """Returns the most probable angle, radians in (-pi, pi]."""
        return torch.atan2(self.sine, self.cosine)

    def log_prob(self, angle: Tensor) -> Tensor:
        """Returns the log-density at angles (radians, any number of turns), nats."""
        along = self.cosine * torch.cos(angle) + self.sine * torch.sin(angle)
        return along - log_bessel(self.concentration) - math.log(2.0 * math.pi)


def log_bessel(concentration: Tensor) -> Tensor:
    """Returns log I0(kappa) for kappa >= 0, by the scaled function, which does not overflow."""
    return torch.log(torch.special.i0e(concentration)) + concentration


def bounded(cosine: Tensor, sine: Tensor, *, maximum: float) -> VonMises:
    """Maps two outputs of a network to natural parameters u (1 + |u|^2) with a concentration of ``maximum`` at most.

    Outputs of length 10 give a concentration of a thousand (two degrees), outputs near 0 nearly a uniform distribution.
    """
    squared = cosine.square() + sine.square()
    factor = torch.minimum(1.0 + squared, maximum / torch.sqrt(squared + TINY))
    return VonMises(cosine=cosine * factor, sine=sine * factor)


def quantile(uniform: Tensor, *, concentration: Tensor) -> Tensor:
    """Returns quantiles, for ``uniform`` [...] in (0, 1), of a von Mises distribution with mode 0: angles in [-pi, pi].

    The density is tabulated over twelve standard deviations on each side (at most the circle), integrated by the
    trapezoidal rule in float64 and inverted linearly between the points.
    """
    kappa = concentration.double()
    half_width = (REACH / torch.sqrt(kappa + TINY)).clamp(max=math.pi)
    places = torch.linspace(-1.0, 1.0, TABLE, dtype=torch.float64, device=kappa.device)
    angles = half_width[..., None] * places
    density = torch.exp(-2.0 * kappa[..., None] * torch.sin(0.5 * angles).square())
    mass = torch.cumulative_trapezoid(density, dim=-1)
    wanted = uniform.double()[..., None] * mass[..., -1:]
    above = torch.searchsorted(mass, wanted).clamp(max=TABLE - 2)
    reached = mass.gather(-1, above)
    before = torch.where(above > 0, mass.gather(-1, (above - 1).clamp(min=0)), torch.zeros_like(reached))
    share = (wanted - before) / (reached - before)
    step = half_width[..., None] * (2.0 / (TABLE - 1))
    return (angles.gather(-1, above) + share * step)[..., 0].to(concentration.dtype)
