"""What is read from the source of components, against the imported components; the committed parameter counts."""

import inspect

import pytest
from write_parameter_counts import parameter_counts

from zoo.model import tasks
from zoo.registry import documentation
from zoo.registry.components import KINDS, available, find_component
from zoo.registry.documentation import architecture_hash, documentation_of, parameter_count
from zoo.registry.registry import Registry
from zoo.registry.sources import RegistryFile, registry_path
from zoo.registry.variant import FULL

REGISTRY = Registry([RegistryFile(registry_path())])
COMPONENTS = [(kind, use) for kind in KINDS for use in (tasks.by_name() if kind == "task" else available(kind))]


@pytest.mark.parametrize(("kind", "use"), COMPONENTS)
def test_documentation_from_source_is_that_of_the_imported_component(kind, use):
    found, component = documentation_of(kind, use), find_component(kind, use, file="f")
    assert found.text == (inspect.getdoc(component) or "") and found.summary
    fields = component.Config.model_fields
    assert {key: each.meaning for key, each in found.settings.items()} == {
        key: field.description or "" for key, field in fields.items()
    }


@pytest.mark.parametrize("name", REGISTRY.names())
def test_settings_from_source_are_those_of_the_imported_components(name):
    for size in (FULL, *REGISTRY.entry(name)[0].sizes):
        variant = REGISTRY.variant(name, size=size)
        config = variant.config()
        for kind in KINDS:
            component = variant.component(kind)
            values = documentation_of(kind, component.use).values(component.settings)
            assert {"use": component.use, **values} == config[kind]


def test_the_committed_parameter_counts_are_those_of_the_models():
    """After a change of a model or of registry.yaml run ``python tests/registry/write_parameter_counts.py``."""
    assert documentation._counts() == parameter_counts()


def test_an_unknown_architecture_has_no_count():
    assert parameter_count(REGISTRY.variant("gqn-tower", overrides=["training.steps=7"])) == 179_023_119
    assert parameter_count(REGISTRY.variant("gqn-tower", overrides=["core.steps=7"])) is None
    third_party = REGISTRY.variant("vae", overrides=["core={use: 'zoo_lab:Core'}"])
    assert architecture_hash(third_party) is None and parameter_count(third_party) is None


def test_settings_that_only_an_import_can_read_are_refused(tmp_path, monkeypatch):
    source = "class Core:\n    class Config({base}):\n        width: int = {default}\n"
    monkeypatch.setattr(documentation, "folder_of", lambda kind: tmp_path)
    (tmp_path / "mine.py").write_text(source.format(base="Widths", default="1"))
    with pytest.raises(LookupError, match="settings of Widths"):
        documentation_of("core", "mine")
    (tmp_path / "mine.py").write_text(source.format(base="Settings", default="2 ** WIDTH"))
    found = documentation_of("core", "mine")
    assert found.values({"width": 3}) == {"width": 3}
    with pytest.raises(LookupError, match="not a plain value"):
        found.values({})
