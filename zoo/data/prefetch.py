"""Batches copied to a GPU while it computes: pinned memory, a stream of their own, one batch ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import torch

from zoo.data.batches import LoadedBatch, to_device

Item = TypeVar("Item")
Started = TypeVar("Started")
Finished = TypeVar("Finished")


def one_ahead(
    items: Iterable[Item], *, start: Callable[[Item], Started], finish: Callable[[Started], Finished]
) -> Iterator[Finished]:
    """Finishes items in order, each when the next has been started; ``start`` does not wait, ``finish`` may.

    Raises:
        Exception: from ``items``, after all items before it.
    """
    started: list[Started] = []
    failure: Exception | None = None
    coming = iter(items)
    while failure is None:
        try:
            started.append(start(next(coming)))
        except StopIteration:
            break
        except Exception as error:  # raised below, after the items before it
            failure = error
        else:
            if len(started) > 1:
                yield finish(started.pop(0))
    for last in started:
        yield finish(last)
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
        return one_ahead(batches, start=side.start, finish=side.finish)
    if device.type == "cpu":
        return (loaded._replace(batch=loaded.batch.apply(torch.clone)) if borrowed else loaded for loaded in batches)
    return (loaded._replace(batch=loaded.batch.apply(lambda field: field.to(device))) for loaded in batches)
