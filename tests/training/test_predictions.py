"""Predictions of fixed scenes at every validation: what is drawn, where it goes, and that training does not notice."""

import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zoo.data.opening import open_scenes
from zoo.errors import ConfigError
from zoo.model.scene_model import SceneModel
from zoo.training.options import TrainingOptions
from zoo.training.predictions import MEAN_SAMPLES, SAMPLES, FixedScenes
from zoo.training.trained_model import load_trained

SETTINGS = ("gqn-tower", "training.steps=8", "training.ema_decay=0.5")
TAG = "eval/predictions"


def tags_of(run):
    """Returns the tags of images and of scalars in a run's TensorBoard files, with their steps."""
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {
        "images": {tag: [each.step for each in events.Images(tag)] for tag in events.Tags()["images"]},
        "scalars": {tag: [each.step for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]},
        "last": [events.Images(tag)[-1].encoded_image_string for tag in events.Tags()["images"]],
    }


def test_every_validation_logs_an_image_beside_the_curves(run_training, tmp_path):
    seen = []
    _with_listener(run_training, tmp_path / "run", seen)
    found = tags_of(tmp_path / "run")
    assert found["images"] == {TAG: [3, 6, 8]} and [step for step, _ in seen] == [3, 6, 8]
    curves = {"train/nelbo_excess", "train/kl", "train/learning_rate", "train/sigma", "perf/scenes_per_second"}
    assert curves | {"eval/nelbo_excess", "eval/kl"} <= set(found["scalars"])
    assert found["scalars"]["eval/nelbo_excess"] == [3, 6, 8]
    (tmp_path / "last.png").write_bytes(found["last"][0])
    latest, logged = (
        np.asarray(Image.open(path)) for path in (tmp_path / "run/predictions.png", tmp_path / "last.png")
    )
    assert np.array_equal(latest, logged) and latest.std() > 10
    assert not list((tmp_path / "run").glob(".writing-*"))


def _with_listener(run_training, run, seen, **options):
    import zoo.training.run as module

    real = module.Trainer.fit

    def fit(self, **arguments):
        return real(self, **{**arguments, "on_predictions": lambda step, sheet: seen.append((step, sheet))})

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(module.Trainer, "fit", fit)
        run_training(run, *SETTINGS, **options)


def test_scenes_and_noise_are_the_same_at_every_validation(run_training, tmp_path, scenes, variant):
    seen = []
    _with_listener(run_training, tmp_path / "run", seen)
    (_, first), *_, (_, last) = seen
    assert first.truth.shape == (4, 16, 16, 3) and first.samples.shape == (4, SAMPLES, 16, 16, 3)
    assert np.array_equal(first.context, last.context) and np.array_equal(first.truth, last.truth)
    assert not np.array_equal(first.mean, last.mean), "the weights have changed"
    trained = load_trained(tmp_path / "run", which="last")
    source, recipe = open_scenes(scenes, "validation"), trained.variant.training
    fixed = FixedScenes(source, recipe=recipe, num_scenes=4, device=next(trained.model.parameters()).device)
    for _ in range(2):
        again = fixed.predict(trained.model)
        assert all(np.array_equal(one, other) for one, other in zip(again, last, strict=True))
    assert MEAN_SAMPLES > SAMPLES > 1 and not np.array_equal(last.samples[:, 0], last.samples[:, 1])


@pytest.mark.parametrize("name", ["gqn-tower", "cvae"])
def test_training_is_the_same_to_the_bit_with_and_without(run_training, tmp_path, look, name):
    settings = (name, *SETTINGS[1:])
    run_training(tmp_path / "without", *settings, prediction_scenes=0)
    run_training(tmp_path / "with", *settings, validation_interval=3)
    assert not (tmp_path / "without" / "predictions.png").exists()
    assert look.rows(tmp_path / "with") == look.rows(tmp_path / "without")
    assert look.digests(tmp_path / "with", 8) == look.digests(tmp_path / "without", 8)

    def interrupt(step, metrics):
        if step == 4:
            signal.raise_signal(signal.SIGTERM)

    run_training(tmp_path / "parts", *settings, progress=interrupt)
    run_training(tmp_path / "parts", *settings, mode="auto", prediction_scenes=2)
    assert look.rows(tmp_path / "parts") == look.rows(tmp_path / "without")
    assert look.digests(tmp_path / "parts", 8) == look.digests(tmp_path / "without", 8)


def test_what_predicts_no_images_has_curves_alone(run_training, tmp_path, monkeypatch):
    monkeypatch.setattr(SceneModel, "predict", lambda *arguments, **options: pytest.fail("nothing is to be predicted"))
    run_training(tmp_path / "run", "reversed-gqn")
    found = tags_of(tmp_path / "run")
    assert found["images"] == {} and {"train/kl", "eval/nelbo_excess"} <= set(found["scalars"])
    assert not (tmp_path / "run" / "predictions.png").exists()


def test_a_split_with_fewer_scenes_is_drawn_whole(run_training, tmp_path):
    seen = []
    _with_listener(run_training, tmp_path / "run", seen, prediction_scenes=50, validation_interval=8)
    assert [len(sheet.truth) for _, sheet in seen] == [5]


def test_a_negative_number_of_scenes_is_refused():
    with pytest.raises(ConfigError, match="prediction_scenes: found -1, expected 0 or more"):
        TrainingOptions(prediction_scenes=-1)


def test_a_sheet_that_cannot_be_written_leaves_the_one_before(run_training, tmp_path, monkeypatch):
    from zoo.errors import DiskFullError

    run_training(tmp_path / "run", *SETTINGS)
    path = tmp_path / "run" / "predictions.png"
    before = path.read_bytes()

    def full(self, target, *arguments, **options):
        Path(target).write_bytes(b"torn")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DiskFullError, match=r"predictions\.png: cannot be written"):
        run_training(
            tmp_path / "run", *SETTINGS[:1], "training.steps=8", "training.ema_decay=0.5", resume=_from(tmp_path, 4)
        )
    assert path.read_bytes() == before


def _from(folder, step):
    from zoo.training.options import ResumeOptions

    return ResumeOptions(mode=str(folder / "run" / "checkpoints" / f"step-{step:09d}"))
