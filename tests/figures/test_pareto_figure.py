"""The figure of quality against cost."""

import pytest

from zoo.comparison.leaderboards import leaderboards_of
from zoo.errors import ResultError
from zoo.figures.pareto_front import can_be_drawn, draw_pareto_front, pareto_image
from zoo.figures.style import svg_of


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_pareto_front_is_the_same_bytes(make_row, excess_of_scenes, tmp_path, suffix):
    rows = [make_row(excess_of_scenes + i, variant=f"$v_{i}", speed=100.0 * 4**i, cpu=f"cpu {i % 2}") for i in range(4)]
    (board,) = leaderboards_of(rows)
    assert can_be_drawn(board)
    first, second = (pareto_image(board, tmp_path / f"{i}{suffix}", title="a $ b_") for i in range(2))
    assert first.read_bytes() == second.read_bytes() and first.stat().st_size > 5000
    (single,) = leaderboards_of(rows[:1])
    assert not can_be_drawn(single)
    with pytest.raises(ResultError, match="no two variants"):
        pareto_image(single, tmp_path / "x.png", title="")
    with pytest.raises(ResultError, match="ends with one of"):
        pareto_image(board, tmp_path / "x.gif", title="")


def test_every_machine_has_its_colour_and_every_variant_its_rank(make_row, excess_of_scenes):
    rows = [make_row(excess_of_scenes + i, variant=f"v{i}", cpu=f"cpu {i % 2}") for i in range(4)]
    (board,) = leaderboards_of(rows)
    svg = svg_of(draw_pareto_front(board, title="a <title>")).decode()
    for text in ("1  v0", "4  v3", "cpu 0, 2 threads", "cpu 1, 2 threads", "a &lt;title&gt;", "training time (s)"):
        assert text in svg
