"""Interfaces of the four components of a variant: task, encoder, latent core and likelihood.

A component declares as class attributes what it offers and needs; a combination that does not fit is refused when a
variant is resolved, before anything is built. A component is made from its own ``Config`` and the shapes around it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Settings
from zoo.data.source import ExtraShape
from zoo.episode import CoreOutput, Episode, SceneBatch, ScheduleValues, Views
from zoo.nn.blocks import Pooling, pool_views
from zoo.nn.gaussian import at_least_float32

Feature = Literal["pooled", "per_view"]
ContextKind = Literal["images", "captions", "values", "nothing"]
QueryKind = Literal["poses", "images", "inputs", "nothing"]
TargetKind = Literal["images", "poses", "values"]


class ViewShape(NamedTuple):
    """The shape of one observation: an image [channels, height, width] with a pose of ``pose_width`` numbers.

    Values have height and width 1 and an input of ``pose_width`` numbers. Captions have channels, height and width 0,
    because their length depends on the data set.
    """

    channels: int
    height: int
    width: int
    pose_width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class RepresentationShape(NamedTuple):
    """The shape of the representation of one scene, a feature map; channels 0 means that there is none."""

    channels: int
    height: int
    width: int


class Representation(NamedTuple):
    """The encoded context of every scene."""

    pooled: Tensor  # [B, C, h, w]: one map per scene, invariant to the order of the views
    per_view: Tensor  # [B, N, C, h, w]: one map per view, which may depend on the other views
    mask: Tensor  # [B, N] bool: False is padding


class CoreShapes(NamedTuple):
    """The shapes of the inputs and outputs of a latent core."""

    representation: RepresentationShape
    query: tuple[int, ...]  # of one query: (P,) or, for images, (C, H, W)
    target: tuple[int, int, int]  # [C, H, W] of one target
    prediction_channels: int  # C', channels of the likelihood's parameters
    pose_width: int = 7  # P, of the poses or inputs of the context views
    initial_prediction: tuple[float, ...] = ()  # [C']: parameters from which training starts; empty: zeros

    @property
    def query_width(self) -> int:
        """P of queries that are poses or inputs."""
        (width,) = self.query
        return width


class Component(ABC):
    """Base of all components. A ClassVar without a value is declared by every concrete class."""

    Config: ClassVar[type[Settings]]  # the settings, typed


class Task(Component):
    """Splits scenes into episodes of context, queries and targets. ``__init__`` sets the shapes."""

    has_images: ClassVar[bool] = True  # False: for data without images, whose image_size is 0
    context_kind: ClassVar[ContextKind]  # what an encoder gets
    target_view_kind: ClassVar[ContextKind]  # the targets as views
    query_kind: ClassVar[QueryKind]  # what a core predicts from
    target_kind: ClassVar[TargetKind]  # what a core predicts and a likelihood scores
    view_shape: ViewShape  # of one observation of the context
    query_shape: tuple[int, ...]  # of one query: (P,) for poses and inputs, (C, H, W) for images
    target_shape: tuple[int, int, int]  # [C, H, W] of one target

    @abstractmethod
    def __init__(self, config: Settings, *, image_size: int) -> None: ...

    @property
    def extras(self) -> Mapping[str, ExtraShape]:
        """Further arrays that the data must have, by name. A size of 0 in a shape stands for any size."""
        return {}

    @abstractmethod
    def __call__(self, batch: SceneBatch, *, num_context: int) -> Episode:
        """Splits a batch [B, V, ...] after its first ``num_context`` views."""


class Likelihood(Component, nn.Module):
    """p(target | prediction): log-density, samples, mean, and the least NELBO that is possible."""

    target_kinds: ClassVar[frozenset[TargetKind]]  # what it can score
    bounded: bool = True  # True: no NELBO is below ``floor``; False: a density without an upper bound
    discrete: ClassVar[bool] = False  # True: probabilities of 8-bit values, so that bits/dim are a lossless code length
    uses_sigma: bool = False  # True: ScheduleValues.sigma is a parameter
    has_mass: ClassVar[bool] = False  # True: ``log_mass`` is implemented

    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def prediction_channels(self, target_channels: int) -> int:
        """Returns C', the channels that a core predicts for targets of C channels."""

    def initial_prediction(self, target_channels: int) -> tuple[float, ...]:
        """Returns C' parameters of a grey pixel, mean 0.5, from which predictions of images start: black stalls training."""
        others = self.prediction_channels(target_channels) - target_channels
        return (0.5,) * target_channels + (0.0,) * others

    @abstractmethod
    def log_prob(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        """Returns log p(target), [B, Q], nats, for [B, Q, ...] predictions and targets; sums in float32 or better."""

    def floor(self, target_dims: int, schedule: ScheduleValues) -> Tensor:
        """Returns the least negative log-likelihood of one target, a 0-d tensor, nats; 0 if it is not ``bounded``."""
        return torch.zeros((), dtype=torch.float32, device=schedule.sigma.device)

    def log_mass(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        """Returns log P of the 8-bit values of images, [B, Q], nats: the negative of their lossless code length.

        For a density this is the mass within half a step of a value. The bins of 0 and 255 extend to infinity, so that
        the 256 probabilities sum to 1. Arguments as for ``log_prob``.
        """
        if self.discrete:
            return self.log_prob(prediction, target, schedule)
        raise NotImplementedError(f"{type(self).__name__} has no probabilities of 8-bit values")

    @abstractmethod
    def mean(self, prediction: Tensor) -> Tensor:
        """Returns the point prediction of the target, its mean or location, [..., C, H, W]."""

    @abstractmethod
    def sample(self, prediction: Tensor, noise: Tensor, schedule: ScheduleValues) -> Tensor:
        """Draws targets [..., C, H, W] with standard normal ``noise`` of that shape."""


class Encoder(Component, nn.Module):
    """views -> representation, invariant to the order of the views and defined for scenes without views.

    ``__init__`` sets ``shape``.
    """

    context_kind: ClassVar[str]  # the task's context_kind that it encodes, or "anything"
    features: ClassVar[frozenset[Feature]]
    independent_views: ClassVar[bool] = False  # True: the map of a view does not depend on the other views
    shape: RepresentationShape  # of the representation of one scene

    def __init__(self, config: Settings, *, view: ViewShape) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, views: Views) -> Representation:
        """Encodes views [B, N, ...]; N may be 0."""


class PerViewEncoder(Encoder):
    """r = sum_i psi(x^i, v^i): encodes every view by itself and sums over the views of a scene."""

    class Config(Settings):
        """How the N views of a scene are pooled."""

        pooling: Pooling = Field(
            default="sum",
            description="of the views: their sum (GQN), which grows with N; mean, which forgets N; root, the sum divided by "
            "the square root of N, whose variance does not depend on N",
        )

    features = frozenset({"pooled", "per_view"})
    independent_views = True

    def __init__(self, config: Settings, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        self.pooling: Pooling = config.pooling if isinstance(config, PerViewEncoder.Config) else "sum"

    @abstractmethod
    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        """Returns psi, [n, C, h, w], of the views of all scenes, values [n, ...] with poses [n, P]; n may be 0."""

    def forward(self, views: Views) -> Representation:
        """Encodes views [B, N, ...]."""
        encoded = self.encode_views(views.values.flatten(0, 1), views.poses.flatten(0, 1))
        per_view = encoded.unflatten(0, views.mask.shape)
        pooled = pool_views(per_view, views.mask, pooling=self.pooling)
        return Representation(pooled=pooled, per_view=per_view, mask=views.mask)


Encode = Callable[[Views], Representation]


class LatentCore(Component, nn.Module):
    """(representation, query) -> distribution of the target, through latent variables."""

    required_features: ClassVar[frozenset[Feature]]
    optional_features: ClassVar[frozenset[Feature]] = frozenset()  # neither: only the encoder "none" fits
    query_kinds: ClassVar[frozenset[QueryKind]] = frozenset({"poses"})
    target_kinds: ClassVar[frozenset[TargetKind]] = frozenset({"images"})
    encodes_targets: ClassVar[bool] = False  # True: the posterior encodes the targets with the encoder of the context
    latents: ClassVar[Literal["query", "scene", "none"]]  # one set of latents for each query or scene, or none
    shared_posterior: ClassVar[bool] = False  # True: one network gives prior and posterior; training one trains both

    def __init__(self, config: Settings, *, shapes: CoreShapes) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        """Predicts the targets with latents drawn from the posterior."""

    @abstractmethod
    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        """Predicts [S, B, Q, C', H, W] parameters of the likelihood with latents drawn from the prior.

        Args:
            context: [B, N, ...] views.
            query: [B, Q, ...].
            key: seeds of the latent noise, int64: [B], or [B, S] for some of the samples, or [B, S, Q] for some samples
                of some queries. ``sample_keys`` and ``scene_sample_keys`` of :mod:`zoo.nn.noise` accept all of them.
            encode: the encoder.
            schedule: the temperature scales the prior's standard deviation.
            num_samples: S.
        """


class DeterministicCore(LatentCore):
    """p(y^q | x^q, C) without latents: the KL is zero and the negative log-likelihood is exact."""

    latents = "none"

    @abstractmethod
    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        """Returns the likelihood's parameters [B, Q, C', H, W] at queries [B, Q, ...]."""

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        """Predicts the targets, with a KL and a log-ratio of zero."""
        prediction = self.decode(episode.context, episode.query, encode)
        zeros = at_least_float32(prediction).new_zeros(len(prediction))
        return CoreOutput(prediction=prediction, kl=zeros, log_ratio=zeros)

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        """Predicts the targets; all samples are equal."""
        prediction = self.decode(context, query, encode)
        return prediction.expand(num_samples, *prediction.shape)
