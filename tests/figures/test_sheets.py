import numpy as np
import pytest
from PIL import Image

from zoo.errors import ResultError
from zoo.figures.sheets import contact_sheet, image_sheet, prediction_groups

COLOURS = {"context": (200, 0, 0), "truth": (0, 200, 0), "mean": (0, 0, 200), "samples": (200, 200, 0)}


def plain(name, *shape):
    return np.broadcast_to(np.array(COLOURS[name], dtype=np.uint8), (*shape, 3)).copy()


def sheet_arguments(rows=2, views=3, samples=2, size=16):
    return {
        "context": plain("context", rows, views, size, size),
        "truth": plain("truth", rows, size, size),
        "mean": plain("mean", rows, size, size),
        "samples": plain("samples", rows, samples, size, size),
    }


def prediction_sheet(path, *, title=None, row_labels=None, **images):
    return image_sheet(path, groups=prediction_groups(**images), title=title, row_labels=row_labels)


def count(path, name):
    with Image.open(path) as image:
        return int((np.asarray(image) == COLOURS[name]).all(axis=-1).sum())


def test_every_image_is_on_the_sheet_enlarged_to_whole_pixels(tmp_path):
    path = prediction_sheet(
        tmp_path / "a.png", **sheet_arguments(), title="Predictions", row_labels=["scene 1", "scene 2"]
    )
    assert [count(path, name) for name in COLOURS] == [6 * 96**2, 2 * 96**2, 2 * 96**2, 4 * 96**2]


def test_pixels_are_repeated_and_not_smoothed(tmp_path):
    arguments = sheet_arguments(rows=1, views=1, samples=0, size=64)
    pattern = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    arguments["truth"][0] = pattern
    sheet = np.asarray(Image.open(prediction_sheet(tmp_path / "a.png", **arguments)))
    enlarged = pattern.repeat(2, axis=0).repeat(2, axis=1)
    rows, columns = np.nonzero((sheet == enlarged[0, 0]).all(axis=-1))
    assert any(
        np.array_equal(sheet[row : row + 128, column : column + 128], enlarged)
        for row, column in zip(rows, columns, strict=True)
    )


def test_without_context_or_samples(tmp_path):
    path = prediction_sheet(tmp_path / "a.png", **sheet_arguments(views=0, samples=0))
    assert count(path, "context") == 0 and count(path, "samples") == 0
    assert count(path, "truth") == 2 * 96**2


@pytest.mark.parametrize(
    ("views", "caption"), [(3, "3 context views"), (1, "1 context view"), (0, "truth (0 context views)")]
)
def test_the_caption_states_the_number_of_context_views(views, caption):
    assert prediction_groups(**sheet_arguments(views=views))[0].caption == caption


def test_labels_and_titles_find_room(tmp_path):
    narrow = prediction_sheet(tmp_path / "a.png", **sheet_arguments(views=0))
    wide = prediction_sheet(
        tmp_path / "b.png", **sheet_arguments(views=0), title="long " * 60, row_labels=["a" * 50] * 2
    )
    with Image.open(narrow) as first, Image.open(wide) as second:
        assert second.width > first.width + 400 and second.height > first.height


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": plain("truth", 3, 16, 16)}, "truth: expected 2 rows of images"),
        ({"mean": plain("mean", 2, 8, 8)}, "mean: expected 2 rows of images"),
        ({"samples": plain("samples", 2, 2, 8, 8)}, "samples: expected 2 rows of images"),
        ({"truth": plain("truth", 2, 16, 16).astype(np.float32)}, "truth: expected uint8, found float32"),
        ({"row_labels": ["one"]}, "expected 2 labels of rows, found 1"),
    ],
)
def test_wrong_arrays_are_errors(tmp_path, change, message):
    with pytest.raises(ResultError, match=message):
        prediction_sheet(tmp_path / "a.png", **sheet_arguments() | change)
    assert not (tmp_path / "a.png").exists()


def test_unknown_formats_are_errors(tmp_path):
    with pytest.raises(ResultError, match=r"'\.xyz' is not a format"):
        prediction_sheet(tmp_path / "a.xyz", **sheet_arguments())


def test_a_contact_sheet_has_the_first_views(tmp_path):
    frames = plain("truth", 3, 15, 16, 16)
    frames[:, 10:] = COLOURS["mean"]
    path = contact_sheet(tmp_path / "a.png", frames=frames, title="rooms", scene_labels=["0", "1", "2"])
    assert count(path, "truth") == 30 * 96**2 and count(path, "mean") == 0
    path = contact_sheet(tmp_path / "b.png", frames=frames, max_views=20)
    assert count(path, "mean") == 15 * 96**2
    for wrong, message in ((frames[0], "expected"), (frames[:, :0], "no images"), (frames[:0], "no images")):
        with pytest.raises(ResultError, match=message):
            contact_sheet(tmp_path / "c.png", frames=wrong)
