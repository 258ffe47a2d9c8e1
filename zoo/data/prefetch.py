"""Batches copied to a GPU while it computes: pinned memory, a stream of their own, one batch ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import torch

from zoo.data.batches import LoadedBatch, to_device

Item = TypeVar("Item")
Started = TypeVar("Started")
Finished = TypeVar("Finished")


def running_ahead(
    items: Iterable[Item],
    *,
    start: Callable[[Item], Started],
    finish: Callable[[Started], Finished],
    ahead: int = 1,
) -> Iterator[Finished]:
    """Finishes items in order, each when ``ahead`` later ones have been started.

    Args:
        items: each is started before the next is asked for.
        start: begins an operation without waiting for it.
        finish: waits for it, or makes its users wait.
        ahead: 0 starts an item when it is asked for.

    Raises:
        Exception: what ``items`` raised, after all items before it.
    """
    under_way: deque[Started] = deque()
    coming = iter(items)
    failure: Exception | None = None
    while failure is None:
        try:
            item = next(coming)
        except StopIteration:
            break
        except Exception as error:  # raised below, after the items before it
            failure = error
            break
        under_way.append(start(item))
        if len(under_way) > ahead:
            yield finish(under_way.popleft())
    while under_way:
        yield finish(under_way.popleft())
    if failure is not None:
        raise failure


class _Copy(NamedTuple):
    loaded: LoadedBatch
    copied: torch.cuda.Event


class SideStream:
    """Copies batches to a GPU in a stream of its own; the host never waits for the GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def start(self, loaded: LoadedBatch) -> _Copy:
        """Begins to copy. The batch may be overwritten at once: its pinned copy stays until the GPU has it."""
        pinned = loaded.batch.apply(lambda field: field.pin_memory())
        with torch.cuda.stream(self._stream):
            batch = to_device(pinned, self._device)
            copied = self._stream.record_event()
        return _Copy(LoadedBatch(batch, loaded.num_context), copied)

    def finish(self, under_way: _Copy) -> LoadedBatch:
        """Makes the computing stream wait for the copy, and keeps its memory until that stream has used it."""
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(under_way.copied)
        for field in (*under_way.loaded.batch[:4], *under_way.loaded.batch.extras.values()):
            field.record_stream(computing)
        return under_way.loaded


def on_device(batches: Iterable[LoadedBatch], *, device: torch.device, borrowed: bool) -> Iterator[LoadedBatch]:
    """Yields batches of the CPU on their device; for a GPU the next one is copied meanwhile.

    Args:
        batches: on the CPU.
        device: where they are wanted.
        borrowed: whether a batch is overwritten when the next is asked for.
    """
    if device.type == "cuda":
        side = SideStream(device)
        return running_ahead(batches, start=side.start, finish=side.finish)
    if device.type == "cpu":
        return (loaded._replace(batch=loaded.batch.apply(torch.clone)) if borrowed else loaded for loaded in batches)
    return (loaded._replace(batch=loaded.batch.apply(lambda field: field.to(device))) for loaded in batches)
