"""Tasks: which part of a scene is context, query and target."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import ClassVar

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings, Size
from zoo.data.camera import CAMERA_WIDTH, POSE_WIDTH, pose_vector
from zoo.data.source import CAPTIONS, INPUTS, MAP, MAP_CAMERA, VALUES, ExtraShape, map_shapes, point_shapes
from zoo.episode import Episode, SceneBatch, Views
from zoo.model.interfaces import ContextKind, QueryKind, TargetKind, Task, ViewShape


class ImageTask(Task):
    """Base of tasks on images: context of images, queries of poses, targets of images unless a task says otherwise."""

    class Config(Settings):
        """No settings."""

    context_kind: ClassVar[ContextKind] = "images"
    target_view_kind = "images"
    query_kind: ClassVar[QueryKind] = "poses"
    target_kind: ClassVar[TargetKind] = "images"

    def __init__(self, config: Settings, *, image_size: int) -> None:
        self.config = config
        self.image_size = image_size
        self.view_shape = ViewShape(channels=3, height=image_size, width=image_size, pose_width=POSE_WIDTH)
        self.query_shape: tuple[int, ...] = (POSE_WIDTH,)
        self.target_shape = (3, image_size, image_size)


class Render(ImageTask):
    """Novel view synthesis: views of a scene -> images at other poses, p(x^q | v^q, (x, v)^{1..N}).

    Context: images with poses. Query: a pose (x, y, z, cos yaw, sin yaw, cos pitch, sin pitch). Target: the image.
    """

    class Config(Settings):
        map: bool = Field(default=False, description="adds the scene's map, seen by a camera high above, as a target")

    config: Config

    @property
    def extras(self) -> Mapping[str, ExtraShape]:
        return map_shapes(self.image_size) if self.config.map else {}

    def __call__(self, batch: SceneBatch, *, num_context: int) -> Episode:
        context, targets = split_views(image_views(batch), at=num_context)
        if self.config.map:
            frames, cameras = batch.extras[MAP][:, None], batch.extras[MAP_CAMERA][:, None]
            maps = image_views(batch._replace(frames=frames, cameras=cameras))
            targets = Views(*(torch.cat(pair, dim=1) for pair in zip(targets, maps, strict=True)))
        return _values_at_poses(context, targets, key=batch.key)


class CaptionRender(ImageTask):
    """Captions at poses -> images at other poses, p(x^q | v^q, (caption, v)^{1..N}) (Ramalho et al. 2018).

    Context: the UTF-8 bytes of captions [B, N, T], padded with zeros, with poses. Query and target as in ``render``.
    """

    context_kind = "captions"

    def __init__(self, config: Settings, *, image_size: int) -> None:
        super().__init__(config, image_size=image_size)
        self.view_shape = ViewShape(channels=0, height=0, width=0, pose_width=POSE_WIDTH)

    @property
    def extras(self) -> Mapping[str, ExtraShape]:
        return {CAPTIONS: ExtraShape("uint8", (0,), per_view=True)}

    def __call__(self, batch: SceneBatch, *, num_context: int) -> Episode:
        images = image_views(batch)
        context, _ = split_views(images._replace(values=batch.extras[CAPTIONS]), at=num_context)
        _, targets = split_views(images, at=num_context)
        return _values_at_poses(context, targets, key=batch.key)


class Localise(ImageTask):
    """Localisation: views of a scene and an image -> the image's camera, p(v^q | x^q, (x, v)^{1..N}).

    (Rosenbaum et al. 2018.) Context: images with poses. Query: an image. Target: its camera (x, y, z, yaw, pitch), angles
    in radians; the likelihood decides which coordinates are scored.
    """

    query_kind = "images"
    target_kind = "poses"

    def __init__(self, config: Settings, *, image_size: int) -> None:
        super().__init__(config, image_size=image_size)
        self.query_shape = (3, image_size, image_size)
        self.target_shape = (CAMERA_WIDTH, 1, 1)

    def __call__(self, batch: SceneBatch, *, num_context: int) -> Episode:
        context, targets = split_views(image_views(batch), at=num_context)
        cameras = batch.cameras[:, num_context:, :, None, None]
        return Episode(context=context, query=targets.values, target=cameras, target_views=targets, key=batch.key)


class Unconditional(ImageTask):
    """Unconditional image modelling, p(x): targets as in ``render``; context and queries are empty."""

    context_kind = query_kind = "nothing"

    def __init__(self, config: Settings, *, image_size: int) -> None:
        super().__init__(config, image_size=image_size)
        self.view_shape = ViewShape(channels=0, height=0, width=0, pose_width=0)
        self.query_shape = (0,)

    def __call__(self, batch: SceneBatch, *, num_context: int) -> Episode:
        _, targets = split_views(image_views(batch), at=num_context)
        targets = targets._replace(poses=targets.poses[..., :0])
        empty = Views(values=targets.values[:, :0, :0], poses=targets.poses[:, :0], mask=targets.mask[:, :0])
        return _values_at_poses(empty, targets, key=batch.key)


class Regress(Task):
    """Regression of functions: pairs of inputs and values -> values at other inputs, p(y^q | x^q, (x, y)^{1..N}).

    (Garnelo et al. 2018.) A view is one point of a function. Context: values [B, N, C, 1, 1] at inputs [B, N, P]. Query:
    an input. Target: its value, [C, 1, 1].
    """

    class Config(Settings):
        input_width: Size = Field(default=1, description="numbers in an input, P: 1 for curves, 2 for images")
        value_width: Size = Field(default=1, description="numbers in a value, C: 3 for coloured images")

    has_images = False
    context_kind = target_view_kind = target_kind = "values"
    query_kind = "inputs"

    def __init__(self, config: Config, *, image_size: int) -> None:
        self.config = config
        self.view_shape = ViewShape(channels=config.value_width, height=1, width=1, pose_width=config.input_width)
        self.query_shape = (config.input_width,)
        self.target_shape = (config.value_width, 1, 1)

    @property
    def extras(self) -> Mapping[str, ExtraShape]:
        return point_shapes(input_width=self.config.input_width, value_width=self.config.value_width)

    def __call__(self, batch: SceneBatch, *, num_context: int) -> Episode:
        inputs, values = batch.extras[INPUTS], batch.extras[VALUES]
        mask = torch.ones(inputs.shape[:2], dtype=torch.bool, device=inputs.device)
        points = Views(values=values[..., None, None], poses=inputs, mask=mask)
        return _values_at_poses(*split_views(points, at=num_context), key=batch.key)


def images_from_frames(frames: Tensor) -> Tensor:
    """Turns [..., H, W, 3] uint8 frames into [..., 3, H, W] float32 images in [0, 1]."""
    return rearrange(frames, "... h w c -> ... c h w").to(torch.float32) / 255.0


def image_views(batch: SceneBatch) -> Views:
    """Returns all views of a batch, images [B, V, 3, H, W] with poses [B, V, P]."""
    images = images_from_frames(batch.frames)
    mask = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
    return Views(values=images, poses=pose_vector(batch.cameras), mask=mask)


def split_views(views: Views, *, at: int) -> tuple[Views, Views]:
    """Splits views [B, N, ...] into the first ``at`` and the rest."""
    return Views(*(field[:, :at] for field in views)), Views(*(field[:, at:] for field in views))


def _values_at_poses(context: Views, targets: Views, *, key: Tensor) -> Episode:
    """Returns the episode that asks for the values of the target views at their poses."""
    return Episode(context=context, query=targets.poses, target=targets.values, target_views=targets, key=key)


def by_name() -> dict[str, type[Task]]:
    """Returns the tasks by their names in a registry: ``CaptionRender`` is ``caption_render``."""
    return {
        re.sub(r"(?<!^)(?=[A-Z])", "_", value.__name__).lower(): value
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, Task) and not inspect.isabstract(value)
    }
