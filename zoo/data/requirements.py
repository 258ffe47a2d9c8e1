"""Requirements of a model on its data: images of a size and named arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from zoo.data.source import ExtraShape, SceneSource
from zoo.errors import ConfigError


class FolderShape(NamedTuple):
    """The image size and the extras of a folder of scenes that is not opened yet."""

    image_size: int  # height and width, pixels; 0 without images
    extras: Mapping[str, ExtraShape]


@dataclass(frozen=True, kw_only=True)
class DataRequirements:
    """The images and arrays that a variant's task reads of every scene.

    Attributes:
        variant, size, task: names, for messages.
        image_size: height and width of the images in pixels; 0 for a task without images.
        extras: arrays beside images and cameras, by name; a size of 0 in a shape accepts any size.
    """

    variant: str
    size: str
    task: str
    image_size: int
    extras: Mapping[str, ExtraShape]

    def check(self, scenes: SceneSource | FolderShape, *, folder: str | os.PathLike[str]) -> None:
        """Checks that scenes have every array that the task reads, and images of the variant's size.

        Raises:
            ConfigError: with the size or shape found and expected.
        """
        for name, expected in self.extras.items():
            found = scenes.extras.get(name)
            if found is None:
                raise ConfigError(f"{folder}: has no {name}, which task {self.task!r} of {self.variant!r} reads")
            if not _matches(found, expected):
                raise ConfigError(
                    f"{folder}: its {name} are {found.dtype} {list(found.shape)}, but task {self.task!r} of "
                    f"{self.variant!r} reads {expected.dtype} {list(expected.shape)}"
                )
        if scenes.image_size == self.image_size:
            return
        if not scenes.image_size:
            raise ConfigError(
                f"{folder}: has no images but {', '.join(sorted(scenes.extras)) or 'cameras'}; expected images "
                f"of {self.image_size} pixels, which task {self.task!r} of {self.variant!r} reads"
            )
        if not self.image_size:
            raise ConfigError(
                f"{folder}: has images of {scenes.image_size} pixels, but task {self.task!r} of {self.variant!r} reads "
                "data without images"
            )
        raise ConfigError(
            f"{folder}: has images of {scenes.image_size} pixels, but {self.variant!r} at size {self.size!r} reads "
            f"{self.image_size}; use data of {self.image_size} pixels, or train with --set image_size={scenes.image_size} "
            "or another --size"
        )


def _matches(found: ExtraShape, expected: ExtraShape) -> bool:
    return (
        found.dtype == expected.dtype
        and found.per_view == expected.per_view
        and len(found.shape) == len(expected.shape)
        and all(size in (0, here) for size, here in zip(expected.shape, found.shape, strict=True))
    )
