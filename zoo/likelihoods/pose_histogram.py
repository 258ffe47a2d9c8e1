"""Histogram densities of camera poses."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Size
from zoo.data.camera import CAMERA_FIELDS
from zoo.episode import ScheduleValues
from zoo.likelihoods.pose_mixture import Coordinate, PoseLikelihood
from zoo.nn.gaussian import at_least_float32
from zoo.nn.noise import sample_categorical

Extent = Annotated[list[float], Field(min_length=2, max_length=2)]


class Axis(NamedTuple):
    """A coordinate divided into equal bins."""

    place: int  # index in a camera
    low: float
    high: float
    bins: int
    circular: bool

    @property
    def width(self) -> float:
        """The width of a bin, in scene units or radians."""
        return (self.high - self.low) / self.bins

    def bin_of(self, values: Tensor) -> Tensor:
        """Returns the bins, int64, of values of any shape; values outside belong to the bin at the edge."""
        index = torch.floor((values - self.low) / self.width).long()
        return index.remainder(self.bins) if self.circular else index.clamp(0, self.bins - 1)


class PoseHistogram(PoseLikelihood):
    """Histogram density of cameras, p(v) = prod_maps mass(bin of v) / volume(bin): maps over (x, y), z, yaw and pitch.

    The discriminative localisation of Rosenbaum et al. 2018 ("Learning models for visual 3D localization with implicit
    mapping", section 4.2), trained by cross-entropy. The constant log-volume makes it a density, comparable with
    ``pose_mixture``. A pose outside of an extent counts into the bin at the edge. Predictions are the logits of all bins:
    of the map over (x, y), flattened with x first, then of z, yaw, pitch.

    No NELBO is below the log-volume of a bin, which is the floor. ``mean`` is the centre of the most probable bin of
    every map, with 0 at other coordinates; ``sample`` is uniform within a bin.
    """

    class Config(PoseLikelihood.Config):
        coordinates: list[Coordinate] = Field(
            default=["x", "y", "z", "yaw", "pitch"],
            min_length=1,
            description="scored coordinates; x and y only together",
        )
        x: Extent = Field(default=[-1.0, 1.0], description="least and largest x, scene units")
        y: Extent = Field(default=[-1.0, 1.0], description="least and largest y, scene units")
        z: Extent = Field(default=[-1.0, 1.0], description="least and largest z, scene units")
        pitch: Extent = Field(default=[-math.pi / 2, math.pi / 2], description="least and largest pitch, radians")
        position_bins: Size = Field(default=60, description="bins of x, and of y")
        z_bins: Size = Field(default=20, description="bins of z")
        yaw_bins: Size = Field(default=60, description="bins of the full circle")
        pitch_bins: Size = Field(default=20, description="bins of the pitch")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if ("x" in config.coordinates) != ("y" in config.coordinates):
            raise ValueError(f"coordinates {config.coordinates}: x and y have one map, so name both or neither")
        for name in ("x", "y", "z", "pitch"):
            low, high = getattr(config, name)
            if low >= high:
                raise ValueError(f"{name} {[low, high]}: the first must be below the second")
        axes = [_axis(config, name) for name in self.coordinates]
        self.maps: list[list[Axis]] = [axes[:2], *([axis] for axis in axes[2:])]
        if "x" not in self.coordinates:
            self.maps = [[axis] for axis in axes]

    def prediction_channels(self, target_channels: int) -> int:
        return sum(self._sizes)

    @property
    def _sizes(self) -> list[int]:
        # A list: torch.compile does not support the generator.
        return [math.prod([axis.bins for axis in axes]) for axes in self.maps]

    @property
    def _log_volume(self) -> float:
        return sum(math.log(axis.width) for axes in self.maps for axis in axes)

    def log_masses(self, prediction: Tensor) -> list[Tensor]:
        """Returns the log-masses [..., bins] of every map for predictions [..., C', 1, 1]; (x, y) is flattened, x first."""
        logits = at_least_float32(prediction).flatten(-3).split(self._sizes, dim=-1)
        return [torch.log_softmax(part, dim=-1) for part in logits]

    def log_density(self, prediction: Tensor, cameras: Tensor) -> Tensor:
        log_masses = [
            log_mass.gather(-1, _joint_bin(axes, cameras))
            for axes, log_mass in zip(self.maps, self.log_masses(prediction), strict=True)
        ]
        return torch.stack(log_masses).sum(0) - self._log_volume

    def floor(self, target_dims: int, schedule: ScheduleValues) -> Tensor:
        return torch.full((), self._log_volume, dtype=torch.float32, device=schedule.sigma.device)

    def mean(self, prediction: Tensor) -> Tensor:
        log_masses = self.log_masses(prediction)
        middle = log_masses[0].new_full((*log_masses[0].shape[:-1], len(CAMERA_FIELDS)), 0.5)
        return self._cameras([log_mass.argmax(-1) for log_mass in log_masses], middle)

    def sample(self, prediction: Tensor, noise: Tensor, schedule: ScheduleValues) -> Tensor:
        within = torch.special.ndtr(noise.flatten(-3).double()).clamp(1e-12, 1.0 - 1e-12).clone()
        bins = []
        for axes, log_mass in zip(self.maps, self.log_masses(prediction), strict=True):
            # One uniform number selects the bin of a map; its remainder is the position within the bin.
            choice = sample_categorical(log_mass, within[..., axes[0].place])
            within[..., axes[0].place] = choice.uniform
            bins.append(choice.category)
        return self._cameras(bins, within.to(at_least_float32(prediction).dtype))

    def _cameras(self, bins: list[Tensor], within: Tensor) -> Tensor:
        """Returns cameras [..., 5, 1, 1] in bins [...] of every map, at positions [..., 5] in (0, 1) within the bins."""
        cameras = torch.zeros_like(within)
        for axes, index in zip(self.maps, bins, strict=True):
            for axis in axes[::-1]:
                cameras[..., axis.place] = axis.low + axis.width * (index % axis.bins + within[..., axis.place])
                index = index // axis.bins
        return cameras[..., None, None]


def _axis(config: PoseHistogram.Config, name: str) -> Axis:
    place = CAMERA_FIELDS.index(name)
    if name == "yaw":
        return Axis(place, -math.pi, math.pi, config.yaw_bins, circular=True)
    low, high = getattr(config, name)
    bins = {"z": config.z_bins, "pitch": config.pitch_bins}.get(name, config.position_bins)
    return Axis(place, low, high, bins, circular=False)


def _joint_bin(axes: list[Axis], cameras: Tensor) -> Tensor:
    """Returns the bins [..., G] of a map for cameras [..., G, 5]."""
    joint = torch.zeros_like(cameras[..., 0], dtype=torch.int64)
    for axis in axes:
        joint = joint * axis.bins + axis.bin_of(cameras[..., axis.place])
    return joint
