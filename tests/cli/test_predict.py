"""``gqn-zoo predict`` and ``gqn-zoo render`` on shipped weights and on a run."""

import json

import numpy as np
import pytest
from PIL import Image

import zoo


def frames_of(path):
    with Image.open(path) as found:
        found.load()
        return getattr(found, "n_frames", 1)


POSE = "3.1,0,1.35,180,-17.9"


@pytest.fixture(scope="module")
def run(tmp_path_factory, scenes):
    from cli_command import command

    folder = tmp_path_factory.mktemp("runs") / "run"
    command(f"train gqn-tower --size smoke --data {scenes} -o {folder} --cpu")
    return folder


def test_shipped_weights_predict_a_view_of_their_own_data_set(gqn_zoo, tmp_path):
    output = tmp_path / "view.png"
    done = gqn_zoo(
        "predict", "gqn-epipolar-improved", "--pose", POSE, "--contexts", "0,3,5", "-S", "2", "-o", output, "--json"
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["scene"] == "rooms_ring_camera:0" and found["context"] == [0, 3, 5]
    (view,) = found["views"]
    assert view["yaw_degrees"] == pytest.approx(180, abs=1e-3) and view["psnr"] > 17.0  # the mean image has 12.6
    assert frames_of(output) == 1


def test_the_command_and_python_predict_the_same(gqn_zoo, tmp_path):
    done = gqn_zoo("predict", "gqn-tower", "--contexts", "0,1", "-S", "2", "-o", tmp_path / "v.png", "--json")
    scene = zoo.Scene.load("rooms_ring_camera:0", image_size=32)
    prediction = zoo.load_run("gqn-tower").predict(scene, scene.cameras[2:6], context=[0, 1], samples=2)
    spreads = [view["mean_spread"] for view in json.loads(done.out)["views"]]
    np.testing.assert_allclose(spreads, prediction.spread.mean((1, 2)), rtol=1e-4)


def test_a_run_predicts_own_images_without_their_truth(gqn_zoo, run, scenes, tmp_path):
    place = f"{scenes}:3"
    done = gqn_zoo(
        "predict", run, "--scene", place, "--pose", "0,0,0,45,0", "-o", tmp_path / "v.png", "--cpu", "--json"
    )
    assert done.code == 0, done.err
    assert "psnr" not in json.loads(done.out)["views"][0]
    done = gqn_zoo("predict", run, "--scene", place, "--contexts", "none", "-o", tmp_path / "v.png", "--cpu")
    assert done.out.count("PSNR") == 4  # its own views have images


def test_a_render_is_an_animation_or_a_strip(gqn_zoo, tmp_path):
    words = ["render", "cgqn", "--scene", "printed_cube:1", "--frames", "3", "-S", "1", "--orbit"]
    done = gqn_zoo(*words, "-o", tmp_path / "o.gif")
    assert done.code == 0 and "one draw of the scene's latents for all frames" in done.err
    assert frames_of(tmp_path / "o.gif") == 3
    assert gqn_zoo(*words, "-o", tmp_path / "o.png", "--show", "truth,mean").code == 0
    assert frames_of(tmp_path / "o.png") == 1


def test_a_render_follows_a_file_of_cameras(gqn_zoo, tmp_path):
    file = tmp_path / "path.yaml"
    file.write_text("cameras: [[3.1, 0, 1.35, 180, -18], [0, 3.1, 1.35, -90, -18]]")
    done = gqn_zoo("render", "gqn-tower", "--path", file, "--frames", "2", "-S", "1", "-o", tmp_path / "o.gif")
    assert done.code == 0 and frames_of(tmp_path / "o.gif") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("predict gqn-tower --pose 1,2,3", "--pose 1,2,3: found 3 numbers, expected 5: x,y,z,yaw,pitch"),
        ("predict gqn-tower --pose 1,2,3,4,x", "expected five numbers"),
        ("predict gqn-tower --pose 0,0,0,0,91", "pitch: found 91 degrees, expected -90 (down) to 90 (up)"),
        ("predict gqn-tower --pose 1e9,0,0,0,0", "expected a finite number within 1e+06"),
        ("predict gqn-tower --contexts 0,99", "view 99 is out of range, expected 0 to 9"),
        ("predict gqn-tower --contexts 0,0", "expected different numbers"),
        ("predict gqn-tower --contexts 0,1,2,3,4,5,6,7,8,9", "every one of its 10 views is context"),
        ("predict gqn-tower --scene nothing:1", "neither a folder of scenes nor a built-in data set"),
        ("predict reversed-gqn-improved", "predicts cameras of images, not images; use gqn-zoo localise"),
        ("predict np-1d", "expected images at cameras"),
        ("predict gqn-twer", "did you mean 'gqn-tower'"),
        ("render gqn-tower --orbit --path x.yaml", "--orbit and --path: found both"),
        ("render gqn-tower --path nothing.yaml", "nothing.yaml: cannot be read"),
        ("render gqn-tower --show truth,mean,men", "--show: found 'men'"),
        ("render gqn-tower -o orbit.avi", "'.avi' is not a format"),
    ],
)
def test_mistakes(gqn_zoo, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    done = gqn_zoo(words)
    assert done.code == 2 and message in done.err and done.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_images_of_another_size_are_refused(gqn_zoo, scenes, tmp_path):
    done = gqn_zoo("predict", "gqn-tower", "--scene", f"{scenes}:0", "-o", tmp_path / "v.png")
    assert done.code == 2 and "its images have 16 pixels, but the model reads and predicts 32 x 32" in done.err
