"""``gqn-zoo analyse``: the list, files of every analysis of shipped weights, and mistakes."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.factors import FEWEST_ROOMS
from zoo.analysis.manifold import FEWEST_SCENES
from zoo.control import policies
from zoo.data.make import make_dataset
from zoo.data.store_writer import StoreWriter
from zoo.results.weights import read_card, shipped_names, weights_folder

DEFAULTS = [name for name, analysis in ANALYSES.items() if analysis.runs and not analysis.env_steps]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Analyses of one folder share their scenes."""
    return tmp_path_factory.mktemp("analyses")


def test_without_a_name_all_analyses_are_listed(gqn_zoo):
    code, out, _ = gqn_zoo("analyse")
    assert code == 0 and [line.partition(":")[0] for line in out.splitlines()] == list(ANALYSES)


def test_the_list_does_not_import_torch():
    script = "import sys; from zoo.cli.main import main; main(); assert not {'torch', 'matplotlib'} & set(sys.modules)"
    script = script.replace("main();", "sys.argv = ['gqn-zoo', 'analyse']; code = main();")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "surprise: " in done.stdout, done.stderr


def test_a_cvae_is_analysed_and_other_models_are_refused(gqn_zoo, tmp_path, scenes):
    run = tmp_path / "cvae"
    code, _, err = gqn_zoo("train", "cvae", "--size", "smoke", "--data", scenes, "-o", run, "--cpu")
    assert code == 0, err
    code, out, err = gqn_zoo("analyse", "manifold", run, "--data", scenes, "-o", tmp_path / "an", "--cpu")
    assert code in (0, 1) and out.count("one z ") == 2, err
    for sheet in ("grid", "interpolations", "analogies"):
        assert (tmp_path / "an" / f"manifold-{sheet}.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = gqn_zoo("analyse", "manifold", "gqn-tower", "-o", tmp_path / "x", "--cpu")
    assert (
        code == 2 and "gqn-tower@small: the analysis manifold needs a model that encodes each image by one group" in err
    )


@pytest.mark.parametrize("name", DEFAULTS)
def test_an_analysis_of_shipped_weights_writes_its_files(gqn_zoo, output, name):
    runs = ["gqn-tower"] if name in ("attention", "consistency", "extrapolation") else []
    scenes = {"factors": FEWEST_ROOMS, "joints": FEWEST_ROOMS, "manifold": FEWEST_SCENES}.get(name, 2)
    code, out, err = gqn_zoo("analyse", name, *runs, "-n", scenes, "-S", 2, "-o", output, "--cpu")
    assert code in (0, 1), err
    record = json.loads((output / f"{name}.json").read_text(encoding="utf-8"))
    # So few scenes are too few for a claim, so that one that is tested does not hold.
    claims = record["claims"]
    assert code == int(not all(claim["holds"] for claim in claims))
    assert [line[5:].partition(": ")[0] for line in out.splitlines()] == [
        claim["text"].partition(": ")[0] for claim in claims
    ]
    tested = [claim for claim in claims if claim["scenes"] is not None]
    assert tested and all(claim["low"] <= claim["mean"] <= claim["high"] for claim in tested)
    assert [model["sha256"] for model in record["models"]] == [
        read_card(weights_folder() / run).sha256 for run in runs or ANALYSES[name].runs
    ]
    assert record["scenes"] == scenes and record["samples"] == 2 and record["data"]["split"] == "test"
    assert len(pd.read_csv(output / f"{name}.csv")) > 0
    assert (output / f"{name}.png").read_bytes().startswith(b"\x89PNG") and (output / f"{name}.svg").exists()


def test_probes_of_too_few_scenes_are_refused(gqn_zoo, output):
    code, _, err = gqn_zoo("analyse", "factors", "-n", FEWEST_ROOMS - 1, "-o", output, "--cpu")
    assert code == 2 and f"expected {FEWEST_ROOMS} or more to probe" in err


def test_the_gallery_of_a_folder_is_written(gqn_zoo, tmp_path):
    code, _, err = gqn_zoo("analyse", "--gallery", tmp_path / "page.md", "-o", tmp_path)
    assert code == 0 and f"wrote {tmp_path}/page.md; without results: surprise, " in err
    assert (tmp_path / "page.md").read_text().startswith("# Gallery of the analyses")


def test_ways_between_too_few_scenes_are_refused(gqn_zoo, output):
    code, _, err = gqn_zoo("analyse", "manifold", "-n", FEWEST_SCENES - 1, "-o", output, "--cpu")
    assert code == 2 and f"expected {FEWEST_SCENES} or more to interpolate" in err


@pytest.fixture(scope="module")
def arms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arms") / "jaco"
    make_dataset("jaco", folder=folder, num_scenes={"test": 12}, image_size=32, seed=0, workers=0)
    return folder


def test_joints_are_probed(gqn_zoo, arms, tmp_path):
    code, out, err = gqn_zoo("analyse", "joints", "gqn-tower", "vae", "--data", arms, "-o", tmp_path, "--cpu")
    assert code == 1, err  # of twelve scenes nothing can be claimed
    table = pd.read_csv(tmp_path / "joints.csv")
    assert set(table.series) == {"gqn-tower@small", "vae@small", "pixels"} and set(table.scenes) == {12}
    assert len(table) == 2 * 3 * 7 == 3 * len(out.splitlines()) / 2


def test_policies_are_trained(gqn_zoo, arms, tmp_path, monkeypatch):
    for name, value in {"NUM_ARMS": 2, "BATCH_STEPS": 40}.items():
        monkeypatch.setattr(policies, name, value)
    for name, value in {"learning_starts": 80, "gradient_steps": 1, "batch_size": 16}.items():
        monkeypatch.setitem(policies.SETTINGS, name, value)
    options = ["--data", arms, "-n", 4, "--seeds", 2, "--cpu"]
    code, _, err = gqn_zoo("analyse", "control", "gqn-tower", *options, "--env-steps", 200, "-o", tmp_path)
    assert code in (0, 1), err
    assert "true state, seed 1000: " in err
    record = json.loads((tmp_path / "control.json").read_text(encoding="utf-8"))
    assert (record["seeds"], record["env_steps"], len(record["claims"])) == (2, 200, 2)
    table = pd.read_csv(tmp_path / "control.csv")
    assert set(table.series) == {"gqn-tower@small", "pixels", "true state"}
    assert sorted(set(table.position)) == [120, 160, 200] and set(table.scenes) == {2}
    code, _, err = gqn_zoo("analyse", "control", "gqn-tower", *options, "--env-steps", 199, "-o", tmp_path)
    assert code == 2 and "found 199 environment steps, expected 200 or more" in err


def test_every_default_is_shipped():
    assert {run for analysis in ANALYSES.values() for run in analysis.runs} <= set(shipped_names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["surprize"], "there is no analysis 'surprize'; did you mean 'surprise'"),
        (
            ["surprise", "vae"],
            "vae@small: the analysis surprise needs a model that predicts images at cameras from images",
        ),
        (["steps", "gqn-tower"], "gqn-tower@small: the analysis steps needs a model that writes an image step by step"),
        (
            ["regression", "convcnp-digits"],
            "convcnp-digits@small: the analysis regression needs a model of functions of",
        ),
        (
            ["composition"],
            "composition: expected a trained run, because no shipped weights have images predicted at poses given views",
        ),
        (["captions", "vae"], "vae@small: the analysis captions needs a model that predicts images at cameras from"),
        (["consistency", "vae", "cgqn"], "vae@small: the analysis consistency needs a model that predicts images"),
        (["surprise", "gqn-tower", "gqn-tower"], "two of the runs have the same name"),
        (
            ["surprise", "--gallery", "x.md"],
            "--gallery: found x.md with surprise, expected a file that ends with .md, and no",
        ),
        (["--gallery", "x.html"], "--gallery: found x.html with no name, expected a file that ends with .md"),
        (["surprise", "nothing"], "nothing: there is no such folder, and no weights of this name are shipped"),
        (["surprise", "--seeds", 3], "surprise: trains no policies, expected neither --seeds nor --env-steps"),
        (["control", "vae"], "vae@small: the analysis control needs a model that pools images of the scene to a"),
        (["surprise", "--data", "nowhere"], "nowhere: there is no such folder"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(gqn_zoo, tmp_path, arguments, message):
    code, out, err = gqn_zoo("analyse", *arguments, "-o", tmp_path / "x")
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_scenes_of_another_size_and_too_few_scenes_are_mistakes(gqn_zoo, scenes, tmp_path):
    code, _, err = gqn_zoo("analyse", "surprise", "--data", scenes, "-o", tmp_path / "x")
    assert code == 2 and "has images of 16 pixels, but 'gqn-tower' at size 'small' reads 32" in err
    code, _, err = gqn_zoo("analyse", "localisation", "--data", scenes, "-n", 9, "-o", tmp_path / "x")
    assert code == 2 and "split test: found 5 scenes, expected at least 9 (--scenes)" in err


def test_a_single_scene_is_too_few_for_an_interval(gqn_zoo, tmp_path):
    with StoreWriter(tmp_path / "one", name="noise", image_size=32, num_views=6, provenance={}) as writer:
        writer.add("test", np.zeros((1, 6, 32, 32, 3), np.uint8), np.zeros((1, 6, 5), np.float32))
    code, _, err = gqn_zoo("analyse", "surprise", "--data", tmp_path / "one", "-o", tmp_path / "x", "--cpu")
    assert code == 2 and "split test: found 1 scenes, expected at least 2 (--scenes)" in err
