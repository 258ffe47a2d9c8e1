"""Imported cameras and images equal those that the ray-caster takes directly, whatever the format, lens and roll."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from capture_folders import (
    Lens,
    central_lens,
    plain_shots,
    room,
    shots_of_room,
    write_colmap,
    write_nerfstudio,
    write_synthetic,
)
from scipy.spatial.transform import Rotation

from zoo.data.captures.alignment import DEFAULT_RADIUS, align, align_cameras
from zoo.data.captures.importing import CaptureFolder, ImportOptions, import_captures, read_capture
from zoo.data.render.raycaster import render
from zoo.data.store import SceneStore, read_meta

SIZE = 32
ROLLS = (0.0, 7.0, -9.5, 3.0)
AS_IT_IS = ImportOptions(image_size=SIZE, up="z", centre=(0.0, 0.0, 0.0))
WRITERS = {"nerfstudio": write_nerfstudio, "NeRF-synthetic": write_synthetic, "COLMAP text": write_colmap}


def imported(folders, target, options=AS_IT_IS):
    """Returns the report, images [V, H, W, 3] and cameras [V, 5] of the first scene."""
    report = import_captures(folders, target, options=options)
    store = SceneStore(target, options.split)
    frames, cameras = store.read(np.array([0]), np.arange(store.num_views)[None])
    return report, frames[0], cameras[0]


def directly(shots):
    cameras = torch.stack([shot.camera for shot in shots])
    return render(room(), cameras=cameras[None], image_size=SIZE, samples_per_side=8)[0].numpy(), cameras.numpy()


def check_against_direct_rendering(shots, frames, cameras):
    expected_frames, expected_cameras = directly(shots)
    np.testing.assert_allclose(cameras[:, :3], expected_cameras[:, :3], rtol=0, atol=1e-5)
    turned = cameras[:, 3:] - expected_cameras[:, 3:]
    np.testing.assert_allclose(np.exp(1j * turned), 1.0, rtol=0, atol=1e-5)
    difference = np.abs(frames.astype(float) - expected_frames)
    # A shift by a tenth of a pixel gives 1.7 levels, by half a pixel 6.
    assert difference.mean() < 1.1, difference.mean()


@pytest.fixture(scope="module")
def wide_shots():
    """Views of 70 degrees with roll."""
    with pytest.MonkeyPatch.context() as patch:
        return shots_of_room(lens=central_lens(240, degrees=70.0), rolls=ROLLS, monkeypatch=patch)


def test_all_formats_give_the_store_that_direct_rendering_gives(wide_shots, tmp_path):
    results = {}
    for name, write in WRITERS.items():
        folder = write(tmp_path / name / "in", wide_shots)
        report, frames, cameras = imported([folder], tmp_path / name / "out")
        (scene,) = report
        assert (scene.capture.format, len(scene.images), scene.num_filled) == (name, len(ROLLS), 0)
        assert scene.largest_roll == pytest.approx(9.5, abs=1e-6)
        assert [*map(str, scene.fields_of_view)] == ["70.0 x 70.0"] * 2
        check_against_direct_rendering(wide_shots, frames, cameras)
        results[name] = frames, cameras
    for frames, cameras in results.values():
        np.testing.assert_array_equal(frames, results["nerfstudio"][0])
        np.testing.assert_allclose(cameras, results["nerfstudio"][1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("write", [write_nerfstudio, write_colmap])
def test_unequal_focal_lengths_and_a_centre_beside_the_middle(write, tmp_path, monkeypatch):
    lens = Lens(200, 190, 150.0, 165.0, 108.5, 91.0)
    shots = shots_of_room(lens=lens, rolls=(0.0, 5.0), monkeypatch=monkeypatch)
    _, frames, cameras = imported([write(tmp_path / "in", shots)], tmp_path / "out")
    check_against_direct_rendering(shots, frames, cameras)


def test_intrinsics_of_frames_override_those_of_the_file(tmp_path):
    shots = plain_shots(2)
    captures = [read_capture(write_nerfstudio(tmp_path / kind, shots, intrinsics=kind)) for kind in ("file", "frame")]
    assert [image.intrinsics for image in captures[0].images] == [image.intrinsics for image in captures[1].images]


def test_the_last_row_of_a_matrix_may_be_left_out(tmp_path):
    shots = plain_shots(2)
    folder = write_nerfstudio(tmp_path / "in", shots)
    content = json.loads((folder / "transforms.json").read_text())
    for frame in content["frames"]:
        frame["transform_matrix"].pop()
    (folder / "transforms.json").write_text(json.dumps(content))
    for image, shot in zip(read_capture(folder).images, shots, strict=True):
        np.testing.assert_allclose(image.rotation, shot.rotation, atol=1e-12)


@pytest.mark.parametrize("model", ["", "sparse", "sparse/0", "colmap/sparse/0"])
def test_a_colmap_model_with_one_focal_length_is_found_where_it_lies(model, tmp_path):
    shots = plain_shots(3)
    capture = read_capture(write_colmap(tmp_path / "in", shots, model=model, simple=True))
    assert [image.path.name for image in capture.images] == ["000.png", "001.png", "002.png"]
    for image, shot in zip(capture.images, shots, strict=True):
        np.testing.assert_allclose(image.rotation, shot.rotation, atol=1e-12)
        np.testing.assert_allclose(image.position, shot.camera[:3].numpy(), atol=1e-12)


def test_binary_colmap_models_equal_text(tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    text = write_colmap(tmp_path / "in", plain_shots(3))
    model = text / "sparse" / "0"
    expected = read_capture(text)
    pycolmap.Reconstruction(str(model)).write_binary(str(model))
    for file in model.glob("*.txt"):
        file.unlink()
    capture = read_capture(text)
    assert capture.format == "COLMAP binary" and len(capture.images) == 3
    for image, other in zip(capture.images, expected.images, strict=True):
        assert (image.path, image.intrinsics) == (other.path, other.intrinsics)
        np.testing.assert_allclose(image.rotation, other.rotation, atol=1e-12)
        np.testing.assert_allclose(image.position, other.position, atol=1e-12)


# The axis that points up -> a rotation that takes z to it; for auto an oblique direction.
ROTATIONS = {
    "x": [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
    "-x": [[0, 0, -1], [-1, 0, 0], [0, 1, 0]],
    "y": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "-y": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "z": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    "-z": [[0, 1, 0], [1, 0, 0], [0, 0, -1]],
    "auto": Rotation.from_rotvec([1.9, -0.4, 0.6]).as_matrix(),
}


def in_another_world(capture, world):
    return replace(
        capture,
        images=tuple(
            replace(image, rotation=world @ image.rotation, position=world @ image.position) for image in capture.images
        ),
    )


@pytest.mark.parametrize("up", ["x", "-x", "y", "-y", "z", "-z", "auto"])
def test_the_axis_that_points_up_becomes_z_and_distances_stay(up, tmp_path):
    capture = read_capture(write_nerfstudio(tmp_path / "in", plain_shots(5)))
    expected = align_cameras(capture, align(capture, up="z")).cameras
    # Any rotation that takes z to the axis; a further turn about that axis only adds to the yaw.
    world = np.array(ROTATIONS[up], dtype=np.float64)
    other = in_another_world(capture, world)
    aligned = align_cameras(other, align(other, up=up))
    np.testing.assert_allclose(aligned.rolls, 0.0, atol=1e-9)
    np.testing.assert_allclose(aligned.cameras[:, [2, 4]], expected[:, [2, 4]], atol=1e-9)
    turns = np.exp(1j * (aligned.cameras[:, 3] - expected[:, 3]))
    np.testing.assert_allclose(turns, turns[0], atol=1e-9)
    moved = (expected[:, 0] + 1j * expected[:, 1]) * turns[0]
    np.testing.assert_allclose(aligned.cameras[:, 0] + 1j * aligned.cameras[:, 1], moved, atol=1e-9)


def test_colmap_has_minus_y_up_unless_another_axis_is_named(tmp_path):
    capture = read_capture(write_colmap(tmp_path / "in", plain_shots(3)))
    other = in_another_world(capture, np.array(ROTATIONS["-y"], dtype=np.float64))
    np.testing.assert_allclose(align_cameras(other, align(other)).rolls, 0.0, atol=1e-9)
    assert np.abs(align_cameras(capture, align(capture)).rolls).max() > 0.5


def test_the_point_that_all_see_becomes_the_origin_at_the_distance_of_the_rooms(tmp_path):
    capture = read_capture(write_nerfstudio(tmp_path / "in", plain_shots(6)))
    point = np.array([0.4, -2.0, 1.3])
    facing = []
    for image in capture.images:
        backward = (image.position - point) / np.linalg.norm(image.position - point)
        right = np.cross([0.0, 0.0, 1.0], backward)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(backward, right), backward], axis=1)
        facing.append(replace(image, rotation=rotation))
    capture = replace(capture, images=tuple(facing))
    alignment = align(capture)
    np.testing.assert_allclose(alignment.centre, point, atol=1e-9)
    cameras = align_cameras(capture, alignment).cameras
    assert np.linalg.norm(cameras[:, :3], axis=1).mean() == pytest.approx(DEFAULT_RADIUS)
    assert pytest.approx(3.26, abs=0.005) == DEFAULT_RADIUS
    assert align(capture, scale=2.0).scale == 2.0
    assert align(capture, centre=(0.0, 0.0, 0.0)).scale == 1.0
    distance = np.linalg.norm([image.position for image in capture.images], axis=1).mean()
    assert align(capture, centre=(0.0, 0.0, 0.0), radius=5.0).scale == pytest.approx(5.0 / distance)


def test_views_are_evenly_spaced_and_folders_with_more_are_thinned(tmp_path):
    many, few = write_nerfstudio(tmp_path / "many", plain_shots(7)), write_synthetic(tmp_path / "few", plain_shots(4))
    report = import_captures([many, few], tmp_path / "out", options=ImportOptions(image_size=8, split="train"))
    assert [image.path.stem for image in report[0].images] == ["000", "001", "003", "005"]
    store = SceneStore(tmp_path / "out", "train")
    assert (store.num_scenes, store.num_views, store.image_size, store.name) == (2, 4, 8, "out")
    frames, _ = store.read(np.array([0]), np.arange(4)[None])
    assert frames[0, :, 4, 4, 0].tolist() == [40, 50, 70, 90]


def test_the_splits_of_a_synthetic_scene_join_in_order(tmp_path):
    folder = write_synthetic(tmp_path / "in", plain_shots(4))
    paths = [str(image.path.relative_to(folder)) for image in read_capture(folder).images]
    assert paths == ["train/000.png", "train/001.png", "val/000.png", "test/000.png"]


def test_transparent_pixels_are_composited_on_white_and_the_rest_is_filled(tmp_path):
    shots = plain_shots(2, degrees=30.0, channels=4)
    shots[0].pixels[:, :, 3] = 0
    shots[1].pixels[:] = (10, 20, 30, 255)
    folder = write_synthetic(tmp_path / "in", shots, splits=("train",))
    for fill, corner in (("white", 255), ("black", 0), ("edge", 10)):
        options = replace(AS_IT_IS, fill=fill)
        report, frames, _ = imported([folder], tmp_path / fill, options)
        assert (report[0].num_transparent, report[0].num_filled) == (1, 2)
        assert (frames[0, 12:20, 12:20] == 255).all()
        assert frames[1, 0, 0, 0] == corner and frames[1, 16, 16].tolist() == [10, 20, 30]


def test_where_the_image_ends_a_pixel_is_the_mean_of_its_area(tmp_path):
    shots = [shot._replace(pixels=np.zeros((240, 240, 3), np.uint8)) for shot in plain_shots(2, size=240, degrees=30.0)]
    folder = write_nerfstudio(tmp_path / "in", shots)
    _, frames, _ = imported([folder], tmp_path / "out", replace(AS_IT_IS, fill="white"))
    covered = (math.tan(math.radians(15)) / math.tan(math.radians(25))) ** 2
    assert 1.0 - frames[0].mean() / 255.0 == pytest.approx(covered, abs=0.005)


def test_the_provenance_records_how_poses_were_mapped(tmp_path):
    folder = write_nerfstudio(tmp_path / "in", plain_shots(3))
    imported([folder], tmp_path / "out")
    provenance = read_meta(tmp_path / "out").provenance
    assert provenance["imported_with"]["up"] == "z" and provenance["imported_with"]["centre"] == [0.0, 0.0, 0.0]
    (scene,) = provenance["scenes"]
    assert scene["images"] == ["images/000.png", "images/001.png", "images/002.png"]
    assert (scene["scale"], scene["format"], scene["files"]) == (1.0, "nerfstudio", ["transforms.json"])
    assert scene["largest_roll_degrees"] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(scene["fields_of_view_degrees"], [[60.0, 60.0]] * 2)


def test_a_photograph_is_reduced_without_a_shift(tmp_path):
    """Thirty source pixels per new one: first reduced by a whole factor that does not divide the size."""
    size = 1007
    shots = plain_shots(2, size=size, degrees=60.0)
    ramp = np.broadcast_to(np.linspace(0, 250, size)[None, :, None], (size, size, 3)).round().astype(np.uint8)
    folder = write_nerfstudio(tmp_path / "in", [shot._replace(pixels=ramp) for shot in shots])
    _, frames, _ = imported([folder], tmp_path / "out")
    tangents = ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1) * math.tan(math.radians(25))
    expected = 250 * (tangents / math.tan(math.radians(30)) + 1) / 2
    np.testing.assert_allclose(frames[0].mean((0, 2)), expected, atol=0.6)


def check_splits(folder, target, *, sizes):
    """Every split has a scene of its own images, from the alignment of all."""
    joined = import_captures([folder], target.with_name("joined"), options=ImportOptions(image_size=8, fill="edge"))
    scenes = import_captures([folder], target, options=ImportOptions(image_size=8, fill="edge", split="files"))
    assert [(scene.split, scene.num_images) for scene in scenes] == list(sizes.items())
    num_views, num_joined = len(scenes[0].images), len(joined[0].images)
    start = 0
    for split, size in sizes.items():
        store = SceneStore(target, split)
        _, cameras = store.read(np.array([0]), np.arange(num_views)[None])
        chosen = start + np.arange(num_views) * size // num_views
        both = SceneStore(target.with_name("joined"), "test").read(np.array([0]), np.arange(num_joined)[None])
        np.testing.assert_array_equal(cameras[0], both[1][0][chosen])
        start += size


def test_every_split_of_a_synthetic_folder_becomes_a_scene_of_it(tmp_path):
    folder = write_synthetic(tmp_path / "in", plain_shots(7))
    check_splits(folder, tmp_path / "out", sizes={"train": 3, "validation": 2, "test": 2})
    assert [scene["split"] for scene in read_meta(tmp_path / "out").provenance["scenes"]] == [
        "train",
        "validation",
        "test",
    ]


def test_lists_of_file_names_assign_images_to_splits(tmp_path):
    names = [f"images/{index:03}.png" for index in range(5)]
    lists = {"train_filenames": names[:3], "test_filenames": names[3:], "val_filenames": []}
    folder = write_nerfstudio(tmp_path / "in", plain_shots(5), **lists)
    check_splits(folder, tmp_path / "out", sizes={"train": 3, "test": 2})


def test_folders_of_several_splits_make_one_store(tmp_path):
    one, other = (write_colmap(tmp_path / name, plain_shots(3)) for name in "ab")
    folders = [CaptureFolder(one, "train"), other, CaptureFolder(other, "train")]
    import_captures(folders, tmp_path / "out", options=ImportOptions(image_size=8, up="z"))
    assert [SceneStore(tmp_path / "out", split).num_scenes for split in ("train", "test")] == [2, 1]
