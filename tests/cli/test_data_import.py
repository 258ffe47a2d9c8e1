"""The command that imports images with cameras: what it prints, and mistakes."""

import shlex

from capture_folders import central_lens, plain_shots, shots_of_room, write_colmap, write_synthetic


def test_the_command_says_how_poses_were_mapped_and_the_next_command_works(gqn_zoo, tmp_path, monkeypatch):
    shots = shots_of_room(lens=central_lens(48, degrees=70.0), rolls=(0.0, 2.5, -4.0), monkeypatch=monkeypatch)
    folder, store = write_colmap(tmp_path / "in", shots), tmp_path / "out"
    code, out, err = gqn_zoo(f"data import {folder} -o {store} --image-size 16 --up z --centre 0,0,0.5 --scale 2")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{folder}: COLMAP text (sparse/0/cameras.txt, sparse/0/images.txt), 3 of 3 images, evenly spaced in file order.",
        "  Up in its world is z. Its point (0, 0, 0.5) is the origin, and 1 of its units is 2 scene units.",
        "  The field of view was resampled from 70.0 x 70.0 to 50 x 50 degrees; the largest roll removed is 4.00 degrees.",
        f"{store}: 1 scene(s) of 3 views at 16 pixels in the split test. Next: gqn-zoo data show {store} --split test "
        "-o sheet.png",
    ]
    following = out.split("Next: gqn-zoo ")[1].replace("sheet.png", str(tmp_path / "sheet.png"))
    assert gqn_zoo(*shlex.split(following)).code == 0 and (tmp_path / "sheet.png").exists()
    assert gqn_zoo(f"data inspect {store} --verify").code == 0


def test_transparency_and_filling_are_said(gqn_zoo, tmp_path):
    shots = plain_shots(4, degrees=39.6, channels=4)
    shots[0].pixels[0, 0, 3] = 0
    folder = write_synthetic(tmp_path / "in", shots)
    out = gqn_zoo(f"data import {folder} -o {tmp_path}/out --image-size 8 --views 2 --fill white --up auto").out
    assert "NeRF-synthetic (transforms_train.json, transforms_val.json, transforms_test.json), 2 of 4 images" in out
    assert "Up in its world is perpendicular to the rows of all images." in out
    assert "2 image(s) do not cover it; the rest is filled with white." in out
    assert "Transparent pixels of 1 image(s) were composited on white." in out


def test_mistakes_are_one_sentence_with_exit_code_2(gqn_zoo, tmp_path):
    folder = write_synthetic(tmp_path / "in", plain_shots(3, degrees=39.6))
    for options, part in (
        ("", "does not cover the 50 x 50 degrees"),
        (" --centre 1,2", "--centre: found '1,2', expected auto or three numbers"),
        (" --centre 1,2,nan", "--centre: found '1,2,nan'"),
        (" --up q", "'q' is not one of"),
        (" --scale 1 --radius 1", "radius: cannot be given together with scale"),
        (" --split files --views 2", "views: found 2, expected 1 to 1, its number of images of the split"),
    ):
        outcome = gqn_zoo(f"data import {folder} -o {tmp_path}/out{options}")
        assert outcome.code == 2 and len(outcome.err.splitlines()) == 1 and part in outcome.err, outcome.err
    assert not (tmp_path / "out").exists()


def test_one_command_imports_several_splits(gqn_zoo, tmp_path):
    synthetic = write_synthetic(tmp_path / "in", plain_shots(4))
    colmap = write_colmap(tmp_path / "colmap", plain_shots(3))
    code, out, err = gqn_zoo(
        f"data import {synthetic} train={colmap} -o {tmp_path}/out --image-size 8 --split files --up z"
    )
    assert (code, err) == (0, "")
    assert f"{synthetic}, split train: NeRF-synthetic" in out and "1 of 2 images" in out
    assert f"{colmap}: COLMAP text" in out and "1 of 3 images" in out
    assert f"{tmp_path}/out: 4 scene(s) of 1 views at 8 pixels in the splits train, validation, test." in out
    assert gqn_zoo(f"data inspect {tmp_path}/out --verify").code == 0


def test_a_folder_whose_files_name_no_split_is_refused(gqn_zoo, tmp_path):
    folder = write_colmap(tmp_path / "in", plain_shots(3))
    outcome = gqn_zoo(f"data import {folder} -o {tmp_path}/out --split files")
    assert (
        outcome.code == 2 and "000.png: belongs to no split; --split files expects transforms_train.json" in outcome.err
    )
