"""gqn-zoo new: what it writes passes the checks at once, and nothing is overwritten."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from zoo.registry.registry import default_registry
from zoo.registry.variant import resolve


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, without a registry file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "name", "file", "class_name"),
    [("core", "mycore", "mycore.py", "Mycore"), ("encoder", "wide-tower.2", "wide_tower_2.py", "WideTower2")],
)
def test_a_new_component_passes_all_checks(gqn_zoo, folder, kind, name, file, class_name):
    code, out, err = gqn_zoo("new", kind, name)
    assert (code, err) == (0, "")
    assert out == f"Wrote {file} and registry.yaml. Next: gqn-zoo check {name}\n"
    assert sorted(path.name for path in folder.iterdir()) == sorted([file, "registry.yaml"])
    text = (folder / file).read_text()
    assert f"class {class_name}(" in text and f"gqn-zoo check {name}``" in text
    assert "My" not in text.replace(class_name, "")
    code, out, err = gqn_zoo("check", name, "--json")
    assert (code, err) == (0, "")
    assert {record["status"] for record in json.loads(out)} == {"ok"}
    for size in ("full", "smoke", "small"):
        assert resolve(default_registry().variant(name, size=size))[kind].component_class.__name__ == class_name


@pytest.mark.parametrize("kind", ["core", "encoder"])
def test_a_new_component_is_linted_and_formatted_as_the_package(gqn_zoo, folder, kind):
    pytest.importorskip("ruff")
    root = Path(__file__).resolve().parents[2]
    gqn_zoo("new", kind, "mine")
    for words in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        command = [
            sys.executable,
            "-m",
            "ruff",
            *words,
            "--config",
            str(root / "pyproject.toml"),
            str(folder / "mine.py"),
        ]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_a_second_component_is_added_to_the_registry_file_of_the_folder(gqn_zoo, folder):
    gqn_zoo("new core first")
    registry = folder / "registry.yaml"
    registry.write_text(registry.read_text() + "    # a comment\n")
    before = registry.read_text()
    assert gqn_zoo("new encoder second").code == 0
    assert registry.read_text().startswith(before.rstrip())
    assert {"first", "second"} <= set(default_registry().names())


def test_a_component_is_written_to_another_folder(gqn_zoo, folder):
    code, out, _ = gqn_zoo("new core mycore -o models")
    assert code == 0 and "Next: cd models && gqn-zoo check mycore" in out
    assert sorted(path.name for path in (folder / "models").iterdir()) == ["mycore.py", "registry.yaml"]


def test_a_new_plugin_is_a_package_with_a_core_and_an_encoder(gqn_zoo, folder, monkeypatch):
    code, out, err = gqn_zoo("new plugin vision-lab")
    assert (code, err) == (0, "")
    assert "Next: pip install -e vision-lab && gqn-zoo check vision-lab/core" in out
    project = tomllib.loads((folder / "vision-lab" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["gqn_zoo.registry"] == {"vision-lab": "vision_lab"}
    monkeypatch.syspath_prepend(str(folder / "vision-lab"))
    monkeypatch.setenv("GQN_ZOO_REGISTRY", str(folder / "vision-lab" / "vision_lab" / "registry.yaml"))
    for kind in ("core", "encoder"):
        resolved = resolve(default_registry().variant(kind, size="smoke"))
        assert resolved[kind].component_class.__module__ == f"vision_lab.{kind}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("new core Mycore", "NAME: found 'Mycore', expected a lower-case letter"),
        ("new core 2nd", "NAME: found '2nd', expected a lower-case letter"),
        ("new core ../up", "NAME: found '../up', expected a lower-case letter"),
        ("new core torch", "NAME: 'torch' is the name of a Python module or keyword already"),
        ("new core class", "NAME: 'class' is the name of a Python module or keyword already"),
        ("new core cvae", "NAME: 'cvae' is a registered variant already"),
        ("new core there", "there.py: exists already"),
        ("new plugin folder", "folder: exists already"),
        ("new likelihood mine", "new: found 'likelihood', expected core, encoder or plugin"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(gqn_zoo, folder, words, message):
    (folder / "there.py").write_text("1\n")
    (folder / "folder").mkdir()
    code, out, err = gqn_zoo(words)
    assert code == 2 and out == ""
    assert message in err and err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["folder", "there.py"]
    assert (folder / "there.py").read_text() == "1\n"


@pytest.mark.parametrize(
    "text", ["version: 1\nvariants: {a: {base: vae}}\n", "variants:\n    a:\n        base: vae\nversion: 1\n"]
)
def test_a_registry_file_that_cannot_be_extended_is_left_alone(gqn_zoo, folder, text):
    (folder / "registry.yaml").write_text(text)
    code, _, err = gqn_zoo("new core mycore")
    assert code == 2 and "registry.yaml: variants: found no block of variants at the end of the file" in err
    assert (folder / "registry.yaml").read_text() == text
    assert not (folder / "mycore.py").exists()
