import numpy as np
import pytest
import torch

from zoo.config.recipe import Range, TrainingRecipe
from zoo.data import worker_batches as module
from zoo.data.plan import Share, TrainingPlan, assemble
from zoo.data.source import ExtraShape
from zoo.data.worker_batches import SharedBatches, number_of_workers, worker_batches
from zoo.errors import ConfigError, DataError

RECIPE = TrainingRecipe(steps=9, batch_size=4, contexts=Range(minimum=0, maximum=3), targets=2)


class Numbered:
    """Scenes whose numbers are their images."""

    name, split, revision = "numbered", "train", "0"
    num_scenes, num_views, image_size = 50, 6, 2

    def __init__(self, *, damaged=()):
        self.damaged = damaged
        self.extras = {"note": ExtraShape("float32", (3,), per_view=False)}

    def read(self, scenes, views):
        for scene in scenes.tolist():
            if scene in self.damaged:
                raise DataError(f"scene {scene} is damaged")
        numbers = scenes[:, None] * self.num_views + views
        frames = np.broadcast_to(numbers[..., None, None, None], (*views.shape, 2, 2, 3)).astype(np.uint8)
        return frames, np.broadcast_to(numbers[..., None], (*views.shape, 5)).astype(np.float32)

    def read_extras(self, scenes, views):
        return {"note": np.broadcast_to(scenes[:, None], (len(scenes), 3)).astype(np.float32)}


def plan_of(source):
    return TrainingPlan(source, recipe=RECIPE, seed=7)


def same(found, expected):
    for left, right in zip(found[:4], expected[:4], strict=True):
        assert left.dtype == right.dtype and torch.equal(left, right)
    assert torch.equal(found.extras["note"], expected.extras["note"])
    return True


@pytest.mark.parametrize("views_per_message", [1, 70])
def test_long_runs_over_slots_that_are_used_again_and_again(monkeypatch, views_per_message):
    """One and seven pieces a message; 37 steps in two pieces each fill the slots many times and the last message partly."""
    monkeypatch.setattr(module, "VIEWS_PER_MESSAGE", views_per_message)
    source, share = Numbered(), Share(accumulation=2)
    plan, start, stop = plan_of(source), 3, 40
    count = 0
    for index, (batch, num_context) in enumerate(
        worker_batches(source, plan=plan, share=share, workers=1, start=start, stop=stop)
    ):
        step, piece = divmod(index + 2 * start, 2)
        part = share.part(plan(step), piece)
        assert num_context == part.num_context and same(batch, assemble(source, part, seed=7, step=step))
        count += 1
    assert count == 2 * (stop - start)


def items_of(source, *, pieces, num_slots=2, together=3):
    shared = SharedBatches(source, num_slots=num_slots, batches_per_slot=together, num_scenes=4, max_views=5)
    return module._Pieces(source, plan=plan_of(source), share=Share(), shared=shared, pieces=pieces)


def test_pieces_before_a_damaged_one_arrive_with_its_error():
    plan = plan_of(Numbered())
    bad = int(plan(4).scenes[1])
    assert not any(bad in plan(step).scenes for step in (2, 3))
    items = items_of(Numbered(damaged=(bad,)), pieces=range(2, 9, 3))
    found = items[2]
    assert len(found.sizes) == 2 and str(found.failure) == f"scene {bad} is damaged"
    for place, (step, (num_views, num_context)) in enumerate(zip((2, 3), found.sizes, strict=True)):
        batch = items.shared.batch(0, place, num_views=num_views)
        assert num_context == plan(step).num_context
        assert same(batch, assemble(Numbered(), plan(step), seed=7, step=step))


def test_items_take_slots_in_turn_and_the_last_may_be_short():
    items = items_of(Numbered(), pieces=range(2, 9, 3))
    assert [(items[first].slot, len(items[first].sizes)) for first in items.pieces] == [(0, 3), (1, 3), (0, 1)]
    assert items.shared.index.tolist() == [[8, 3, 4], [5, 6, 7]]


@pytest.mark.parametrize(
    ("device", "resident", "cores", "processes", "expected"),
    [
        ("cpu", False, 64, 1, 0),
        ("cpu", True, 64, 1, 0),
        ("cuda", True, 64, 1, 0),
        ("cuda", False, 1, 1, 0),
        ("cuda", False, 2, 1, 1),
        ("cuda", False, 4, 1, 3),
        ("cuda", False, 64, 1, 4),
        ("cuda", False, 16, 8, 1),
        ("cuda", False, 4, 8, 0),
    ],
)
def test_workers_by_default(device, resident, cores, processes, expected):
    options = {"device": torch.device(device), "resident": resident, "cores": cores, "local_processes": processes}
    assert number_of_workers("auto", **options) == expected
    assert number_of_workers(3, **options) == 3
    with pytest.raises(ConfigError, match="workers: found -2, expected 0 or more"):
        number_of_workers(-2, **options)
