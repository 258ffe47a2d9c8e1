"""The source hash of third-party components: recorded in configurations and rows, part of a job's identity."""

import hashlib

import pytest
from test_sources import CORE, MINE, write

from zoo.registry import components
from zoo.registry.components import component_source
from zoo.registry.registry import default_registry


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a third party that breaks when it is imported."""
    folder = tmp_path / "site" / "zoo_test_hashed"
    write(folder / "__init__.py", "raise RuntimeError('imported')\n")
    write(folder / "layers" / "core.py", CORE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    components._source_of_package.cache_clear()
    yield folder
    components._source_of_package.cache_clear()


def test_shipped_components_have_no_source():
    assert component_source("gqn") is None and component_source("zoo.cores.vae:Vae") is None
    assert "sources" not in default_registry().variant("vae", size="smoke").config()


def test_the_hash_covers_every_python_file_of_a_package_and_imports_nothing(package):
    use = "zoo_test_hashed.layers.core:MyCore"
    before = component_source(use)
    assert before.distribution is None and before.version is None and len(before.sha256) == 16
    write(package / "notes.txt", "not code")
    assert component_source(use) == before
    hashes = {before.sha256}
    for name in ("__init__.py", "layers/core.py", "layers/new.py"):
        path = package / name
        write(path, (path.read_text() if path.exists() else "") + "# edited\n")
        components._source_of_package.cache_clear()
        hashes.add(component_source(use).sha256)
    assert len(hashes) == 4


def test_an_installed_distribution_is_named_with_its_version():
    import einops

    found = component_source("einops.layers.torch:Rearrange")
    assert (found.distribution, found.version) == ("einops", einops.__version__)


def test_a_file_beside_the_registry_is_hashed_and_the_hash_enters_the_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "registry.yaml", MINE)
    path = write(tmp_path / "my_core.py", CORE)
    variant = default_registry().variant("mine")
    digest = hashlib.sha256(b"my_core.py\0" + hashlib.sha256(path.read_bytes()).digest()).hexdigest()[:16]
    config = variant.config()
    assert config["sources"] == {"core": {"distribution": None, "version": None, "sha256": digest}}
    write(path, CORE + "# edited\n")
    assert variant.config() != config
