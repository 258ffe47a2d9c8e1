"""The one face that every set of scenes shows to the loader."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class SceneSource(Protocol):
    """One split of a scene set with random access to single views.

    Attributes:
        name: the data set, for example ``shepard_metzler_5_parts``.
        split: ``train``, ``validation`` or ``test``.
        revision: a hexadecimal digest of the contents of the whole data set; part of every result.
        num_scenes: scenes in this split.
        num_views: pictures of every scene.
        image_size: height and width of a picture, in pixels.
    """

    name: str
    split: Split
    revision: str
    num_scenes: int
    num_views: int
    image_size: int

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
