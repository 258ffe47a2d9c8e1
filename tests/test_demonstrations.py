"""What the papers claim, tested on small models: ``pytest -m paper``, minutes each."""

import pytest

from zoo.demonstration import Workshop, demonstrate, demonstration, names
from zoo.errors import ConfigError


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Demonstrations share their data sets."""
    return tmp_path_factory.mktemp("demonstrations")


@pytest.mark.paper
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", names())
def test_every_claim_holds(name, folder):
    report = demonstrate(name, Workshop(folder=folder, tell=lambda sentence: print(f"{name}: {sentence}")))
    for claim in report.claims:
        print(claim.sentence)
    assert report.claims
    assert list(folder.glob("*.png"))
    assert [claim.sentence for claim in report.claims if not claim.holds] == []


@pytest.mark.parametrize("name", names())
def test_every_demonstration_says_what_it_shows(name):
    shown = demonstration(name)
    assert shown.TITLE
    assert any(str(year) in shown.PAPER for year in range(2013, 2027))
    assert 0 < shown.MINUTES <= 30


def test_an_unknown_demonstration_is_refused():
    with pytest.raises(ConfigError, match="there is no demonstration 'nothing'"):
        demonstration("nothing")
