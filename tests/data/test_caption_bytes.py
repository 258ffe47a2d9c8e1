import numpy as np
import pytest

from zoo.data.caption_bytes import CAPTION_LENGTH, encode_captions
from zoo.errors import DataError


def decode(row):
    return row.tobytes().rstrip(b"\0").decode()


def test_captions_survive_the_way_to_bytes_and_back():
    captions = ["a red sphere is left of the box.", "", "ein Würfel", "x" * CAPTION_LENGTH]
    encoded = encode_captions(captions)
    assert encoded.shape == (4, 256) and encoded.dtype == np.uint8
    assert [decode(row) for row in encoded] == captions
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
