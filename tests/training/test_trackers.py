"""Trackers by the names of accelerate; the ones of third parties are tested where they are installed."""

import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from accelerate import tracking
from accelerate.tracking import GeneralTracker

from zoo.errors import ConfigError
from zoo.training import trackers
from zoo.training.options import TrainingOptions
from zoo.training.trackers import log_image


class Recorder(GeneralTracker):
    """A tracker that keeps what it is given in ``calls``, an attribute of the class that a fixture sets."""

    name = "recorder"
    requires_logging_directory = False

    def __init__(self, project, **settings):
        super().__init__()
        self.calls.append(("made", project))

    @property
    def tracker(self):
        return self

    def log(self, values, step=None, **options):
        self.calls.append(("log", step, values))

    def log_images(self, values, step=None, **options):
        self.calls.append(("images", step, values))

    def finish(self):
        self.calls.append(("finish",))


class WithoutImages(GeneralTracker):
    name = "numbers_alone"
    requires_logging_directory = False
    tracker = None

    def __init__(self, project):
        super().__init__()


class Broken(WithoutImages):
    name = "broken"

    def start(self):
        raise RuntimeError("no login was found\nsecond line")


@pytest.fixture
def registered(monkeypatch):
    if not hasattr(tracking, "register_tracker_class"):
        pytest.skip("this version of accelerate has no register_tracker_class")
    classes = dict(tracking.LOGGER_TYPE_TO_CLASS)
    for each in (Recorder, WithoutImages, Broken):
        tracking.register_tracker_class(each)
    monkeypatch.setattr(Recorder, "calls", [], raising=False)
    yield
    tracking.LOGGER_TYPE_TO_CLASS.clear()
    tracking.LOGGER_TYPE_TO_CLASS.update(classes)


def test_every_tracker_gets_the_numbers_and_those_that_have_images_the_sheet(registered, run_training, tmp_path):
    run_training(tmp_path / "run", "vae", log_with=("recorder", "tensorboard", "numbers_alone"))
    kinds = [call[0] for call in Recorder.calls]
    assert kinds[0] == "made" and kinds[-1] == "finish"
    assert [call[1] for call in Recorder.calls if call[0] == "images"] == [3, 4]
    (image,) = next(call[2] for call in Recorder.calls if call[0] == "images")["eval/predictions"]
    assert image.dtype == np.uint8 and image.shape[2] == 3
    named = {name for call in Recorder.calls if call[0] == "log" for name in call[2]}
    assert {"train/nelbo_excess", "train/kl", "eval/nelbo_excess", "perf/scenes_per_second"} <= named
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_without_trackers_there_is_the_log_alone(run_training, tmp_path, look):
    run_training(tmp_path / "run", "vae", log_with=())
    assert not (tmp_path / "run" / "tensorboard").exists() and (tmp_path / "run" / "predictions.png").exists()
    run_training(tmp_path / "other", "vae")
    assert look.rows(tmp_path / "run") == look.rows(tmp_path / "other")


def test_a_tracker_that_does_not_start_is_one_sentence(registered, run_training, tmp_path):
    with pytest.raises(ConfigError) as caught:
        run_training(tmp_path / "run", "vae", log_with=("tensorboard", "broken"))
    assert str(caught.value) == "--log-with: a tracker cannot be started (tensorboard, broken): no login was found"


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"--log-with: there is no tracker 'wandbb'; did you mean 'wandb'"):
        TrainingOptions(log_with=("tensorboard", "wandbb"))


@pytest.mark.parametrize("name", ["wandb", "comet_ml", "mlflow"])
def test_a_package_that_is_missing_is_named(monkeypatch, name):
    monkeypatch.setattr(trackers, "get_available_trackers", list)
    with pytest.raises(ConfigError) as caught:
        TrainingOptions(log_with=(name,))
    assert str(caught.value) == f"--log-with: tracker {name!r} is not installed; install it with: pip install {name}"


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("tensorboard", (1, 4, 6, 3), {"dataformats": "NHWC"}),
        ("wandb", (1, 4, 6, 3), {}),
        ("aim", (4, 6, 3), {}),
        ("clearml", (4, 6, 3), {}),
    ],
)
def test_images_have_the_layout_of_the_tracker(name, shape, options):
    seen = []
    tracker = SimpleNamespace(name=name, log_images=lambda values, step, **given: seen.append((values, step, given)))
    image = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    log_image([SimpleNamespace(name="comet_ml"), tracker], "a", image, step=5)
    ((values, step, given),) = seen
    assert (step, given) == (5, options)
    assert np.asarray(values["a"]).shape == shape and np.array_equal(np.asarray(values["a"]).reshape(4, 6, 3), image)


@pytest.mark.parametrize(
    ("name", "numbers", "images"),
    [
        ("wandb", "wandb/offline-run-*/*.wandb", "wandb/offline-run-*/files/media/images/eval/predictions*.png"),
        ("dvclive", "dvclive/plots/metrics/train/kl.tsv", None),
    ],
)
def test_trackers_of_third_parties_record_a_run_without_a_network(scenes, tmp_path, name, numbers, images):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    command = [
        sys.executable,
        "-m",
        "zoo",
        "train",
        "vae",
        "--size",
        "smoke",
        "--data",
        str(scenes),
        "-o",
        "run",
        "--cpu",
    ]
    offline = {"WANDB_MODE": "offline", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, "--steps", "4", "--log-interval", "1", "--log-with", f"tensorboard,{name}"],
        cwd=tmp_path,
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run").glob(numbers)), sorted((tmp_path / "run").rglob("*"))
    assert images is None or list((tmp_path / "run").glob(images)), sorted((tmp_path / "run").rglob("*.png"))
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
