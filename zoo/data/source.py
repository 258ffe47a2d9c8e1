"""The one face that every set of scenes shows to the loader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

import numpy as np

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class ExtraShape(NamedTuple):
    """What a data set knows of its scenes beside images and cameras: captions, a map, the values of a function."""

    dtype: str  # "uint8", "int64" or "float32"
    shape: tuple[int, ...]  # of one view or of one scene
    per_view: bool


class SceneSource(Protocol):
    """One split of a scene set with random access to single views.

    Attributes:
        name: the data set, for example ``shepard_metzler_5_parts``.
        split: ``train``, ``validation`` or ``test``.
        revision: a hexadecimal digest of the contents of the whole data set; part of every result.
        num_scenes: scenes in this split.
        num_views: images of every scene.
        image_size: height and width of a image, in pixels; 0 for data without images.
        extras: name -> what else is known of every scene.
    """

    name: str
    split: Split
    revision: str
    num_scenes: int
    num_views: int
    image_size: int
    extras: Mapping[str, ExtraShape]

    def read(self, scenes: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads some views of some scenes.

        Args:
            scenes: [B] int64, indices into this split.
            views: [B, N] int64, indices of the views wanted of each scene.

        Returns:
            frames [B, N, H, W, 3] uint8, and cameras [B, N, 5] float32 (x, y, z, yaw, pitch; radians).

        Raises:
            DataError: if a record is damaged; the message names the file and the record.
        """
        ...

    def read_extras(self, scenes: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """Reads what else is known of some scenes.

        Returns:
            name -> [B, N, ...] of the wanted views, or [B, ...] of the scenes.
        """
        ...
