import importlib.metadata
import sys

import pytest
from test_registry import ONE, refusal

from zoo.errors import ZooWarning
from zoo.registry.registry import Registry, _read, default_registry
from zoo.registry.sources import plug_in_files, user_files
from zoo.registry.variant import resolve


def plug_in(monkeypatch, **packages):
    """Fakes installed entry points ``name=package``."""
    points = [importlib.metadata.EntryPoint(name, value, "gqn_zoo.registry") for name, value in packages.items()]
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda *, group: points if group == "gqn_zoo.registry" else []
    )


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """An installed package that breaks when it is imported, with a registry file beside its code."""
    package = tmp_path / "site" / "zoo_lab_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "registry.yaml").write_text(ONE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return package


def test_the_variants_of_a_plug_in_bear_its_name_and_listing_does_not_import_it(monkeypatch, lab):
    plug_in(monkeypatch, lab="zoo_lab_package")
    registry = Registry([*user_files(), *plug_in_files()])
    assert registry.names("lab/*") == ["lab/one"]
    assert "vae" in registry.names()
    variant = registry.variant("lab/one")
    assert variant.file == str(lab / "registry.yaml")
    assert resolve(variant)["core"].config.channels == 8
    assert "zoo_lab_package" not in sys.modules
    assert "did you mean 'lab/one'" in refusal(lambda: registry.entry("lab/oen"))


def test_a_plug_in_with_capital_letters_is_found_by_patterns(monkeypatch, lab):
    """Patterns are lower-cased; names of plug-ins are not."""
    plug_in(monkeypatch, Lab="zoo_lab_package")
    registry = Registry([*user_files(), *plug_in_files()])
    assert registry.names("Lab/*") == registry.names("lab/one") == ["Lab/one"]
    assert registry.names("Lab/*", exclude="LAB/o*") == []


def test_a_plug_in_in_a_subpackage_is_not_imported_either(monkeypatch, lab):
    (lab / "variants").mkdir()
    (lab / "variants" / "__init__.py").write_text("")
    (lab / "registry.yaml").rename(lab / "variants" / "registry.yaml")
    plug_in(monkeypatch, lab="zoo_lab_package.variants")
    assert Registry([*user_files(), *plug_in_files()]).names("lab/*") == ["lab/one"]
    assert "zoo_lab_package" not in sys.modules


@pytest.mark.parametrize(
    "value",
    [
        "zoo_lab_package_gone",
        "zoo_lab_package_gone.sub",
        "zoo_lab_package:SPEC",
        "zoo_lab_package.gone",
        "json.decoder",
    ],
)
def test_a_plug_in_that_is_not_a_package_is_named(monkeypatch, lab, value):
    plug_in(monkeypatch, lab=value)
    registry = Registry([*user_files(), *plug_in_files()])
    (problem,) = registry.problems
    assert "plug-in 'lab'" in problem and repr(value) in problem
    assert problem in refusal(registry.entry, "lab/one")
    assert "vae" in registry.names()


def test_a_broken_entry_of_a_plug_in_is_an_error_only_when_it_is_asked_for(monkeypatch, lab):
    plug_in(monkeypatch, lab="zoo_lab_package")
    (lab / "registry.yaml").write_text(ONE + "  two: {base: thre}\n")
    registry = Registry([*user_files(), *plug_in_files()])
    (problem,) = registry.problems
    assert str(lab / "registry.yaml") in problem and "'thre'" in problem
    assert registry.names("lab/*") == ["lab/one"]
    assert registry.variant("vae") and registry.variant("lab/one")
    assert refusal(registry.entry, "lab/two") == refusal(registry.names, "lab/two") == problem


def test_a_plug_in_without_a_registry_file_is_an_error_only_when_it_is_asked_for(monkeypatch, lab):
    plug_in(monkeypatch, lab="zoo_lab_package")
    (lab / "registry.yaml").unlink()
    _read.cache_clear()
    with pytest.warns(ZooWarning, match="cannot be read"):
        registry = default_registry()
    assert registry.variant("vae")
    message = refusal(registry.entry, "lab/one")
    assert str(lab / "registry.yaml") in message and "cannot be read" in message
    assert "cannot be read" not in refusal(registry.entry, "vea")
    _read.cache_clear()


def test_an_entry_of_a_plug_in_derives_from_a_shipped_variant_of_the_same_name(monkeypatch, lab):
    plug_in(monkeypatch, lab="zoo_lab_package")
    (lab / "registry.yaml").write_text(
        "version: 1\nvariants:\n  cvae: {base: cvae, core: {z_channels: 5}}\n  own: {base: cvae}\n"
    )
    registry = Registry([*user_files(), *plug_in_files()])
    assert registry.problems == []
    assert registry.variant("lab/cvae").core.settings == {**registry.variant("cvae").core.settings, "z_channels": 5}
    assert registry.variant("lab/own").core.settings["z_channels"] == 5, "a variant of the same file comes first"
    assert registry.entry("lab/cvae")[0].paper == "" and registry.entry("lab/cvae")[0].status == "extension"
    (lab / "registry.yaml").write_text("version: 1\nvariants:\n  film-vae: {base: cvea}\n")
    (problem,) = Registry([*user_files(), *plug_in_files()]).problems
    assert (
        "there is no variant 'cvea'; did you mean" in problem
        and "'cvae'" in problem
        and "film-vae" not in problem.rpartition("mean")[2]
    )


def test_two_plug_ins_may_use_the_same_name_for_a_variant(monkeypatch, lab):
    plug_in(monkeypatch, lab="zoo_lab_package", other="zoo_lab_package")
    assert Registry([*user_files(), *plug_in_files()]).names("*/*") == ["lab/one", "other/one"]
