"""Registry files of the user: the working directory, --registry, GQN_ZOO_REGISTRY, and a checkout's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_registry import ONE, refusal

import zoo
from zoo.errors import ConfigError, ZooWarning
from zoo.registry.registry import default_registry, variant_from_config
from zoo.registry.sources import registry_environment, registry_path, user_files
from zoo.registry.variant import build, resolve

ROOT = Path(__file__).resolve().parents[2]
CORE = '''\
from zoo.cores.vae import Vae as Shipped


class MyCore(Shipped):
    """A core of a file."""
'''
MINE = """\
version: 1
variants:
  mine:
    base: vae
    core: {use: ./my_core.py:MyCore, z_channels: 8, channels: 8}
    image_size: 16
    sizes: {smoke: {core: {use: ./my_core.py:MyCore, channels: 4}}}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("GQN_ZOO_REGISTRY", raising=False)
    return folder


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_a_file_of_the_user_there_is_the_shipped_registry(here):
    assert [file.path for file in user_files()] == [registry_path()]
    assert registry_environment() == {}


def test_files_of_the_working_directory_the_environment_and_the_call_are_read(here, monkeypatch, tmp_path):
    write(here / "registry.yaml", ONE)
    second, third, fourth = (
        write(tmp_path / name / "lab.yaml", ONE.replace("  one:", f"  {name}:")) for name in ("two", "three", "four")
    )
    monkeypatch.setenv("GQN_ZOO_REGISTRY", os.pathsep.join([os.path.relpath(second), str(third)]))
    registry = default_registry([fourth])
    assert {"one", "two", "three", "four", "vae"} <= set(registry.names())
    assert registry.entry("two")[1] == str(second)
    assert registry_environment() == {
        "GQN_ZOO_REGISTRY": os.pathsep.join(map(str, (here / "registry.yaml", second, third)))
    }
    assert zoo.list_variants("four", registry=[fourth]) == ["four"]
    assert zoo.list_variants("four") == []


def test_the_same_file_named_twice_is_read_once(here, monkeypatch):
    path = write(here / "registry.yaml", ONE)
    monkeypatch.setenv("GQN_ZOO_REGISTRY", str(path))
    assert default_registry(["registry.yaml", path]).names("one") == ["one"]


def test_a_changed_file_is_read_again(here):
    path = write(here / "registry.yaml", ONE)
    assert default_registry().entry("one")[0].title == "One"
    write(path, ONE.replace("title: One", "title: Another title"))
    assert default_registry().entry("one")[0].title == "Another title"


def test_a_name_that_two_files_register_is_refused_with_both_origins(here):
    path = write(here / "registry.yaml", ONE.replace("  one:", "  vae:"))
    message = refusal(default_registry)
    assert str(path) in message and str(registry_path()) in message and "'vae'" in message


def test_a_broken_file_of_the_working_directory_is_a_warning_and_a_named_one_an_error(here):
    path = write(here / "registry.yaml", "name: something else\n")
    with pytest.warns(ZooWarning, match="unknown key 'name'"):
        registry = default_registry()
    assert "vae" in registry.names()
    assert "unknown key 'name'" in refusal(registry.entry, "mine")
    assert "unknown key 'name'" in refusal(default_registry, [path], error=ConfigError)
    assert "missing.yaml: cannot be read" in refusal(default_registry, ["missing.yaml"], error=ConfigError)


def test_the_registry_of_a_checkout_stands_in_for_the_shipped_copy(here, monkeypatch):
    write(here / "pyproject.toml", '[project]\nname = "gqn-zoo"\n')
    write(here / "zoo" / "__init__.py", "")
    shipped = registry_path().read_text()
    path = write(here / "registry.yaml", shipped + "\n  pasted: {base: vae, core: {z_channels: 3}}\n")
    registry = default_registry()
    assert registry.entry("vae")[1] == registry.entry("pasted")[1] == str(path)
    assert [file.path for file in registry.files if not file.prefix] == [path]
    monkeypatch.chdir(here.parent)
    monkeypatch.setenv("GQN_ZOO_REGISTRY", str(path))
    assert default_registry().entry("pasted")[1] == str(path), "a job elsewhere reads it as well"
    write(here / "pyproject.toml", '[project]\nname = "another"\n')
    assert "registered already" in refusal(lambda: default_registry())


def test_an_entry_derives_from_a_variant_of_another_file_with_its_code(here, tmp_path):
    lab = write(tmp_path / "lab" / "lab.yaml", MINE).parent
    write(lab / "my_core.py", CORE)
    write(here / "registry.yaml", "version: 1\nvariants:\n  theirs: {base: mine, core: {z_channels: 3}}\n")
    registry = default_registry([lab / "lab.yaml"])
    variant = registry.variant("theirs")
    assert variant.core.settings == {"z_channels": 3, "channels": 8}
    assert resolve(variant)["core"].component_class.__name__ == "MyCore"
    again = variant_from_config(variant.config(), file="config.yaml", registry=registry)
    assert resolve(again)["core"].component_class is resolve(variant)["core"].component_class


def test_a_file_beside_the_registry_file_is_imported_only_when_its_variant_is_asked_for(here):
    write(here / "registry.yaml", MINE)
    write(here / "my_core.py", "raise RuntimeError('imported')\n")
    registry = default_registry()
    assert registry.variant("mine").core.use == "./my_core.py:MyCore"
    message = refusal(resolve, registry.variant("mine"))
    assert "core.use: './my_core.py:MyCore' cannot be imported: RuntimeError: imported" in message
    write(here / "my_core.py", CORE)
    for size in ("full", "smoke"):
        assert type(build(registry.variant("mine", size=size)).core).__name__ == "MyCore"


def test_an_edited_file_is_imported_again(here):
    write(here / "registry.yaml", MINE)
    write(here / "my_core.py", CORE)
    variant = default_registry().variant("mine")
    before = variant.config()
    assert resolve(variant)["core"].component_class.__doc__ == "A core of a file."
    write(here / "my_core.py", CORE.replace("of a file", "that was edited"))
    assert resolve(variant)["core"].component_class.__doc__ == "A core that was edited."
    with pytest.warns(ZooWarning, match=r"run/config.yaml: the code of core '\./my_core.py:MyCore' has changed since"):
        variant_from_config(before, file="run/config.yaml")


@pytest.mark.parametrize(
    ("use", "part"),
    [
        ("./../outside.py:MyCore", "expected a .py file in or below the registry file's folder"),
        ("./link.py:MyCore", "expected a .py file in or below the registry file's folder"),
        ("./my_core.txt:MyCore", "expected a .py file in or below the registry file's folder"),
        ("./my_core:MyCore", "expected a .py file in or below the registry file's folder"),
        ("./missing.py:MyCore", "there is no file"),
        ("./my_core.py:Missing", "cannot be imported: AttributeError"),
        ("./my_core.py:Shipped.Config", "cannot be imported: AttributeError"),
        ("my_core.py:MyCore", "did you mean './my_core.py:MyCore'?"),
        ("../outside.py:MyCore", "cannot be imported"),
    ],
)
def test_a_file_that_is_not_below_the_registry_files_folder_is_refused(here, use, part):
    write(here.parent / "outside.py", CORE)
    (here / "link.py").symlink_to(here.parent / "outside.py")
    write(here / "my_core.py", CORE)
    write(here / "registry.yaml", MINE.replace("./my_core.py:MyCore", use))
    message = refusal(resolve, default_registry().variant("mine"))
    assert part in message and "core.use" in message
    absolute = f"core={{use: '{here}/my_core.py:MyCore'}}"
    assert "cannot be imported" in refusal(resolve, default_registry().variant("mine", overrides=[absolute]))


def test_an_override_names_a_file_beside_the_registry_file_of_its_variant(here, tmp_path, monkeypatch):
    write(here / "registry.yaml", MINE)
    write(here / "my_core.py", CORE)
    write(here / "other.py", CORE.replace("MyCore", "Other"))
    variant = default_registry().variant("mine", overrides=["core={use: ./other.py:Other, channels: 4}"])
    assert resolve(variant)["core"].component_class.__name__ == "Other"


def test_a_configuration_whose_registry_file_is_not_read_says_so(here, monkeypatch):
    write(here / "registry.yaml", MINE)
    write(here / "my_core.py", CORE)
    config = default_registry().variant("mine").config()
    assert config["core"]["use"] == "./my_core.py:MyCore", "no path of this machine"
    monkeypatch.chdir(here.parent)
    message = refusal(lambda: resolve(variant_from_config(config, file="run/config.yaml")))
    assert "run/config.yaml" in message and "--registry" in message and "./my_core.py:MyCore" in message


def test_a_program_in_another_folder_reads_what_the_environment_names(here, tmp_path):
    path = write(tmp_path / "lab" / "lab.yaml", MINE)
    write(tmp_path / "lab" / "my_core.py", CORE)
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "list", "mine", "--json"],
        capture_output=True,
        text=True,
        cwd=here,
        env={**os.environ, "GQN_ZOO_REGISTRY": str(path), "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert '"mine"' in done.stdout
    shutil.rmtree(here)
