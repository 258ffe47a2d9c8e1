"""``quickstart --pretrained`` with weights of two updates in the place of the shipped ones."""

import json
import shutil

import numpy as np
import pytest
from cli_command import command

from zoo.data.store_writer import StoreWriter
from zoo.results.store import load_rows
from zoo.results.weights import CARD

NAME = "gqn-tower"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of weights that were trained on noise under the name of the rooms."""
    folder = tmp_path_factory.mktemp("weights")
    generator = np.random.default_rng(0)
    with StoreWriter(folder / "rooms", name="rooms_ring_camera", image_size=32, num_views=6, provenance={}) as writer:
        for split in ("train", "validation", "test"):
            frames = generator.integers(0, 256, (2, 6, 32, 32, 3), dtype=np.uint8)
            writer.add(split, frames, generator.normal(size=(2, 6, 5)).clip(-1.5, 1.5).astype(np.float32))
    command(f"train {NAME} --size smoke --data {folder}/rooms -o {folder}/run --cpu --steps 2 --set image_size=32")
    command(f"export {folder}/run --data {folder}/rooms -o {folder}/shipped --cpu --repeats 0 --metrics none")
    return folder / "shipped"


@pytest.fixture
def shipped(weights, tmp_path, monkeypatch):
    """A copy of the weights, as if they were shipped."""
    folder = tmp_path / "shipped"
    shutil.copytree(weights, folder)
    for module in ("results.weights", "cli.quickstart_pretrained"):
        monkeypatch.setattr(f"zoo.{module}.weights_folder", lambda: folder)
    return folder


def rewrite(folder, name, *, excess=0.0, **config):
    """Writes a copy of the weights under a name, with another excess and configuration in its card."""
    shutil.copytree(folder / NAME, folder / name)
    card = json.loads((folder / name / CARD).read_text())
    card["evaluation"][0]["metrics"]["nelbo_excess"]["value"] = excess
    card["evaluation"][0].pop("id", None)
    card["config"] |= config
    (folder / name / CARD).write_text(json.dumps(card))


def test_it_measures_and_draws_shipped_weights_on_new_scenes(gqn_zoo, shipped, tmp_path):
    out = tmp_path / "out"
    code, text, err = gqn_zoo(f"quickstart --pretrained -o {out} --scenes 3 --cpu --seed 5")
    assert code == 0 and NAME in text and "Next: gqn-zoo list --pretrained" in err
    assert (out / f"sheet-{NAME}.png").read_bytes().startswith(b"\x89PNG")
    assert NAME in (out / "tables" / "comparison.md").read_text()
    rows = {row.variant: row for row in load_rows([out])}
    assert sorted(rows) == [f"{NAME}@smoke", "mean-image", "nearest-view"]
    assert len({row.key for row in rows.values()}) == 1
    key = rows["mean-image"].key
    assert (key.dataset, key.image_size, key.num_scenes, key.num_context, key.num_targets) == (
        "rooms_ring_camera", 32, 3, 4, 1
    )  # fmt: skip
    assert not list(out.rglob("*.safetensors"))


def test_the_best_models_of_the_data_are_chosen(shipped):
    from zoo.cli.quickstart_pretrained import shipped_for

    data = {"name": "shepard_metzler_5", "revision": "0" * 16}
    rewrite(shipped, "other-data", data=data)
    rewrite(shipped, "other-size", image_size=64)
    rewrite(shipped, "other-task", task={"use": "localise"})
    for name, excess in (("second", 2.0), ("first", 1.0), ("third", 3.0)):
        rewrite(shipped, name, excess=excess)
    assert shipped_for("rooms_ring_camera", image_size=32) == ["first", "second", "third"]
    assert shipped_for("shepard_metzler_5", image_size=32) == ["other-data"]


def test_without_such_weights_it_is_one_sentence(gqn_zoo, shipped, tmp_path):
    shutil.rmtree(shipped / NAME)
    out = tmp_path / "out"
    code, _, err = gqn_zoo(f"quickstart --pretrained -o {out}")
    assert code == 2 and "has no weights of rooms_ring_camera at 32x32 pixels" in err and err.count("\n") == 1
    for option in ("--steps 3", "--dry-run"):
        code, _, err = gqn_zoo(f"quickstart --pretrained -o {out} {option}")
        assert code == 2 and "--pretrained: trains nothing" in err
    assert not out.exists()
