"""Decoding only what is expected, and changing sizes by plain averaging."""

import io

import numpy as np
import pytest
from PIL import Image

from zoo.data.images import decode_image, encode_jpeg, resize_images
from zoo.errors import DataError


def encoded(array, kind="PNG", mode=None):
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, format=kind)
    return buffer.getvalue()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_png_comes_back_exactly_and_jpeg_nearly():
    image = noise(9, 9, 3)
    np.testing.assert_array_equal(decode_image(encoded(image), origin="here", image_size=9), image)
    smooth = np.broadcast_to(np.linspace(0, 255, 16)[:, None, None], (16, 16, 3)).astype(np.uint8)
    decoded = decode_image(encode_jpeg(smooth, quality=95), origin="here")
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - smooth).max() <= 6


def test_color_survives_jpeg_at_full_resolution():
    red_and_blue = np.zeros((16, 16, 3), dtype=np.uint8)
    red_and_blue[:, ::2, 0] = 255
    red_and_blue[:, 1::2, 2] = 255
    decoded = decode_image(encode_jpeg(red_and_blue, quality=95), origin="here")
    assert np.abs(decoded.astype(int) - red_and_blue).max() < 40


def test_gray_images_become_rgb():
    decoded = decode_image(encoded(noise(8, 8), kind="JPEG", mode="L"), origin="here")
    assert decoded.shape == (8, 8, 3)
    np.testing.assert_array_equal(decoded[..., 0], decoded[..., 2])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be decoded"),
        (b"\xff\xd8\xff\xe0 no image", "cannot be decoded"),
        (encoded(noise(8, 8, 3))[:60], "cannot be decoded"),
        (encoded(noise(8, 8, 3), kind="JPEG")[:-100], "cannot be decoded"),
        (encoded(noise(8, 8, 3), kind="BMP"), "cannot be decoded"),
        (encoded(noise(8, 6, 3)), "is 6 x 8 pixels"),
        (encoded(noise(9, 9, 3)), "is 9 x 9 pixels, expected 8 x 8"),
    ],
)
def test_anything_else_is_refused(data, message):
    with pytest.raises(DataError, match=f"f: record 1: frame 2: .*{message}"):
        decode_image(data, origin="f: record 1: frame 2", image_size=8)


def test_a_header_that_announces_gigabytes_is_refused_before_decoding():
    data = bytearray(encoded(noise(8, 8, 3)))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(DataError):
        decode_image(bytes(data), origin="here")
    data[16:24] = (5_000).to_bytes(4, "big") * 2
    with pytest.raises(DataError):
        decode_image(bytes(data), origin="here")


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_divisor_averages_blocks_and_rounds_half_up(factor):
    images = noise(2, 3, 12, 12, 3)
    small = resize_images(images, image_size=12 // factor)
    for i in range(12 // factor):
        block = images[:, :, i * factor : (i + 1) * factor, :factor].astype(np.float64)
        np.testing.assert_array_equal(small[:, :, i, 0], np.floor(block.mean(axis=(2, 3)) + 0.5).astype(np.uint8))


@pytest.mark.parametrize("size", [5, 7, 20])
def test_other_sizes_keep_a_flat_image_flat_and_every_image_its_place(size):
    flat = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * 40 * np.ones((12, 12, 3), dtype=np.uint8)
    resized = resize_images(flat, image_size=size)
    assert resized.shape == (2, 3, size, size, 3)
    np.testing.assert_array_equal(resized, flat[:, :, :1, :1] * np.ones((size, size, 3), dtype=np.uint8))


def test_the_same_size_changes_nothing():
    images = noise(1, 2, 5, 5, 3)
    np.testing.assert_array_equal(resize_images(images, image_size=5), images)
