"""Captures that cannot be imported: one sentence each, that names file, field, found and expected; nothing is written."""

import json
import math
import struct
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
from capture_folders import plain_shots, write_colmap, write_nerfstudio, write_synthetic
from PIL import Image

from zoo.data.captures.importing import ImportOptions, import_captures
from zoo.errors import DataError

SHOTS = plain_shots(3)
OPTIONS = ImportOptions(image_size=8, up="z")


def refused(folder, *parts, target=None, options=OPTIONS):
    """Imports a folder, expects one sentence with all parts, and that nothing is left."""
    target = target or folder.parent / "store"
    with pytest.raises(DataError) as caught:
        import_captures([folder], target, options=options)
    sentence = str(caught.value)
    assert all(part in sentence for part in parts), sentence
    assert not target.exists() and not list(folder.parent.glob(".writing-*"))


def edited(folder, change):
    """Writes a folder of nerfstudio whose ``transforms.json`` was changed by ``change(content)``."""
    path = write_nerfstudio(folder, SHOTS) / "transforms.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda c: c.pop("frames"), ["transforms.json: frames: ", "required"]),
        (lambda c: c["frames"].clear(), ["frames: ", "at least 1 item"]),
        (lambda c: c["frames"][1].pop("file_path"), ["frames.1.file_path: ", "required"]),
        (lambda c: c["frames"][1]["transform_matrix"][0].pop(), ["frames.1.transform_matrix.0: ", "at least 4"]),
        (
            lambda c: c["frames"][1]["transform_matrix"][0].__setitem__(0, "1"),
            ["frames.1.transform_matrix.0.0: ", "'1'"],
        ),
        (
            lambda c: c["frames"][1]["transform_matrix"][0].__setitem__(3, math.nan),
            ["transform_matrix.0.3: ", "finite"],
        ),
        (
            lambda c: c["frames"][2].update(transform_matrix=(2 * np.eye(4)).tolist()),
            ["frames.2: transform_matrix", "3"],
        ),
        (
            lambda c: c["frames"][2].update(transform_matrix=np.diag([1.0, 1, -1, 1]).tolist()),
            ["frames.2: transform_matrix", "right-handed"],
        ),
        (
            lambda c: c.update(k1=0.02),
            ["frames.0: k1: found a distortion of 0.02, expected at most 0.001", "undistort"],
        ),
        (lambda c: c["frames"][1].update(p2=-0.5), ["frames.1: p2: found a distortion of -0.5"]),
        (lambda c: c.update(camera_model="OPENCV_FISHEYE"), ["camera_model: ", "'PINHOLE'", "OPENCV_FISHEYE"]),
        (lambda c: c.update(fl_x=-5.0), ["fl_x: ", "greater than 0", "-5.0"]),
        (lambda c: c.pop("fl_x"), ["frames.0: fl_x and camera_angle_x: both are missing"]),
        (
            lambda c: c.update(w=48),
            ["000.png: the image is 24 x 24 pixels", "transforms.json: frames.0 states 48 x 24"],
        ),
        (lambda c: c["frames"][1].update(file_path="/"), ["/.png: this image is missing"]),
        (lambda c: c["frames"][1].update(file_path="a\0b"), ["cannot be decoded"]),
        (lambda c: c["frames"][1].update(file_path="images/none.png"), ["images/none.png: this image is missing"]),
    ],
)
def test_a_damaged_transforms_file_is_refused(tmp_path, change, parts):
    refused(edited(tmp_path / "in", change), *parts)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", "\udcff"])
def test_a_file_that_is_no_json_object_is_refused(tmp_path, text):
    folder = write_nerfstudio(tmp_path / "in", SHOTS)
    (folder / "transforms.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(folder, "transforms.json: ")


CAMERAS = "sparse/0/cameras.txt"
IMAGES = "sparse/0/images.txt"


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        (
            CAMERAS,
            "PINHOLE",
            "OPENCV",
            ["camera 7: the model is OPENCV, expected SIMPLE_PINHOLE or PINHOLE", "undistort"],
        ),
        (CAMERAS, "PINHOLE", "SIMPLE_PINHOLE", ["camera 7: SIMPLE_PINHOLE has 4 parameters, expected 3"]),
        (CAMERAS, "7 PINHOLE 24", "7 PINHOLE x", ["cameras.txt: line 2: found '7 PINHOLE x", "expected CAMERA_ID"]),
        (CAMERAS, "7 PINHOLE 24 24 ", "7 PINHOLE 24 24 -", ["camera 7: the parameters are", "positive focal length"]),
        (
            CAMERAS,
            "7 PINHOLE 24",
            "7 PINHOLE 25",
            ["the image is 24 x 24 pixels, but sparse/0/cameras.txt states 25 x 24"],
        ),
        (CAMERAS, "7 PINHOLE", "8 PINHOLE", ["images.txt: 000.png: camera 7 is not in sparse/0/cameras.txt"]),
        (IMAGES, "1 ", "1", ["images.txt: line ", "expected IMAGE_ID QW"]),
        (IMAGES, "1.5 2.5 -1\n", "", ["images.txt: line 5: found '1 ", "expected X Y POINT3D_ID"]),
        (IMAGES, "001.png", "none/001.png", ["images/none/001.png: this image is missing"]),
    ],
)
def test_a_damaged_text_model_of_colmap_is_refused(tmp_path, file, old, new, parts):
    folder = write_colmap(tmp_path / "in", SHOTS)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    refused(folder, *parts)


def test_a_quaternion_of_another_length_is_refused(tmp_path):
    folder = write_colmap(tmp_path / "in", SHOTS)
    lines = (folder / IMAGES).read_text().splitlines()
    number, _, *rest = lines[1].split()
    (folder / IMAGES).write_text("\n".join([lines[0], " ".join([number, "9.0", *rest]), *lines[2:]]))
    refused(folder, "images.txt: line 2: the quaternion QW QX QY QZ has length 9", "expected 1")


def test_a_model_without_images_or_without_a_file_is_refused(tmp_path):
    folder = write_colmap(tmp_path / "in", SHOTS)
    (folder / IMAGES).write_text("# none\n")
    refused(folder, "images.txt: lists no images")
    (folder / CAMERAS).unlink()
    refused(folder, "cameras.txt: is missing")
    write_colmap(tmp_path / "other", SHOTS)
    (tmp_path / "other" / "images").rename(tmp_path / "other" / "photographs")
    refused(tmp_path / "other", "other/images: is missing")


def test_a_binary_model_without_pycolmap_says_how_to_convert_it(tmp_path, monkeypatch):
    folder = write_colmap(tmp_path / "in", SHOTS, model="sparse")
    for name in ("cameras", "images"):
        (folder / "sparse" / f"{name}.txt").rename(folder / "sparse" / f"{name}.bin")
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    refused(folder, "sparse: this COLMAP model is binary", "colmap model_converter", "--output_type TXT", "[colmap]")


def binary_model(folder):
    """Writes a capture whose model is binary, and returns the folder of the model."""
    pycolmap = pytest.importorskip("pycolmap")
    model = write_colmap(folder, SHOTS, model="sparse") / "sparse"
    pycolmap.Reconstruction(str(model)).write_binary(str(model))
    for file in model.glob("*.txt"):
        file.unlink()
    return model


def test_a_damaged_binary_model_is_refused(tmp_path):
    model = binary_model(tmp_path / "in")
    (model / "cameras.bin").write_text("# comment\n7 PINHOLE 16 16 10.0 10.0 8.0 8.0\n")
    refused(model.parent, "sparse: pycolmap cannot read this model")


def test_a_binary_file_of_images_that_ends_early_is_refused_before_pycolmap_fills_the_memory(tmp_path, monkeypatch):
    model = binary_model(tmp_path / "in")
    monkeypatch.setattr("pycolmap.Reconstruction", lambda path: pytest.fail("pycolmap reads the damaged file"))
    path = model / "images.bin"
    whole = path.read_bytes()
    number_of_points = whole.index(b"\0", 8 + 64) + 1  # of the first image
    far_too_many = whole[: number_of_points + 2] + b"\x3b" + whole[number_of_points + 3 :]
    announced = (10**18).to_bytes(8, "little") + whole[8:]
    for damaged in (far_too_many, announced, *(whole[:length] for length in range(8, len(whole), 5))):
        path.write_bytes(damaged)
        expected = 10**18 if damaged is announced else len(SHOTS)
        refused(model.parent, "sparse/images.bin: ends within image ", f"expected {expected} images")


def test_folders_without_a_known_format_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty: has neither transforms.json nor transforms_train.json nor a COLMAP model")
    refused(tmp_path / "none", "none: is no folder")


def announced_bomb():
    """A PNG whose header announces 30000 x 30000 pixels."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def test_an_image_that_cannot_be_decoded_is_refused(tmp_path):
    folder = write_nerfstudio(tmp_path / "in", SHOTS)
    image = folder / "images" / "001.png"
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(image)
    whole = image.read_bytes()
    for data in (b"", b"text", announced_bomb(), whole[: len(whole) // 2]):
        image.write_bytes(data)
        refused(folder, "images/001.png: cannot be decoded as JPEG or PNG")
    Image.fromarray(np.zeros((24, 24), np.uint16)).save(image)
    refused(folder, "images/001.png: has pixels of mode I;16, expected 8 bits per channel")


def test_a_roll_beyond_the_limit_is_refused(tmp_path):
    shots = [SHOTS[0], SHOTS[1]._replace(roll=math.radians(-12.0)), SHOTS[2]]
    folder = write_nerfstudio(tmp_path / "in", shots)
    refused(
        folder,
        "001.png: is rolled by -12.0 degrees with z up, expected at most 5 (--max-roll)",
        options=replace(OPTIONS, max_roll=5.0),
    )
    # The wrong axis up looks like a roll.
    refused(write_colmap(tmp_path / "colmap", SHOTS), "with -y up", options=replace(OPTIONS, up=None))


def test_an_image_that_does_not_cover_the_field_of_view_is_refused(tmp_path):
    folder = write_synthetic(tmp_path / "in", plain_shots(3, degrees=39.6))
    refused(folder, "train/000.png: its field of view of 39.6 x 39.6 degrees", "the 50 x 50 degrees", "--fill edge")
    exact = write_synthetic(tmp_path / "exact", plain_shots(3, degrees=50.0))
    import_captures([exact], tmp_path / "written", options=OPTIONS)
    turned = [shot._replace(roll=math.radians(10.0)) for shot in plain_shots(3, degrees=52.0)]
    refused(write_nerfstudio(tmp_path / "turned", turned), "52.0 x 52.0 degrees, rolled by 10.0, does not cover")


def test_options_that_do_not_fit_are_refused(tmp_path):
    folder = write_nerfstudio(tmp_path / "in", SHOTS)
    for change, parts in (
        ({"views": 4}, ["in: views: found 4, expected 1 to 3, its number of images"]),
        ({"scale": 0.0}, ["scale: found 0, expected a positive number"]),
        ({"radius": math.nan}, ["radius: found nan"]),
        ({"scale": 1.0, "radius": 2.0}, ["radius: cannot be given together with scale"]),
        ({"image_size": 0}, ["image_size: found 0"]),
        ({"split": "tset"}, ["split: 'tset' is unknown"]),
        ({"centre": (0.0, 0.0, 0.0), "scale": 1e9}, ["cameras: the x of camera"]),
    ):
        refused(folder, *parts, options=replace(OPTIONS, **change))


def test_cameras_that_do_not_determine_the_centre_or_the_vertical_are_refused(tmp_path):
    same = [SHOTS[0], SHOTS[0]]
    folder = write_nerfstudio(tmp_path / "in", same)
    refused(folder, "all cameras look in one direction", "--centre")
    refused(folder, "--up auto needs images in different directions", options=replace(OPTIONS, up="auto"))
    at = tuple(SHOTS[0].camera[:3].tolist())
    refused(folder, "all cameras are at the centre", options=replace(OPTIONS, centre=at, radius=1.0))


def test_an_existing_target_is_never_overwritten(tmp_path):
    folder = write_nerfstudio(tmp_path / "in", SHOTS)
    with pytest.raises(DataError, match="in: exists already"):
        import_captures([folder], folder, options=OPTIONS)
    assert (folder / "transforms.json").exists()
