import contextlib

import pytest
import torch

from zoo.data.loader import SideStream, on_device, one_ahead
from zoo.data.plan import LoadedBatch
from zoo.episode import SceneBatch


class Log(list):
    """What happened, in order."""

    def items(self, count, *, failing_at=None):
        for item in range(count):
            if item == failing_at:
                raise OSError(f"item {item}")
            self.append(f"read {item}")
            yield item

    def start(self, item):
        self.append(f"start {item}")
        return item

    def finish(self, item):
        self.append(f"finish {item}")
        return item


@pytest.mark.parametrize("count", [0, 1, 5])
def test_every_item_comes_once_in_order(count):
    log = Log()
    assert list(one_ahead(log.items(count), start=log.start, finish=log.finish)) == list(range(count))
    assert len(log) == 3 * count


def test_the_copy_of_the_next_item_begins_before_an_item_is_handed_out():
    log = Log()
    coming = one_ahead(log.items(9), start=log.start, finish=log.finish)
    assert log == [], "nothing happens before the first is asked for"
    next(coming)
    assert log == ["read 0", "start 0", "read 1", "start 1", "finish 0"]
    log.clear()
    next(coming)
    assert log == ["read 2", "start 2", "finish 1"], "one ahead and no further: memory for two batches"


def test_an_item_is_started_before_the_next_is_read_for_it_may_then_be_overwritten():
    log = Log()
    list(one_ahead(log.items(6), start=log.start, finish=log.finish))
    for item in range(5):
        assert log.index(f"start {item}") < log.index(f"read {item + 1}")


@pytest.mark.parametrize("failing_at", [0, 1, 4])
def test_a_failure_is_raised_after_all_items_before_it(failing_at):
    log, found = Log(), []
    coming = one_ahead(log.items(6, failing_at=failing_at), start=log.start, finish=log.finish)
    with pytest.raises(OSError, match=f"item {failing_at}"):
        found.extend(coming)
    assert found == list(range(failing_at)) and f"start {failing_at + 1}" not in log


class FakeStream:
    def __init__(self, log, name):
        self.log, self.name = log, name

    def record_event(self):
        self.log.append(f"{self.name} records")
        return f"event of {self.name}"

    def wait_event(self, event):
        self.log.append(f"{self.name} waits for {event}")


@pytest.fixture
def gpu(monkeypatch):
    """Streams, pinned memory and the allocator's book-keeping of a GPU that is not there; gives what they were asked."""
    log = []
    computing = FakeStream(log, "computing")

    @contextlib.contextmanager
    def on(stream):
        log.append(f"on {stream.name}")
        yield
        log.append(f"off {stream.name}")

    def pinned(field):
        log.append("pin")
        return field.clone()

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream(log, "side"))
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pinned)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda field, stream: log.append(f"keep for {stream.name}"))
    return log


def loaded(number):
    fields = [torch.full((2, 1), number) for _ in range(4)]
    return LoadedBatch(SceneBatch(*fields, extras={"more": torch.full((2,), number)}), num_context=number)


def test_a_gpu_copies_on_a_separate_stream_and_the_computing_stream_waits_for_that_copy_alone(gpu):
    side = SideStream(torch.device("cpu"))
    under_way = side.start(loaded(3))
    assert gpu == [*["pin"] * 5, "on side", "side records", "off side"]
    gpu.clear()
    batch = side.finish(under_way)
    assert gpu == ["computing waits for event of side", *["keep for computing"] * 5]
    assert batch.num_context == 3 and int(batch.batch.extras["more"][0]) == 3


def test_a_borrowed_batch_may_be_overwritten_once_its_copy_has_begun(gpu):
    side = SideStream(torch.device("cpu"))
    borrowed = loaded(3)
    under_way = side.start(borrowed)
    borrowed.batch.frames.zero_()
    assert torch.equal(side.finish(under_way).batch.frames, loaded(3).batch.frames)


@pytest.mark.parametrize("borrowed", [False, True])
def test_on_a_cpu_only_borrowed_batches_are_copied(borrowed):
    one = loaded(1)
    (found,) = on_device([one], device=torch.device("cpu"), borrowed=borrowed)
    assert (found.batch.frames.data_ptr() == one.batch.frames.data_ptr()) is not borrowed
    assert torch.equal(found.batch.frames, one.batch.frames) and found.num_context == 1
    (elsewhere,) = on_device([one], device=torch.device("meta"), borrowed=borrowed)
    assert elsewhere.batch.frames.device.type == elsewhere.batch.extras["more"].device.type == "meta"
