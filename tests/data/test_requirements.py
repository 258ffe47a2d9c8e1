from types import SimpleNamespace

import numpy as np
import pytest

from zoo.data import opening
from zoo.data.convert import DeepMindWriter
from zoo.data.opening import open_splits, probe_shape
from zoo.data.source import DataRequirements, ExtraShape
from zoo.errors import ConfigError

CAPTIONS = ExtraShape("uint8", (0,), per_view=True)


def requirements(**changes):
    return DataRequirements(
        **{"variant": "vae", "size": "smoke", "task": "nvs", "image_size": 16, "extras": {}, **changes}
    )


def scenes(image_size=16, **extras):
    return SimpleNamespace(image_size=image_size, extras=extras)


def test_scenes_that_meet_the_requirements_pass():
    requirements().check(scenes(), folder="st")
    requirements(extras={"captions": CAPTIONS}).check(
        scenes(captions=ExtraShape("uint8", (256,), per_view=True), more=CAPTIONS), folder="st"
    )


@pytest.mark.parametrize(
    ("required", "found", "message"),
    [
        ({}, scenes(32), "st: has images of 32 pixels, but 'vae' at size 'smoke' reads 16; use data of 16 pixels"),
        ({}, scenes(0, inputs=CAPTIONS, values=CAPTIONS), "st: has no images but inputs, values; expected images of 16"),
        ({"image_size": 0}, scenes(), "st: has images of 16 pixels, but task 'nvs' of 'vae' reads data without images"),
        ({"extras": {"captions": CAPTIONS}}, scenes(), "st: has no captions, which task 'nvs' of 'vae' reads"),
        (
            {"extras": {"captions": CAPTIONS}},
            scenes(captions=ExtraShape("uint8", (3, 4), per_view=True)),
            r"st: its captions are uint8 \[3, 4\], but task 'nvs' of 'vae' reads uint8 \[0\]",
        ),
    ],
)  # fmt: skip
def test_scenes_of_another_kind_are_refused(required, found, message):
    with pytest.raises(ConfigError, match=message):
        requirements(**required).check(found, folder="st")
    with pytest.raises(ConfigError) as caught:
        requirements().check(scenes(0), folder="st")
    assert "image_size=0" not in str(caught.value)


def test_the_size_of_tfrecords_is_refused_before_they_are_indexed(tmp_path, monkeypatch):
    with DeepMindWriter(tmp_path / "set", records_per_file=2) as writer:
        writer.add("train", np.zeros((5, 3, 8, 8, 3), np.uint8), np.zeros((5, 3, 5), np.float32))
    assert probe_shape(tmp_path / "set") == (8, {})
    assert open_splits(tmp_path / "set", requirements=requirements(image_size=8))["train"].image_size == 8
    monkeypatch.setattr(opening, "index_folder", lambda *_, **__: pytest.fail("indexed"))
    monkeypatch.setattr(opening, "DeepMindScenes", lambda *_, **__: pytest.fail("indexed"))
    with pytest.raises(ConfigError, match="has images of 8 pixels"):
        open_splits(tmp_path / "set", requirements=requirements())
