"""``push`` and ``pull`` against a hub on this machine."""

import json
import sys

import pytest
import torch
from cli_command import command
from hub_server import TOKEN, serving

import zoo
from zoo.results.weights import CARD, README, WEIGHTS, read_card

NAME, REPOSITORY = "gqn-tower", "lab/tower"


@pytest.fixture(scope="module")
def weights(tmp_path_factory, scenes):
    """A folder of weights without an image."""
    folder = tmp_path_factory.mktemp("weights")
    command(f"train {NAME} --size smoke --data {scenes} -o {folder}/run --cpu")
    command(f"export {folder}/run --data {scenes} -o {folder} --cpu --repeats 0 --metrics none")
    return folder / NAME


@pytest.fixture
def hub(monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    with serving() as hub:
        yield hub


def test_what_was_pushed_is_pulled_and_taken_everywhere(gqn_zoo, hub, weights, scenes, contents, tmp_path):
    (weights / "notes.txt").write_text("not of the weights")
    outcome = gqn_zoo(f"push {weights} --to {REPOSITORY} --endpoint {hub.url}")
    assert outcome.code == 0 and outcome.out == f"{hub.url}/{REPOSITORY}\n"
    (weights / "notes.txt").unlink()
    assert {
        path: bytes for files in hub.repositories[REPOSITORY].values() for path, bytes in files.items()
    } == contents(weights)

    outcome = gqn_zoo(f"pull {REPOSITORY} -o mine --endpoint {hub.url}")
    assert outcome.code == 0 and "gqn-zoo evaluate mine/tower" in outcome.err
    assert contents(tmp_path / "mine" / "tower") == contents(weights)
    model = zoo.create_model("mine/tower", pretrained=True)
    expected = zoo.load_run(weights).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert gqn_zoo(f"evaluate mine/tower --data {scenes} --cpu --repeats 0 --metrics none").code == 0
    assert (tmp_path / "tower-rows").is_dir()
    words = f"train {NAME} --size smoke --data {scenes} -o run --cpu --init-from mine/tower"
    assert gqn_zoo(words).code == 0


def test_a_revision_is_a_commit(gqn_zoo, hub, weights, tmp_path):
    files = {path.name: path.read_bytes() for path in weights.iterdir()}
    first = hub.commit(REPOSITORY, files | {README: b"first"})
    hub.commit(REPOSITORY, {README: b"second", "model.py": b"import os", "weights.bin": b"a pickle"})
    for folder, revision, text in (("a", "", "second"), ("b", f"--revision {first}", "first")):
        assert gqn_zoo(f"pull {REPOSITORY} -o {folder} --endpoint {hub.url} {revision}").code == 0
        assert (tmp_path / folder / "tower" / README).read_text() == text
        assert {path.name for path in (tmp_path / folder / "tower").iterdir()} == set(files)


def test_a_second_push_changes_the_repository(gqn_zoo, hub, weights):
    hub.commit(REPOSITORY, {README: b"old"})
    assert gqn_zoo(f"push {weights} --to {REPOSITORY} --endpoint {hub.url}").code == 0
    (*_, last) = hub.repositories[REPOSITORY].values()
    assert last[README] == (weights / README).read_bytes() and last[WEIGHTS] == (weights / WEIGHTS).read_bytes()


def test_damaged_weights_are_neither_pulled_nor_pushed(gqn_zoo, hub, weights, tmp_path):
    files = {path.name: path.read_bytes() for path in weights.iterdir()}
    other = json.dumps(json.loads(files[CARD]) | {"sha256": "0" * 64}).encode()
    cases = {
        "lab/a": (files | {WEIGHTS: files[WEIGHTS][:-1]}, f"lab/a/{WEIGHTS}: is damaged: its SHA-256"),
        "lab/b": (files | {CARD: other}, "is damaged: its SHA-256"),
        "lab/c": (files | {CARD: b"{"}, f"lab/c/{CARD}: Invalid JSON"),
        "lab/d": ({"README.md": b"no weights"}, f"lab/d/{CARD}: cannot be read: No such file"),
    }
    for name, (stored, message) in cases.items():
        hub.commit(name, stored)
        code, _, err = gqn_zoo(f"pull {name} --endpoint {hub.url}")
        assert code == 2 and message in err.splitlines()[-1] and list(tmp_path.iterdir()) == []
    (tmp_path / CARD).write_bytes(other)
    (tmp_path / WEIGHTS).write_bytes(files[WEIGHTS])
    for path, message in ((tmp_path, "is damaged"), (weights.parent / "run", f"holds no {CARD}; gqn-zoo export")):
        code, _, err = gqn_zoo(f"push {path} --to lab/e --endpoint {hub.url}")
        assert code == 2 and message in err and "lab/e" not in hub.repositories


@pytest.mark.parametrize("command", ["pull lab/tower", "push {weights} --to lab/tower"])
def test_a_hub_that_cannot_be_used_is_one_sentence(gqn_zoo, hub, weights, tmp_path, monkeypatch, command):
    command = command.format(weights=weights)

    def refused(words, *messages):
        code, _, err = gqn_zoo(words)
        assert code == 2 and all(message in err for message in messages) and err.count("\n") == 1, err
        assert list(tmp_path.iterdir()) == []

    monkeypatch.setenv("HF_TOKEN", "hf_other")
    refused(f"{command} --endpoint {hub.url}", "lab/tower: the hub", "40")
    refused(f"{command} --endpoint http://127.0.0.1:9", "lab/tower: the hub", "onnect")
    refused(f"{command.replace('lab/tower', 'lab/to..wer')} --endpoint {hub.url}", "lab/to..wer: the hub", "repo_id")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(f"{command} --endpoint {hub.url}", "lab/tower: the hub", "offline")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused(command, "pip install 'gqn-zoo[hub]'")


def test_an_existing_folder_is_not_overwritten(gqn_zoo, hub, weights, tmp_path, contents):
    hub.commit(REPOSITORY, {path.name: path.read_bytes() for path in weights.iterdir()})
    (tmp_path / "tower").mkdir()
    code, _, err = gqn_zoo(f"pull {REPOSITORY} --endpoint {hub.url}")
    assert code == 2 and "tower: exists already" in err and contents(tmp_path) == {"tower": None}
    assert read_card(weights).bytes > 0
