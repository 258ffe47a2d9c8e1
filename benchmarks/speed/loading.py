"""Views per second of every way of loading, in turns, on the same scenes and plan.

A view counts when training uses it, as context or target, at the sizes of Eslami et al. 2018: 36 scenes a step, 1 to 5
context views and one target of 15 views. Two ways are those of public code: records whose 15 images are all decoded before
some are selected, and one compressed file per scene. They yield uint8 here, without public code's conversion to floats.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import torch

from benchmarks.speed.record import Findings, Size
from zoo.config.recipe import TrainingRecipe
from zoo.data.convert import DeepMindWriter
from zoo.data.deepmind import DeepMindScenes
from zoo.data.images import resize_images
from zoo.data.loader import TrainingLoader
from zoo.data.plan import LoadedBatch, TrainingPlan
from zoo.data.source import ExtraShape, SceneSource
from zoo.data.store import SceneStore
from zoo.data.store_writer import StoreWriter
from zoo.evaluation.timing import time_interleaved

PART = "loading"
ACTION = "views of training batches on the CPU"
SPEED, AGAINST_RECORDS = "speed", "against TFRecords with all views decoded"

RESIDENT: Final = "resident"
STORE: Final = "store"
STORE_WITH_WORKERS: Final = "store with workers"
RECORDS: Final = "TFRecords, wanted views decoded"
RECORD_LOOP: Final = "TFRecords, all views decoded"
SCENE_FILES: Final = "a file a scene, all views read"
# Steps that are timed together.
STEPS: Mapping[str, int] = {
    RESIDENT: 100, STORE: 50, STORE_WITH_WORKERS: 50, RECORDS: 2, RECORD_LOOP: 2, SCENE_FILES: 2
}  # fmt: skip

NUM_VIEWS: Final = 15  # per scene, as in shepard_metzler_5_parts
NOISE_SIZE: Final = 8  # pixels; enlarged noise compresses about as well as rendered images
ENDLESS: Final = 1_000_000_000  # steps


class WholeScenes:
    """A source that reads all views of a scene and then selects some, as public GQN code does.

    Args:
        source: of the same scenes.
        read_scene: reads frames [V, H, W, 3] and cameras [V, 5] of one scene.
    """

    def __init__(self, source: SceneSource, read_scene: Callable[[int], tuple[np.ndarray, np.ndarray]]) -> None:
        self._read_scene = read_scene
        self.name, self.split, self.revision = source.name, source.split, source.revision
        self.num_scenes, self.num_views, self.image_size = source.num_scenes, source.num_views, source.image_size
        self.extras: Mapping[str, ExtraShape] = MappingProxyType({})

    def read(self, scenes: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads views of scenes; see :meth:`zoo.data.source.SceneSource.read`."""
        found = [self._read_scene(scene) for scene in scenes.tolist()]
        frames = [frames[some] for (frames, _), some in zip(found, views, strict=True)]
        cameras = [cameras[some] for (_, cameras), some in zip(found, views, strict=True)]
        return np.stack(frames), np.stack(cameras)

    def read_extras(self, scenes: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """Returns nothing."""
        return {}


def smooth_scenes(num_scenes: int, *, image_size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws images of enlarged noise [n, V, H, W, 3] uint8 and cameras [n, V, 5] float32."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (num_scenes * NUM_VIEWS, NOISE_SIZE, NOISE_SIZE, 3), dtype=np.uint8)
    frames = resize_images(noise, image_size=image_size)
    cameras = rng.uniform(-1.0, 1.0, size=(num_scenes, NUM_VIEWS, 5)).astype(np.float32)
    return frames.reshape(num_scenes, NUM_VIEWS, image_size, image_size, 3), cameras


def write_all_formats(folder: Path, *, num_scenes: int, image_size: int) -> None:
    """Writes the same scenes as ``store``, ``records`` (TFRecords) and ``files`` (NPZ, one per scene) to a folder."""
    frames, cameras = smooth_scenes(num_scenes, image_size=image_size)
    with StoreWriter(
        folder / "store", name="clouds", image_size=image_size, num_views=NUM_VIEWS, provenance={}
    ) as store:
        store.add("train", frames, cameras)
    with DeepMindWriter(folder / "records", records_per_file=64) as records:
        records.add("train", frames, cameras)
        records.add("validation", frames[:1], cameras[:1])  # otherwise some training scenes are held out
    (folder / "files").mkdir()
    for index in range(num_scenes):
        np.savez_compressed(folder / "files" / f"{index}.npz", frames=frames[index], cameras=cameras[index])


def sources_of(folder: Path) -> dict[str, SceneSource]:
    """Returns the sources of what :func:`write_all_formats` wrote, by way of loading."""
    store, records = SceneStore(folder / "store", "train"), DeepMindScenes(folder / "records", "train")
    all_views = np.arange(NUM_VIEWS)[None]

    def read_record(scene: int) -> tuple[np.ndarray, np.ndarray]:
        frames, cameras = records.read(np.array([scene]), all_views)
        return frames[0], cameras[0]

    def read_file(scene: int) -> tuple[np.ndarray, np.ndarray]:
        with np.load(folder / "files" / f"{scene}.npz", allow_pickle=False) as file:
            return file["frames"], file["cameras"]

    return {
        RESIDENT: store,
        STORE: store,
        STORE_WITH_WORKERS: store,
        RECORDS: records,
        RECORD_LOOP: WholeScenes(records, read_record),
        SCENE_FILES: WholeScenes(store, read_file),
    }


def loaders_of(
    folder: Path, *, device: torch.device | str = "cpu", workers: int = 2, batch_size: int = 36
) -> dict[str, TrainingLoader]:
    """Returns every way of loading what :func:`write_all_formats` wrote, by name."""
    return {
        name: TrainingLoader(
            source,
            plan=TrainingPlan(source, recipe=TrainingRecipe(batch_size=batch_size), seed=0),
            device=device,
            workers=workers if name == STORE_WITH_WORKERS else 0,
            residence="device" if name == RESIDENT else "disk",
        )
        for name, source in sources_of(folder).items()
    }


def draw(batches: Iterator[LoadedBatch], *, steps: int) -> int:
    """Draws the batches of some steps and returns the number of their views."""
    views = 0
    for _ in range(steps):
        frames = next(batches).batch.frames
        views += frames.shape[0] * frames.shape[1]
    return views


def loading(findings: Findings, *, size: Size, repeats: int) -> None:
    """Measures all ways of loading on the CPU; scenes are written to a temporary folder."""
    findings.log("loading of data, every way in turns")
    num_scenes, pixels = (48, 16) if size == "quick" else (256, 64)
    repeats = max(repeats, 2)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        write_all_formats(Path(folder), num_scenes=num_scenes, image_size=pixels)
        batches = {name: way.pieces(start=0, stop=ENDLESS) for name, way in loaders_of(Path(folder)).items()}
        for iterator in batches.values():
            if close := getattr(iterator, "close", None):
                stack.callback(close)
        speeds = views_per_second(batches, repeats=repeats)
    for name, values in speeds.items():
        findings.add(values, SPEED, "views/s", subject=name, action=ACTION)
        findings.add(values / speeds[RECORD_LOOP], AGAINST_RECORDS, "times", subject=name, action=ACTION)
    findings.notes.append(
        f"Scenes of {NUM_VIEWS} views of {pixels}x{pixels} pixels; 1 to 5 context views and one target of 36 scenes a "
        "step; a view counts when training uses it."
    )


def views_per_second(batches: Mapping[str, Iterator[LoadedBatch]], *, repeats: int) -> dict[str, np.ndarray]:
    """Times the drawing of ``STEPS`` batches of every way in turns; returns views per second, [repeats]."""
    counts: dict[str, list[int]] = {name: [] for name in batches}

    def action(name: str) -> Callable[[], object]:
        return lambda: counts[name].append(draw(batches[name], steps=STEPS[name]))

    def before(name: str) -> Callable[[], object]:
        # What workers read ahead during the other ways' turns does not count.
        return lambda: draw(batches[name], steps=max(1, STEPS[name] // 4))

    seconds = time_interleaved(
        {name: action(name) for name in batches},
        repeats=repeats,
        before={name: before(name) for name in batches},
    )
    return {name: np.array(counts[name][-repeats:]) / seconds[name] for name in batches}
