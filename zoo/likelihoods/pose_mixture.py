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
from zoo.nn.von_mises import VonMises, bounded, quantile

Coordinate = Literal["x", "y", "z", "yaw", "pitch"]
ANGLES = ("yaw", "pitch")


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
        """Returns log p at any cameras, [..., G], nats.

        Args:
            prediction: [..., C', 1, 1].
            cameras: [..., G, 5], in the order of ``zoo.data.camera.CAMERA_FIELDS``.
        """

    def log_prob(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        return self.log_density(prediction, target.flatten(-3).unsqueeze(-2)).squeeze(-1)


class PoseMixture(PoseLikelihood):
    """Mixture density of cameras, for scenes that look alike from several places:

        p(v) = sum_k pi_k prod_{c in positions} N(v_c; m_kc, s_kc^2) prod_{c in angles} vM(v_c; mu_kc, kappa_kc).

    Only ``coordinates`` are scored: a coordinate that is constant in the data would have an unbounded density.
    Predictions are, for K components: logit of pi; m and the softplus of s per position; a vector in the plane per angle,
    with direction mu and a length that determines kappa (see ``zoo.nn.von_mises.bounded``).

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

    bounded = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.initial_scale <= config.minimum_scale:
            raise ValueError(
                f"initial_scale {config.initial_scale}: must be above minimum_scale {config.minimum_scale}"
            )
        self.config = config
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
        components = self.components(prediction)
        cameras = cameras.to(components.log_weights.dtype)
        expanded = PoseComponents(
            log_weights=components.log_weights.unsqueeze(-2),
            positions=DiagonalGaussian(*(field.unsqueeze(-3) for field in components.positions)),
            angles=VonMises(*(field.unsqueeze(-3) for field in components.angles)),
        )
        return expanded.log_prob(cameras[..., self.positions], cameras[..., self.angles])

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
