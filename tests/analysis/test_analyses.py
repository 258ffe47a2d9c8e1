"""What the papers claim, tested on small models: ``pytest -m paper``, minutes each."""

import json
from pathlib import Path

import pytest

from zoo.analysis.base import AnalysisContext, demonstrate, demonstration, names
from zoo.errors import ConfigError
from zoo.provenance import GitState, Provenance

RECORDS = Path(__file__).resolve().parents[2] / "results" / "demonstrations"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Demonstrations share their data sets."""
    return tmp_path_factory.mktemp("demonstrations")


@pytest.mark.paper
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", names())
def test_every_claim_holds(name, folder):
    workshop = AnalysisContext(folder=folder, tell=lambda sentence: print(f"{name}: {sentence}"))
    report = demonstrate(name, workshop, command=["pytest", "-m", "paper"])
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


@pytest.mark.parametrize("name", names())
def test_what_is_on_record_was_shown(name):
    """``results/demonstrations`` holds what a run left there, from code that is in a commit."""
    record = json.loads((RECORDS / f"{name}-claims.json").read_text(encoding="utf-8"))
    assert record["name"] == name and record["title"] == demonstration(name).TITLE
    assert record["claims"] and all(claim["holds"] for claim in record["claims"])
    assert Provenance.model_validate(record["provenance"]).git == GitState(
        commit=record["provenance"]["git"]["commit"], dirty=False
    )


def test_an_unknown_demonstration_is_refused():
    with pytest.raises(ConfigError, match="there is no demonstration 'nothing'"):
        demonstration("nothing")
