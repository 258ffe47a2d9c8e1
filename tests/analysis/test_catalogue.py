"""Every analysis of the catalogue has a module that can be imported, with what the framework calls."""

import importlib

import pytest

from zoo.analysis.catalogue import ANALYSES, module_of


@pytest.mark.parametrize("name", list(ANALYSES))
def test_an_analysis_has_its_module(name):
    module = importlib.import_module(module_of(name))
    assert callable(module.missing) and callable(module.run)
