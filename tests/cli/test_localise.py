"""``gqn-zoo localise`` on models of both kinds, and on one of neither."""

import json

import pytest

GRID = ("--grid", 4, "--yaws", 4, "--cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def trained(gqn_zoo, runs, scenes, name):
    folder = runs / name
    if not folder.exists():
        outcome = gqn_zoo("train", name, "--size", "smoke", "--data", scenes, "-o", folder, "--cpu")
        assert outcome.code == 0, outcome.err
    return folder


@pytest.mark.parametrize(("name", "way"), [("reversed-gqn", "direct"), ("gqn-tower", "inversion")])
def test_both_kinds_give_the_same_numbers_and_a_image(gqn_zoo, runs, scenes, tmp_path, name, way):
    run, image = trained(gqn_zoo, runs, scenes, name), tmp_path / "map.png"
    outcome = gqn_zoo(
        "localise", run, "--data", scenes, "--contexts", "0,2", "--scenes", 3, *GRID, "-o", image, "--json"
    )
    assert outcome.code == 0, outcome.err
    facts = json.loads(outcome.out)
    assert facts["way"] == way and facts["grid"] == [4, 4, 4] and facts["variant"] == f"{name}@smoke"
    assert [part["num_context"] for part in facts["contexts"]] == [0, 2]
    for part in facts["contexts"]:
        assert [scene["scene"] for scene in part["scenes"]] == [0, 1, 2]
        assert all(scene["position_error"] >= 0 and scene["angle_error"] <= 180 for scene in part["scenes"])
    # The same images are sought whatever the context.
    assert [scene["truth"] for scene in facts["contexts"][0]["scenes"]] == [
        scene["truth"] for scene in facts["contexts"][1]["scenes"]
    ]
    assert image.read_bytes().startswith(b"\x89PNG")
    table = gqn_zoo("localise", run, "--data", scenes, "--contexts", "2", "--scenes", 2, *GRID, "--prior", "uniform")
    assert table.code == 0 and "prior alone" in table.out and way in table.out


def test_mistakes_are_reported_before_anything_is_measured(gqn_zoo, runs, scenes, tmp_path):
    run = trained(gqn_zoo, runs, scenes, "reversed-gqn")
    for changes, sentence in (
        (("-o", tmp_path / "map.tiff"), "expected a name that ends with"),
        (("--contexts", "9"), "a scene has 6"),
        (("--contexts", "some"), "expected whole numbers"),
    ):
        outcome = gqn_zoo("localise", run, "--data", scenes, *GRID, *changes)
        assert outcome.code == 2 and sentence in outcome.err and "Traceback" not in outcome.err
