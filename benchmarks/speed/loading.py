"""How many views a second every way of loading gives, measured side by side on the same scenes and the same plan.

A view counts when training uses it, as context or target, at the sizes of Eslami et al. 2018: 36 scenes a step, 1 to 5
context views and one target of 15 views. Two ways are those of public code, not ours: records whose 15 images are all
decoded before some are chosen, and a compressed file a scene that is read whole. They yield uint8 here, where public code
goes on to make floats on the CPU, which flatters them.
"""

from __future__ import annotations

import contextlib
import gc
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch

from benchmarks.speed.whole_scenes import EveryViewRead, FileAScene, write_scene_files
from zoo.config.recipe import TrainingRecipe
from zoo.data.batches import LoadedBatch
from zoo.data.deepmind import DeepMindScenes
from zoo.data.deepmind_writer import DeepMindWriter
from zoo.data.images import resize_images
from zoo.data.loader import TrainingLoader
from zoo.data.plan import TrainingPlan
from zoo.data.source import SceneSource
from zoo.data.store import SceneStore
from zoo.data.store_writer import StoreWriter
from zoo.evaluation.timing import synchronise

RESIDENT: Final = "resident"
STORE: Final = "store"
STORE_WITH_WORKERS: Final = "store with workers"
RECORDS: Final = "TFRecords, wanted views decoded"
RECORD_LOOP: Final = "TFRecords, all views decoded"
SCENE_FILES: Final = "a file a scene, all views read"

NUM_VIEWS: Final = 15  # of a scene, as in shepard_metzler_5_parts
COARSE: Final = (
    8  # pixels of the noise that is enlarged to images: JPEG finds about as much in them as in rendered ones
)
ENDLESS: Final = 1_000_000_000  # steps


class LoadingSpeed(NamedTuple):
    """Views a second of one way of loading."""

    name: str
    median: float
    p10: float
    p90: float
    n: int
    turns: tuple[float, ...]  # n of them; those of several ways with the same index were measured one after the other


def smooth_scenes(num_scenes: int, *, image_size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws images of coloured clouds [n, V, H, W, 3] uint8 and cameras [n, V, 5] float32."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (num_scenes * NUM_VIEWS, COARSE, COARSE, 3), dtype=np.uint8)
    frames = resize_images(coarse, image_size=image_size)
    cameras = rng.normal(size=(num_scenes, NUM_VIEWS, 5)).clip(-1.5, 1.5).astype(np.float32)
    return frames.reshape(num_scenes, NUM_VIEWS, image_size, image_size, 3), cameras


def write_all_formats(folder: Path, *, num_scenes: int, image_size: int) -> None:
    """Writes the same scenes as ``store``, ``records`` (TFRecords) and ``files`` (one a scene) into a folder."""
    frames, cameras = smooth_scenes(num_scenes, image_size=image_size)
    with StoreWriter(
        folder / "store", name="clouds", image_size=image_size, num_views=NUM_VIEWS, provenance={}
    ) as store:
        store.add("train", frames, cameras)
    with DeepMindWriter(folder / "records", records_per_file=64) as records:
        records.add("train", frames, cameras)
        records.add("validation", frames[:1], cameras[:1])  # so that none are held out of the others
    write_scene_files(folder / "files", frames=frames, cameras=cameras)


def loaders_of(
    folder: Path, *, device: torch.device | str = "cpu", workers: int = 2, batch_size: int = 36
) -> dict[str, TrainingLoader]:
    """Returns every way of loading what :func:`write_all_formats` wrote, by name.

    Args:
        folder: what was written.
        device: where batches are wanted.
        workers: processes of the one way that has some.
        batch_size: scenes a step.
    """
    store, records = SceneStore(folder / "store", "train"), DeepMindScenes(folder / "records", "train")

    def loader(source: SceneSource, *, workers: int = 0, resident: bool = False) -> TrainingLoader:
        return TrainingLoader(
            source,
            plan=TrainingPlan(source, recipe=TrainingRecipe(batch_size=batch_size), seed=0),
            device=device,
            workers=workers,
            residence="device" if resident else "disk",
        )

    return {
        RESIDENT: loader(store, resident=True),
        STORE: loader(store),
        STORE_WITH_WORKERS: loader(store, workers=workers),
        RECORDS: loader(records),
        RECORD_LOOP: loader(EveryViewRead(records)),
        SCENE_FILES: loader(FileAScene(folder / "files")),
    }


def views_per_second(batches: Iterator[LoadedBatch], *, seconds: float, device: torch.device | str = "cpu") -> float:
    """Takes batches for a while and returns the views a second; the while ends with a whole batch."""
    device = torch.device(device)
    synchronise(device)
    views, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        batch = next(batches).batch
        views += batch.frames.shape[0] * batch.frames.shape[1]
    synchronise(device)
    return views / (time.perf_counter() - started)


def time_interleaved(
    loaders: Mapping[str, TrainingLoader], *, turns: int, seconds: float, device: torch.device | str = "cpu"
) -> list[LoadingSpeed]:
    """Measures loaders one after the other, turn by turn, so that whatever else the machine does meets all of them.

    Each is run in before it is timed: what its workers read ahead while the others were measured does not count.

    Args:
        loaders: by name.
        turns: that count; one before them does not.
        seconds: of a loader in a turn.
        device: waited for.
    """
    found: dict[str, list[float]] = {name: [] for name in loaders}
    with contextlib.ExitStack() as stack:
        coming = {name: loader.pieces(start=0, stop=ENDLESS) for name, loader in loaders.items()}
        for batches in coming.values():
            if close := getattr(batches, "close", None):
                stack.callback(close)
        gc.collect()
        for turn in range(turns + 1):
            for name, batches in coming.items():
                views_per_second(batches, seconds=seconds / 4, device=device)
                speed = views_per_second(batches, seconds=seconds, device=device)
                if turn:
                    found[name].append(speed)
    return [_summary(name, speeds) for name, speeds in found.items()]


def _summary(name: str, speeds: list[float]) -> LoadingSpeed:
    low, middle, high = (float(value) for value in np.quantile(speeds, [0.1, 0.5, 0.9]))
    return LoadingSpeed(name, median=middle, p10=low, p90=high, n=len(speeds), turns=tuple(speeds))


def measure_loading(
    *,
    device: torch.device | str = "cpu",
    workers: int = 2,
    turns: int = 7,
    seconds: float = 0.2,
    num_scenes: int = 256,
    image_size: int = 64,
    batch_size: int = 36,
) -> list[LoadingSpeed]:
    """Measures every way of loading on scenes that are written for it into a temporary folder.

    Args:
        device: where batches are wanted.
        workers: processes of the one way that has some.
        turns: of every way.
        seconds: of a way in a turn.
        num_scenes: in the folder, 15 views each.
        image_size: pixels, a multiple of 8.
        batch_size: scenes a step.

    Returns:
        The speeds, the fastest way of ours first and those of public code last.

    Raises:
        DiskFullError: if the scenes cannot be written.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_all_formats(folder, num_scenes=num_scenes, image_size=image_size)
        loaders = loaders_of(folder, device=device, workers=workers, batch_size=batch_size)
        return time_interleaved(loaders, turns=turns, seconds=seconds, device=device)
