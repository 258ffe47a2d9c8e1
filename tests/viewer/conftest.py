import pytest

from zoo.viewer.library import ModelLibrary


@pytest.fixture(scope="session")
def library():
    return ModelLibrary()
