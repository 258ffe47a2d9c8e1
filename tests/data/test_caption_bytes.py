import numpy as np
import pytest

from zoo.data.caption_bytes import CAPTION_LENGTH, decode_caption, encode_captions
from zoo.errors import DataError


def test_captions_survive_the_way_to_bytes_and_back():
    captions = ["a red sphere is left of the box.", "", "ein Würfel", "x" * CAPTION_LENGTH]
    encoded = encode_captions(captions)
    assert encoded.shape == (4, 256) and encoded.dtype == np.uint8
    assert [decode_caption(row) for row in encoded] == captions
    assert encode_captions([], 5).shape == (0, 5)
    assert encode_captions(["ab"], 4).tolist() == [[97, 98, 0, 0]]


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        (["fits", "does not"], r"captions\[1\]: takes 8 bytes, expected at most 4"),
        (["äöü"], r"captions\[0\]: takes 6 bytes"),
        (["a\0b"], r"captions\[0\]: holds the character with code 0"),
    ],
)
def test_a_caption_that_would_come_back_changed_is_refused(captions, message):
    with pytest.raises(DataError, match=message):
        encode_captions(captions, 4)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (np.zeros((2, 4), np.uint8), r"found uint8 \[2, 4\], expected uint8 \[length\]"),
        (np.zeros(4, np.int64), r"found int64 \[4\]"),
        (np.array([0xFF, 0], np.uint8), "is not UTF-8"),
    ],
)
def test_what_is_no_caption_is_refused(encoded, message):
    with pytest.raises(DataError, match=message):
        decode_caption(encoded)
