"""Makes a built-in data set: renders its scenes, in several processes, into a scene store.

The bytes depend on recipe, version, seed, sizes and counts alone, not on the number of processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import torch

from zoo.data.built_in import BuiltIn
from zoo.data.factors.parsing import naming, read_factor_file
from zoo.data.factors.scene_factors import SceneFactors, parse_combinations
from zoo.data.render.recipes import RECIPES
from zoo.data.scene_writer import SceneArrays
from zoo.data.source import SPLITS, Split
from zoo.data.store_writer import StoreWriter
from zoo.errors import DataError, did_you_mean
from zoo.files import check_free_space, sha256_of
from zoo.provenance import usable_cores

# Scenes that a process renders at a time: enough to outweigh the hand-over, few enough that an interrupt, which waits
# for the pieces under way, is answered within a second or two.
SCENES_PER_PIECE = 8
SCENES_PER_PIECE_ON_GPU = 64
# Pieces handed out but not yet written, for each process: bounds the memory when writing is slower than rendering.
PIECES_AHEAD = 3


class _Piece(NamedTuple):
    """Consecutive scenes of one split, rendered together."""

    split: Split
    indices: range
    given: tuple[SceneFactors, ...] = ()  # factors of these scenes; empty: they are drawn
    origin: str = ""  # the file that lists the given factors


def _render(piece: _Piece, *, recipe: BuiltIn, seed: int, image_size: int, device: str) -> SceneArrays:
    if piece.given:
        drawn = []
        for index, given in zip(piece.indices, piece.given, strict=True):
            with naming(f"{piece.origin}: scene {index}"):
                drawn.append(recipe.compose(given, seed=seed, split=piece.split, index=index))
        rendering = recipe.render_drawn(drawn, image_size=image_size, device=device)
    else:
        rendering = recipe.render(
            seed=seed, scene_indices=piece.indices, split=piece.split, image_size=image_size, device=device
        )
    factors = [recipe.factors_of(scene) for scene in rendering.scenes]
    documents = [document.model_dump(mode="json") for document in factors if document is not None]
    return SceneArrays(
        rendering.frames.cpu().numpy(), rendering.cameras.numpy(), dict(rendering.extras), documents or None
    )


def _exit_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _start_worker() -> None:
    """Prepares a process of the pool: one thread; ignores Ctrl-C, which the parent handles; exits with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()


@contextlib.contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Blocks Ctrl-C for processes started in this block, even while they import; the parent gets it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _rendered(
    pieces: Sequence[_Piece], *, render: Callable[[_Piece], SceneArrays], workers: int
) -> Generator[SceneArrays, None, None]:
    """Renders pieces in order, in this process or in ``workers`` others.

    Raises:
        DataError: if a process ends by itself; errors of ``render`` are raised as they are.
    """
    if not workers:
        yield from map(render, pieces)
        return
    # Spawned, not forked: a forked child inherits the locks of torch's threads, held or not.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    pending: deque[Future[SceneArrays]] = deque()
    waiting = iter(pieces)
    try:
        with _interrupt_blocked():
            pending.extend(
                executor.submit(render, piece) for piece in itertools.islice(waiting, workers * PIECES_AHEAD)
            )
        while pending:
            yield pending.popleft().result()
            pending.extend(executor.submit(render, piece) for piece in itertools.islice(waiting, 1))
    except BrokenProcessPool as error:
        raise DataError(
            "workers: a rendering process ended by itself: killed for want of memory (use fewer workers), or started by a "
            "script without an 'if __name__ == \"__main__\":' around this call"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _num_workers(workers: int | None, *, device: str, num_pieces: int) -> int:
    """Returns the number of processes for so many pieces; None takes one for each core, or none on a GPU."""
    if workers is None:
        # One process feeds a GPU; several would each hold a copy of its runtime in the memory of the device.
        wanted = usable_cores() if torch.device(device).type == "cpu" else 0
        # Starting processes takes seconds, so that one or two pieces are rendered here.
        return min(wanted, num_pieces) if min(wanted, num_pieces) > 1 and num_pieces > 2 else 0
    if workers < 0:
        raise DataError(f"workers: {workers} is negative; 0 renders in this process")
    return min(workers, num_pieces)


def check_request(
    recipe_name: str,
    *,
    num_scenes: Mapping[Split, int],
    image_size: int,
    num_views: int | None,
    seed: int,
    device: str,
    hold_out: Sequence[str] = (),
) -> BuiltIn:
    """Returns a recipe with its number of views and what it holds out.

    Raises:
        DataError: if an argument of :func:`make_dataset` is not valid.
    """
    if recipe_name not in RECIPES:
        raise DataError(f"recipe: there is no built-in data set {recipe_name!r}{did_you_mean(recipe_name, RECIPES)}")
    recipe = RECIPES[recipe_name]
    if not num_scenes:
        raise DataError("num_scenes: is empty, expected a number of scenes for one split or more")
    for split, count in num_scenes.items():
        if split not in SPLITS:
            raise DataError(f"num_scenes: unknown split {split!r}{did_you_mean(split, SPLITS)}")
        if count < 1:
            raise DataError(f"num_scenes: {count} scenes for split {split!r}, expected 1 or more")
    if recipe.has_images and (image_size < 1 or image_size % 4):
        raise DataError(f"image_size: {image_size} is not a positive multiple of 4")
    if num_views is not None and num_views < 1:
        raise DataError(f"num_views: {num_views} views per scene, expected 1 or more")
    if seed < 0:
        raise DataError(f"seed: {seed} is negative")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DataError(f"device: {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    held_out = parse_combinations(hold_out, recipe_name=recipe.name, factor_class=recipe.factor_class)
    return dataclasses.replace(recipe, num_views=num_views or recipe.num_views, hold_out=held_out)


def _pieces(
    recipe: BuiltIn,
    counts: Mapping[Split, int],
    *,
    given: Mapping[Split, Sequence[SceneFactors]],
    files: Mapping[Split, str | os.PathLike[str]],
    device: str,
) -> list[_Piece]:
    """Cuts the scenes of all splits into pieces; raises DataError if given factors are not those of the recipe."""
    step = SCENES_PER_PIECE if torch.device(device).type == "cpu" else SCENES_PER_PIECE_ON_GPU
    for split, scenes in given.items():
        for index, factors in enumerate(scenes):
            with naming(f"{files[split]}: scene {index}"):
                recipe.check_factors(factors)
    return [
        _Piece(split, part, tuple(given.get(split, ())[part.start : part.stop]), str(files.get(split, "")))
        for split in SPLITS
        if split in counts
        for part in (range(counts[split])[first : first + step] for first in range(0, counts[split], step))
    ]


def make_dataset(
    recipe_name: str,
    *,
    folder: str | os.PathLike[str],
    num_scenes: Mapping[Split, int] | None = None,
    factor_files: Mapping[Split, str | os.PathLike[str]] = {},
    image_size: int = 64,
    num_views: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    scenes_per_shard: int = 1024,
    hold_out: Sequence[str] = (),
) -> Path:
    """Renders a built-in data set into a scene store and returns its folder; scenes are drawn or listed in files.

    With more than zero workers, new processes are spawned that import the caller's main module; a script that calls
    this does so under ``if __name__ == "__main__":``, as for every use of Python's multiprocessing.

    Args:
        recipe_name: a name of ``zoo.data.render.recipes.RECIPES``.
        folder: of the store; it must not exist, and appears when everything is rendered. An error or an interrupt leaves
            nothing.
        num_scenes: scenes to draw for every split; None with ``factor_files``.
        factor_files: split -> file of factors (see :func:`zoo.data.factors.parsing.read_factor_file`), whose scenes are
            rendered in its order from cameras of the data set. Contents are not checked against the division into splits.
        image_size: height and width, pixels, a multiple of 4; ignored by data without images.
        num_views: images of every scene; None takes as many as the published data set has.
        seed: another seed gives other scenes; of files of factors, other cameras.
        workers: processes that render, each with one thread; 0 renders in this process; None takes one for each
            processor that may be used, or none on a GPU.
        device: of torch.
        progress: called with the number of scenes written and the number wanted, in all splits together.
        scenes_per_shard: scenes in a file of images.
        hold_out: combinations of factors, such as ``shape=cone,colour=red``; see :mod:`zoo.data.factors.scene_factors`.

    Raises:
        DataError: if an argument is not valid, the folder exists, scenes with or without the combinations are too rare, or
            a file of factors is not valid: naming file, scene, field, what was found and what was expected.
        DiskFullError: if the disk has no room for the store, or it cannot be written.
    """
    given = {split: read_factor_file(path) for split, path in factor_files.items()}
    counts = {split: len(scenes) for split, scenes in given.items()} if num_scenes is None else num_scenes
    recipe = check_request(
        recipe_name,
        num_scenes=counts,
        image_size=image_size,
        num_views=num_views,
        seed=seed,
        device=device,
        hold_out=hold_out,
    )
    digests = {split: sha256_of(path) for split, path in sorted(factor_files.items())}
    notes = {"hold_out": list(map(str, recipe.hold_out)), "factors": digests}
    total, done = sum(counts.values()), 0
    # Before a list of pieces is made, which may be as absurdly long as the number of scenes.
    check_free_space(folder, num_bytes=total * recipe.bytes_per_scene(image_size=image_size))
    pieces = _pieces(recipe, counts, given=given, files=factor_files, device=device)
    render = functools.partial(_render, recipe=recipe, seed=seed, image_size=image_size, device=device)
    workers = _num_workers(workers, device=device, num_pieces=len(pieces))
    writing = StoreWriter(
        folder,
        name=recipe.name,
        image_size=image_size if recipe.has_images else 0,
        num_views=recipe.num_views,
        provenance={"recipe": recipe.name, "version": recipe.version, "seed": seed}
        | {key: note for key, note in notes.items() if note},
        extras=recipe.extras(image_size=image_size),
        scenes_per_shard=scenes_per_shard,
    )
    # Closing the generator, which happens first, ends its processes; then the store is completed or given up.
    with writing as writer, contextlib.closing(_rendered(pieces, render=render, workers=workers)) as results:
        for piece, arrays in zip(pieces, results, strict=True):
            writer.add(piece.split, *arrays)
            done += len(piece.indices)
            if progress is not None:
                progress(done, total)
    return Path(folder)
