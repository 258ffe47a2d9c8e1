"""The four kinds of parts that a variant is made of, and what each declares about itself.

A part states what it offers and needs as class attributes; a combination that does not fit is refused in one sentence
when a variant is resolved, before anything is built. Parts are made as ``Component(config, ...shapes)`` where ``config`` is
the part's own ``Config``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

from einops import rearrange
from torch import Tensor, nn

from zoo.config.settings import Settings
from zoo.data.source import ExtraShape
from zoo.episode import CoreOutput, Episode, SceneBatch, ScheduleValues, Views
from zoo.nn.blocks import masked_sum

Feature = Literal["pooled", "per_view"]
ContextKind = Literal["images", "captions", "values", "nothing"]
QueryKind = Literal["poses", "images", "inputs", "nothing"]
TargetKind = Literal["images", "poses", "values"]


class ViewShape(NamedTuple):
    """The shape of one observation: a image [channels, height, width] seen from a pose of ``pose_width`` numbers.

    A value has height and width 1, at an input of ``pose_width`` numbers; a caption has channels, height and width 0,
    because its length may vary from one data set to the next.
    """

    channels: int
    height: int
    width: int
    pose_width: int


class RepresentationShape(NamedTuple):
    """The shape of a scene's representation, a feature map [channels, height, width]; channels 0 means there is none."""

    channels: int
    height: int
    width: int


class Representation(NamedTuple):
    """What an encoder makes of the context of every scene."""

    pooled: Tensor  # [B, C, h, w]: one map a scene, whatever the order of the views
    per_view: Tensor  # [B, N, C, h, w]: one map a view, for cores that attend; a view's map may know of the other views
    mask: Tensor  # [B, N] bool: False is padding


class CoreShapes(NamedTuple):
    """The shapes between which a latent core is built."""

    representation: RepresentationShape
    query: tuple[int, ...]  # of one query: (P,) or, for images, (C, H, W)
    target: tuple[int, int, int]  # [C, H, W] of one target
    prediction_channels: int  # channels of the likelihood's parameters at every pixel
    pose_width: int = 7  # of the poses or inputs at which context and evidence were observed

    @property
    def query_width(self) -> int:
        """P, for queries that are poses or inputs."""
        (width,) = self.query
        return width


class Component(ABC):
    """What all parts share: a typed ``Config`` of their own, checked when the class is defined."""

    Config: ClassVar[type[Settings]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if inspect.isabstract(cls):
            return
        config = getattr(cls, "Config", None)
        if not (isinstance(config, type) and issubclass(config, Settings)):
            raise TypeError(
                f"{cls.__module__}.{cls.__qualname__}: needs a class attribute 'Config' derived from zoo.config.settings.Settings"
            )


class Task(Component):
    """Cuts scenes into episodes: what is context, what is asked, what is scored."""

    throughput_unit: ClassVar[str] = "scenes"
    has_images: ClassVar[bool] = True  # False: for data without images, whose image_size is 0
    context_kind: ClassVar[ContextKind]  # what an encoder reads
    target_view_kind: ClassVar[ContextKind]  # what the targets are as views
    query_kind: ClassVar[QueryKind]  # what a core is asked with
    target_kind: ClassVar[TargetKind]  # what a core predicts and a likelihood scores

    @abstractmethod
    def __init__(self, config: Settings, *, image_size: int) -> None: ...

    @property
    @abstractmethod
    def view_shape(self) -> ViewShape:
        """The shape of one observation of the context."""

    @property
    @abstractmethod
    def query_shape(self) -> tuple[int, ...]:
        """The shape of one query: (P,) for poses and inputs, (C, H, W) for images."""

    @property
    @abstractmethod
    def target_shape(self) -> tuple[int, int, int]:
        """The shape [C, H, W] of one target."""

    @property
    def extras(self) -> Mapping[str, ExtraShape]:
        """What the data must hold beside images and cameras. A size of 0 in a shape means that any will do."""
        return {}

    @abstractmethod
    def __call__(self, batch: SceneBatch, *, num_context: int) -> Episode:
        """Cuts a batch [B, V, ...] after its first ``num_context`` views."""


class Likelihood(Component, nn.Module):
    """p(target | prediction): log-density, samples, mean, and the least NELBO it allows."""

    target_kinds: ClassVar[frozenset[TargetKind]]  # what it can score
    bounded: bool = True  # True: no NELBO is below ``floor``; False: a density that may become ever sharper
    discrete: ClassVar[bool] = False  # True: probabilities of 8-bit values, for which bits/dim are honest
    uses_sigma: bool = False  # True: ScheduleValues.sigma is a parameter, so a result must state it
    has_mass: ClassVar[bool] = False  # True: ``log_mass`` is there, so that bits/dim can be told

    @abstractmethod
    def prediction_channels(self, target_channels: int) -> int:
        """Returns how many channels a core must predict for targets of so many channels."""

    @abstractmethod
    def log_prob(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        """Returns log p(target), [B, Q], nats, for [B, Q, ...] predictions and targets; sums in float32 or better."""

    @abstractmethod
    def floor(self, target_dims: int, schedule: ScheduleValues) -> Tensor:
        """Returns the least negative log-likelihood of one target, a 0-d tensor, nats; 0 if there is no least."""

    def log_mass(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        """Returns log P of the 8-bit values of images, [B, Q], nats: their code length with the sign turned.

        Of a density it is the mass between half a step below a value and half a step above it, and beyond 0 and 255 to
        infinity, so that the 256 probabilities sum to 1. Arguments as of ``log_prob``.
        """
        if self.discrete:
            return self.log_prob(prediction, target, schedule)
        raise NotImplementedError(f"{type(self).__name__} gives 8-bit values no probability")

    @abstractmethod
    def mean(self, prediction: Tensor) -> Tensor:
        """Returns the target that is shown for a prediction, its mean or location, [..., C, H, W]."""

    @abstractmethod
    def sample(self, prediction: Tensor, noise: Tensor, schedule: ScheduleValues) -> Tensor:
        """Draws targets [..., C, H, W] with standard normal ``noise`` of that shape."""


class Encoder(Component, nn.Module):
    """views -> representation. The order of views does not matter, and a scene without views has one too."""

    context_kind: ClassVar[str]  # the task's context_kind that it understands
    features: ClassVar[frozenset[Feature]]
    views_apart: ClassVar[bool] = False  # True: what is made of a view does not depend on the views beside it

    def __init__(self, config: Settings, *, view: ViewShape) -> None:
        super().__init__()

    @property
    @abstractmethod
    def shape(self) -> RepresentationShape:
        """The shape of the representation of one scene."""

    @abstractmethod
    def forward(self, views: Views) -> Representation:
        """Encodes [B, N, ...] views."""


Encode = Callable[[Views], Representation]


def represent(views: Views, network: Callable[[Tensor, Tensor], Tensor]) -> Representation:
    """Encodes every view by itself and sums over the views of a scene, r = sum_i psi(x^i, v^i).

    Args:
        views: images [B, N, C, H, W] with poses [B, N, P].
        network: psi, from images [B * N, C, H, W] and poses [B * N, P] to maps [B * N, C', h, w].
    """
    images, poses = rearrange(views.values, "b n c h w -> (b n) c h w"), rearrange(views.poses, "b n p -> (b n) p")
    # Both sizes are given: with N = 0 neither could be inferred.
    batch, number = views.mask.shape
    per_view = rearrange(network(images, poses), "(b n) c h w -> b n c h w", b=batch, n=number)
    return Representation(pooled=masked_sum(per_view, views.mask), per_view=per_view, mask=views.mask)


class LatentCore(Component, nn.Module):
    """(representation, query) -> distribution of the target, through latent variables."""

    required_features: ClassVar[frozenset[Feature]]  # what it cannot do without
    optional_features: ClassVar[frozenset[Feature]] = (
        frozenset()
    )  # what it uses if the encoder offers it; neither: only "none" fits
    query_kinds: ClassVar[frozenset[QueryKind]] = frozenset({"poses"})  # what it can be asked with
    target_kinds: ClassVar[frozenset[TargetKind]] = frozenset({"images"})  # what it can predict
    encodes_targets: ClassVar[bool] = False  # True: the posterior reads the targets through the context's encoder
    latents: ClassVar[Literal["query", "scene", "none"]]  # over what the latents range

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
            key: [B] int64, the seeds of the latent noise; the same key gives the same latents. Where only some samples
                are asked for, [B, S], or some samples of some queries, [B, S, Q]: ``sample_keys`` and
                ``scene_sample_keys`` of :mod:`zoo.nn.noise` take all of them.
            encode: the encoder.
            schedule: the temperature scales the prior's standard deviation.
            num_samples: S. Latents of a scene are shared by all its queries, those of a query are drawn for each.
        """


ComponentType = TypeVar("ComponentType", bound=Component)


def find_unique_subclass(module: Any, kind: type[ComponentType], /) -> type[ComponentType]:
    """Returns the one class of a kind that a module defines.

    Raises:
        LookupError: if it defines none or several.
    """
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, kind)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if len(found) != 1:
        raise LookupError(
            f"{module.__name__} defines {len(found)} classes derived from {kind.__name__}, expected exactly one"
        )
    return found[0]
