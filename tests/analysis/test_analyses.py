"""Claims of the papers, tested on small models: ``pytest -m paper``, minutes each."""

import importlib
import json
import pkgutil
from pathlib import Path

import pytest

import zoo.analysis
from zoo.analysis.catalogue import ANALYSES, find_analysis
from zoo.analysis.context import AnalysisContext, run_analysis
from zoo.errors import ConfigError
from zoo.provenance import GitState, Provenance

RECORDS = Path(__file__).resolve().parents[2] / "results" / "demonstrations"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Analyses share their data sets."""
    return tmp_path_factory.mktemp("demonstrations")


@pytest.mark.paper
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ANALYSES)
def test_every_claim_holds(name, folder):
    context = AnalysisContext(folder=folder, log=lambda sentence: print(f"{name}: {sentence}"))
    claims = run_analysis(name, context, command=["pytest", "-m", "paper"])
    for claim in claims:
        print(claim.sentence)
    assert claims
    assert list(folder.glob("*.png"))
    assert [claim.sentence for claim in claims if not claim.holds] == []


def test_the_catalogue_lists_every_module_that_can_be_run():
    modules = {module.name for module in pkgutil.iter_modules(zoo.analysis.__path__)}
    runnable = {name for name in modules if hasattr(importlib.import_module(f"zoo.analysis.{name}"), "run")}
    assert set(ANALYSES) == runnable


@pytest.mark.parametrize("analysis", ANALYSES.values(), ids=ANALYSES)
def test_every_analysis_has_a_title_a_paper_and_a_duration(analysis):
    assert analysis.title
    assert any(str(year) in analysis.paper for year in range(2013, 2027))
    assert 0 < analysis.minutes <= 30


@pytest.mark.parametrize("name", ANALYSES)
def test_all_recorded_claims_held_with_committed_code(name):
    record = json.loads((RECORDS / f"{name}-claims.json").read_text(encoding="utf-8"))
    assert record["name"] == name
    assert record["claims"] and all(claim["holds"] for claim in record["claims"])
    assert Provenance.model_validate(record["provenance"]).git == GitState(
        commit=record["provenance"]["git"]["commit"], dirty=False
    )


def test_an_unknown_analysis_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigError, match="there is no analysis 'surprize'; did you mean 'surprise'"):
        find_analysis("surprize")
