"""Where scenes are cut: what is context, what is asked, what is scored."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from zoo.config import Settings
from zoo.contract import Task, ViewShape
from zoo.data.camera import POSE_WIDTH, pose_vector
from zoo.episode import Episode, SceneBatch, Views


def images_from_frames(frames: Tensor) -> Tensor:
    """Turns [..., H, W, 3] uint8 frames into [..., 3, H, W] float32 pictures in [0, 1]."""
    return rearrange(frames, "... h w c -> ... c h w").to(torch.float32) / 255.0


class Render(Task):
    """Views of a scene -> pictures at other viewpoints, p(x^q | v^q, (x, v)^{1..N}).

    Context: pictures with poses. Query: a pose (x, y, z, cos yaw, sin yaw, cos pitch, sin pitch). Target: the picture.
    Throughput is counted in scenes.
    """

    class Config(Settings):
        """There is nothing to set."""

    context_kind = "images"
    target_kind = "images"

    def __init__(self, config: Config, *, image_size: int) -> None:
        self.config = config
        self.image_size = image_size

    @property
    def view_shape(self) -> ViewShape:
        return ViewShape(channels=3, height=self.image_size, width=self.image_size, pose_width=POSE_WIDTH)

    @property
    def query_width(self) -> int:
        return POSE_WIDTH

    @property
    def target_shape(self) -> tuple[int, int, int]:
        return (3, self.image_size, self.image_size)

    def __call__(self, batch: SceneBatch, *, num_context: int) -> Episode:
        images = images_from_frames(batch.frames)
        poses = pose_vector(batch.cameras)
        views = Views(
            what=images, where=poses, mask=torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        )
        context, evidence = cut(views, at=num_context)
        return Episode(context=context, query=evidence.where, target=evidence.what, evidence=evidence, key=batch.key)


def cut(views: Views, *, at: int) -> tuple[Views, Views]:
    """Splits views [B, N, ...] into the first ``at`` and the rest."""
    return Views(*(field[:, :at] for field in views)), Views(*(field[:, at:] for field in views))
