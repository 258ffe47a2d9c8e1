"""The quickstart on a few scenes, and its claims on made-up rows."""

import pytest

from zoo.cli.main import main
from zoo.cli.quickstart import VARIANTS, judge
from zoo.errors import ResultError
from zoo.results.store import load_rows

NAMES = [f"{name}@small" for name in VARIANTS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, module_in_this_process):
    folder = tmp_path_factory.mktemp("quickstart") / "out"
    with pytest.raises(SystemExit) as ended:
        main(["quickstart", "-o", str(folder), "--steps", "2", "--scenes", "24", "--cpu"])
    assert ended.value.code == 1  # two updates teach nothing
    return folder


def test_it_writes_a_table_curves_and_sheets(folder):
    for name in ("tables/comparison.md", "curves.png", "curves.csv", *(f"sheet-{name}.png" for name in VARIANTS)):
        assert (folder / name).stat().st_size > 200
    rows = load_rows([folder])
    assert sorted(row.variant for row in rows) == sorted(NAMES)
    assert all(row.status == "ok" and row.performance and row.key.sigma == 0.7 for row in rows)


def test_a_second_call_measures_nothing_again(folder, capsys):
    before = sorted(folder.rglob("*.json"))
    with pytest.raises(SystemExit):
        main(["quickstart", "-o", str(folder), "--steps", "2", "--scenes", "24", "--cpu"])
    assert sorted(folder.rglob("*.json")) == before
    assert capsys.readouterr().out.count("corrected p") == 3


def changed(row, shift, *, wrong):
    """Returns a row whose scores are the scene's number plus a shift, with a spread far below it."""
    scenes = row.per_scene["scene"]
    scores = [100.0 + scene % 3 * 0.1 + shift + scene % 2 * 0.01 * shift for scene in scenes]
    return row.model_copy(
        update={"per_scene": {**row.per_scene, "nelbo_excess": scores, "wrong_context_nelbo_excess": wrong(scores)}}
    )


@pytest.mark.parametrize(("improved", "gqn", "lost", "expected"), [
    (-10.0, -5.0, 50.0, [True, True, True]),
    (10.0, -5.0, 50.0, [False, True, True]),
    (-10.0, 5.0, 50.0, [True, False, True]),
    (-10.0, -5.0, 0.0, [True, True, False]),
])  # fmt: skip
def test_claims_are_judged_on_the_scenes(folder, improved, gqn, lost, expected):
    rows = {row.variant: row for row in load_rows([folder])}
    shifts = dict(zip(NAMES, (0.0, gqn, improved), strict=True))

    def wrong(scores):
        return [score + lost * (1 + index % 2 * 0.01) for index, score in enumerate(scores)]

    made = [changed(rows[name], shifts[name], wrong=wrong) for name in NAMES]
    assert [claim.holds for claim in judge(made, names=NAMES)] == expected


def test_a_missing_variant_is_an_error(folder):
    rows = [row for row in load_rows([folder]) if not row.variant.startswith("gqn-tower")]
    with pytest.raises(ResultError, match="gqn-tower@small could not be trained"):
        judge(rows, names=NAMES)
