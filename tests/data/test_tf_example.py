"""tf.train.Example messages, as any TensorFlow writes them."""

import struct

import numpy as np
import pytest
from google.protobuf import descriptor_pool
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.tfrecord import parse_example, serialise_example
from zoo.errors import DataError


def varint(number):
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def by_hand(features):
    entries = [field(1, field(1, name.encode()) + field(2, feature)) for name, feature in features.items()]
    return field(1, b"".join(entries))


FRAMES = field(1, field(1, b"first") + field(1, b"second"))
NUMBERS = np.array([1.5, -2.25, 0.0, 3e30], dtype=np.float32)
PACKED = field(2, field(1, NUMBERS.tobytes()))
UNPACKED = field(2, b"".join(varint(1 << 3 | 5) + struct.pack("<f", number) for number in NUMBERS))


def test_the_written_bytes_are_the_published_message():
    expected = by_hand({"cameras": PACKED, "frames": FRAMES})
    assert serialise_example({"frames": [b"first", b"second"], "cameras": NUMBERS.reshape(2, 2)}) == expected


@pytest.mark.parametrize("cameras", [PACKED, UNPACKED], ids=["packed", "unpacked"])
def test_packed_and_unpacked_floats_are_read(cameras):
    data = by_hand({"frames": FRAMES, "cameras": cameras})
    found = parse_example(data, kinds={"frames": "bytes_list", "cameras": "float_list"}, origin="here")
    np.testing.assert_array_equal(np.array(found["cameras"], dtype=np.float32), NUMBERS)
    assert list(found["frames"]) == [b"first", b"second"]


def test_a_missing_feature_and_one_of_another_kind_are_named():
    data = by_hand({"frames": FRAMES, "label": field(3, field(1, varint(7)))})
    with pytest.raises(DataError, match=r"a: record 4: has no feature 'cameras'; there are \['frames', 'label'\]"):
        parse_example(data, kinds={"frames": "bytes_list", "cameras": "float_list"}, origin="a: record 4")
    with pytest.raises(DataError, match="feature 'label' holds int64_list, expected float_list"):
        parse_example(data, kinds={"label": "float_list"}, origin="here")
    with pytest.raises(DataError, match="feature 'empty' holds nothing"):
        parse_example(by_hand({"empty": b""}), kinds={"empty": "bytes_list"}, origin="here")


def test_the_default_descriptor_pool_is_left_to_tensorflow():
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("zoo.Example")


@settings(max_examples=300, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.binary(max_size=80).map(lambda tail: by_hand({"cameras": tail}))))
def test_any_bytes_are_a_message_or_a_data_error(data):
    try:
        parse_example(data, kinds={"cameras": "float_list"}, origin="here")
    except DataError as error:
        assert str(error).startswith("here: ")
