from dataclasses import dataclass, field

import pytest
import torch

from zoo.data.source import ExtraShape
from zoo.data.worker_batches import ALIGNMENT, SlotLayout


@dataclass
class Shape:
    """As much of a source as a layout looks at."""

    image_size: int = 7  # 147 bytes a image: no multiple of anything
    extras: dict = field(
        default_factory=lambda: {
            "caption": ExtraShape("uint8", (5,), per_view=True),
            "label": ExtraShape("int64", (), per_view=False),
            "map": ExtraShape("float32", (3, 2), per_view=False),
        }
    )


def named(batch):
    return {name: value for name, value in batch._asdict().items() if name != "extras"} | dict(batch.extras)


@pytest.mark.parametrize("num_views", [1, 2, 6])
def test_what_is_written_into_a_slot_is_read_from_it(num_views):
    layout = SlotLayout(Shape(), num_scenes=3, max_views=6)
    slot = torch.zeros(layout.num_bytes, dtype=torch.uint8)
    layout.index(slot).fill_(2**40)
    expected = {}
    for name, place in named(layout.batch(slot, num_views=num_views)).items():
        values = torch.arange(place.numel()).view(place.shape).to(place.dtype) + len(expected)
        place.copy_(values)
        expected[name] = values
    for name, found in named(layout.batch(slot, num_views=num_views)).items():
        assert torch.equal(found, expected[name]), name
    assert int(layout.index(slot)) == 2**40


def test_fields_have_their_types_shapes_and_a_line_of_the_cache_to_begin_on():
    layout = SlotLayout(Shape(), num_scenes=3, max_views=4)
    slot = torch.zeros(layout.num_bytes, dtype=torch.uint8)
    fields = named(layout.batch(slot, num_views=4))
    assert {name: (value.dtype, tuple(value.shape)) for name, value in fields.items()} == {
        "scene": (torch.int64, (3,)),
        "key": (torch.int64, (3,)),
        "cameras": (torch.float32, (3, 4, 5)),
        "frames": (torch.uint8, (3, 4, 7, 7, 3)),
        "caption": (torch.uint8, (3, 4, 5)),
        "label": (torch.int64, (3,)),
        "map": (torch.float32, (3, 3, 2)),
    }
    offsets = [value.data_ptr() - slot.data_ptr() for value in fields.values()]
    assert all(offset > 0 and offset % ALIGNMENT == 0 for offset in offsets)
    assert max(offsets) < layout.num_bytes and layout.num_bytes % ALIGNMENT == 0


def test_data_without_images_has_a_slot_too():
    source = Shape(image_size=0, extras={"values": ExtraShape("float32", (2,), per_view=True)})
    layout = SlotLayout(source, num_scenes=2, max_views=9)
    batch = layout.batch(torch.zeros(layout.num_bytes, dtype=torch.uint8), num_views=9)
    assert batch.frames.shape == (2, 9, 0, 0, 3) and batch.extras["values"].shape == (2, 9, 2)
