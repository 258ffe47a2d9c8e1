"""The figure of a leaderboard, and the files beside rows that it is made from."""

import numpy as np
import pytest
from matplotlib.image import AxesImage

from zoo.comparison.leaderboards import leaderboards_of
from zoo.errors import ResultError
from zoo.figures.attachments import NONE, Strip, find_attachments, load_curve, load_strip, save_curve, save_strip
from zoo.figures.curves import Point
from zoo.figures.leaderboard import draw_leaderboard, has_times
from zoo.figures.style import save_figure, svg_of
from zoo.results.store import save_row

POINTS = [Point(10, 1.5, 90.25), Point(20, 3.0, 40.125)]


def strip(seed=0, scenes=3):
    pixels = np.random.default_rng(seed).integers(0, 256, (2, scenes, 8, 8, 3), dtype=np.uint8)
    return Strip(*pixels)


@pytest.fixture
def rows(make_row, excess_of_scenes):
    return [
        make_row(excess_of_scenes + 3 * place + seed, variant=name, seed=seed)
        for place, name in enumerate(["gqn-tower", "cvae", "vae"])
        for seed in range(2)
    ]


def test_a_strip_and_a_curve_are_read_as_they_were_written_and_found_by_their_row(rows, tmp_path):
    path, other = (save_row(row, tmp_path / "rows") for row in rows[:2])
    save_strip(strip(), path)
    save_curve(POINTS, other)
    (tmp_path / "rows" / "sheet.png").write_bytes(b"of something else")
    found = find_attachments([tmp_path])
    assert (list(found.strips), list(found.curves)) == ([rows[0].id], [rows[1].id])
    read = load_strip(found.strips[rows[0].id])
    assert all(np.array_equal(one, two) for one, two in zip(read, strip(), strict=True))
    assert load_curve(found.curves[rows[1].id]) == POINTS
    assert find_attachments([path]).strips == found.strips and not find_attachments([path]).curves
    assert find_attachments(["HEAD:results"]) == NONE


def test_damaged_files_are_named(tmp_path):
    image, table = tmp_path / "a.png", tmp_path / "a.csv"
    image.write_bytes(b"nothing")
    with pytest.raises(ResultError, match=r"a\.png: is not a whole PNG image"):
        load_strip(image)
    save_strip(Strip(*np.zeros((2, 3, 8, 5, 3), np.uint8)), tmp_path / "a.json")
    with pytest.raises(ResultError, match=r"expected square images in two lines, found 15x16 pixels"):
        load_strip(image)
    for text in ("step,seconds,loss\n1,2,3\n", "step,seconds,nelbo_excess\n1,2,nan\n", ""):
        table.write_text(text)
        with pytest.raises(
            ResultError, match=r"a\.csv: expected finite numbers in the columns step, seconds, nelbo_excess"
        ):
            load_curve(table)


def test_what_rows_lack_is_left_out_and_said(rows, tmp_path):
    paths = [save_row(row, tmp_path) for row in rows]
    for path in paths[:2]:
        save_strip(strip(), path)
        save_curve(POINTS, path)
    (board,) = leaderboards_of(rows)
    assert has_times(board) and not has_times(leaderboards_of(rows[:2])[0])
    figure, notes = draw_leaderboard(board, attachments=find_attachments([tmp_path]), title="a <title>")
    assert notes == ("Rows without predictions: 2 (cvae), 3 (vae).", "Rows without learning curve: 2 (cvae), 3 (vae).")
    svg = svg_of(figure).decode()
    for text in ("gqn-tower", "vae", ", 2 seeds", "truth", "a &lt;title&gt;", "training time (s)", "wall-clock time"):
        assert text in svg
    assert len(figure.findobj(AxesImage)) == 6  # three scenes, the truth and the only model with predictions
    figure, notes = draw_leaderboard(board, attachments=NONE)
    assert notes[-1] == "Rows without learning curve: all."
    svg = svg_of(figure).decode()
    assert not figure.findobj(AxesImage) and "wall-clock time" not in svg and "gqn-tower" in svg


def test_predictions_are_missed_only_where_images_were_scored(rows, make_row, excess_of_scenes):
    note = "Rows without predictions: all."
    assert note in draw_leaderboard(leaderboards_of(rows)[0], attachments=NONE).notes
    others = {name: metric for name, metric in rows[0].metrics.items() if name != "psnr"}
    alike = [make_row(excess_of_scenes, variant=f"v{place}", metrics=others) for place in range(2)]
    assert note not in draw_leaderboard(leaderboards_of(alike)[0], attachments=NONE).notes


def test_the_same_rows_and_files_are_the_same_bytes(rows, tmp_path):
    for seed, row in enumerate(rows):
        path = save_row(row, tmp_path)
        save_strip(strip(seed), path)
        save_curve(POINTS, path)
    (board,) = leaderboards_of(rows)
    for suffix in (".png", ".svg"):
        targets = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
        for target in targets:
            drawn = draw_leaderboard(board, attachments=find_attachments([tmp_path]), title="t")
            assert drawn.notes == ()
            save_figure(drawn.figure, target)
        assert targets[0].read_bytes() == targets[1].read_bytes()
