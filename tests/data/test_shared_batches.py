from dataclasses import dataclass, field

import pytest
import torch

from zoo.data.source import ExtraShape
from zoo.data.worker_batches import SharedBatches


@dataclass
class Shape:
    """The attributes of a source that shared batches read."""

    image_size: int = 7  # 147 bytes an image: no multiple of anything
    extras: dict = field(
        default_factory=lambda: {
            "caption": ExtraShape("uint8", (5,), per_view=True),
            "label": ExtraShape("int64", (), per_view=False),
            "map": ExtraShape("float32", (3, 2), per_view=False),
        }
    )


def named(batch):
    return {name: value for name, value in batch._asdict().items() if name != "extras"} | dict(batch.extras)


def shared_batches(source=None, **sizes):
    return SharedBatches(
        source or Shape(), **{"num_slots": 2, "batches_per_slot": 3, "num_scenes": 3, "max_views": 6} | sizes
    )


@pytest.mark.parametrize("num_views", [1, 2, 6])
def test_a_batch_that_is_written_into_a_slot_is_read_from_it(num_views):
    shared = shared_batches()
    expected = {}
    for slot, place in ((0, 0), (1, 2), (0, 2)):
        batch = shared.batch(0, 0, num_views=num_views)
        made = batch.apply(lambda field: torch.randint(0, 100, field.shape).to(field.dtype))
        shared.write(slot, place, made, index=2**40 + slot + place)
        expected[slot, place] = made
    for (slot, place), made in expected.items():
        found = named(shared.batch(slot, place, num_views=num_views))
        assert all(torch.equal(value, named(made)[name]) and value.is_contiguous() for name, value in found.items())
        assert int(shared.index[slot, place]) == 2**40 + slot + place


def test_fields_have_their_types_and_shapes_and_lie_in_shared_memory():
    fields = named(shared_batches().batch(1, 0, num_views=4))
    assert {name: (value.dtype, tuple(value.shape)) for name, value in fields.items()} == {
        "scene": (torch.int64, (3,)),
        "key": (torch.int64, (3,)),
        "cameras": (torch.float32, (3, 4, 5)),
        "frames": (torch.uint8, (3, 4, 7, 7, 3)),
        "caption": (torch.uint8, (3, 4, 5)),
        "label": (torch.int64, (3,)),
        "map": (torch.float32, (3, 3, 2)),
    }
    assert all(value.is_shared() for value in fields.values())


def test_data_without_images_has_a_slot_too():
    source = Shape(image_size=0, extras={"values": ExtraShape("float32", (2,), per_view=True)})
    batch = shared_batches(source, num_scenes=2, max_views=9).batch(0, 1, num_views=9)
    assert batch.frames.shape == (2, 9, 0, 0, 3) and batch.extras["values"].shape == (2, 9, 2)
