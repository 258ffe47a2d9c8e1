"""Sources that take up whole scenes to use some of their views, as public GQN code does: what loading is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from zoo.data.source import ExtraShape, SceneSource, Split


class EveryViewRead:
    """A source that reads all views of a scene, decoding them where they are encoded, and then chooses.

    Over :class:`zoo.data.deepmind.DeepMindScenes` this is the loop over TFRecords of public code.
    """

    def __init__(self, source: SceneSource) -> None:
        self._source = source
        self.name: str = source.name
        self.split: Split = source.split
        self.revision: str = source.revision
        self.num_scenes: int = source.num_scenes
        self.num_views: int = source.num_views
        self.image_size: int = source.image_size
        self.extras: Mapping[str, ExtraShape] = MappingProxyType({})

    def read(self, scenes: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads some views of some scenes; see :meth:`zoo.data.source.SceneSource.read`."""
        everything = np.broadcast_to(np.arange(self.num_views), (len(scenes), self.num_views))
        frames, cameras = self._source.read(scenes, everything)
        rows = np.arange(len(scenes))[:, None]
        return frames[rows, views], cameras[rows, views]

    def read_extras(self, scenes: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """Returns nothing."""
        return {}


class FileAScene:
    """Scenes in compressed files of their own, whose images are stored decoded: what public converters write.

    Those pickle and gzip; here it is NPZ, which compresses by the same algorithm and needs no code to be executed.

    Args:
        folder: of the files that :func:`write_scene_files` wrote.
    """

    name = "scene-files"
    revision = "0"
    split: Split = "train"
    extras: Mapping[str, ExtraShape] = MappingProxyType({})

    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.glob("*.npz"))
        frames, _ = self._scene(0)
        self.num_scenes: int = len(self._files)
        self.num_views: int = frames.shape[0]
        self.image_size: int = frames.shape[1]

    def _scene(self, scene: int) -> tuple[np.ndarray, np.ndarray]:
        with np.load(self._files[scene], allow_pickle=False) as file:
            return file["frames"], file["cameras"]

    def read(self, scenes: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads some views of some scenes; see :meth:`zoo.data.source.SceneSource.read`."""
        chosen = [
            (frames[some], cameras[some])
            for (frames, cameras), some in zip(map(self._scene, scenes.tolist()), views, strict=True)
        ]
        frames, cameras = zip(*chosen, strict=True)
        return np.stack(frames), np.stack(cameras)

    def read_extras(self, scenes: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """Returns nothing."""
        return {}


def write_scene_files(folder: Path, *, frames: np.ndarray, cameras: np.ndarray) -> None:
    """Writes scenes [n, V, H, W, 3] with their cameras [n, V, 5] for :class:`FileAScene`, into a new folder."""
    folder.mkdir()
    for number, (images, places) in enumerate(zip(frames, cameras, strict=True)):
        np.savez_compressed(folder / f"{number:06d}.npz", frames=images, cameras=places)
