"""The page of all analyses: it is up to date, its figures are copies of the results, and its mistakes are sentences."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.gallery import COLOURS, SOURCE, WIDTH, read_record, write_gallery
from zoo.errors import ResultError
from zoo.files import sha256_of

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE = ROOT / "results" / "analyses", ROOT / "docs" / "gallery.md"
MOST_BYTES = 2_500_000


def test_the_committed_page_and_its_figures_are_up_to_date(tmp_path):
    absent = write_gallery(tmp_path / "gallery.md", results=RESULTS)
    assert set(absent) < set(ANALYSES)
    assert (tmp_path / "gallery.md").read_text() == PAGE.read_text(encoding="utf-8"), "run gqn-zoo analyse --gallery"
    copies = sorted(PAGE.with_suffix("").iterdir())
    assert [copy.name for copy in copies] == sorted(copy.name for copy in (tmp_path / "gallery").iterdir())
    for copy in copies:
        with Image.open(copy) as image:
            assert image.width <= WIDTH and image.text[SOURCE] == sha256_of(RESULTS / copy.name), copy.name
    assert sum(copy.stat().st_size for copy in copies) < MOST_BYTES


@pytest.fixture
def results(tmp_path):
    """The results of one analysis, with a sheet."""
    folder = tmp_path / "results"
    folder.mkdir()
    claims = [
        {"text": "decided", "measured": "", "holds": True, "mean": 1.0},
        {
            "text": "a|b",
            "measured": "",
            "holds": False,
            "mean": -2.0,
            "low": -3.0,
            "high": 4.0,
            "unit": "nats",
            "scenes": 30,
        },
    ]
    record = {
        "models": [{"label": "x@small"}],
        "data": {"name": "rooms"},
        "scenes": 30,
        "claims": claims,
        "provenance": {"command": "gqn-zoo analyse surprise -n 30"},
    }
    (folder / "surprise.json").write_text(json.dumps(record))
    for name in ("surprise", "surprise-b", "surprise-a", "other"):
        noise = np.random.default_rng(0).integers(256, size=(90, 1600, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{name}.png")
    return folder


def test_the_page_has_number_command_and_figures_of_what_there_is(results, tmp_path):
    absent = write_gallery(tmp_path / "page.md", results=results)
    assert absent == [name for name in ANALYSES if name != "surprise"]
    text = (tmp_path / "page.md").read_text()
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(ANALYSES)
    assert "*a\\|b*: does not hold, **-2 nats** (-3 to +4), 30 scenes. 1 of 2 claims hold. Models: `x@small`" in text
    assert "```bash\ngqn-zoo analyse surprise -n 30\n```" in text
    assert text.index("page/surprise.png") < text.index("page/surprise-a.png") < text.index("page/surprise-b.png")
    assert "No results yet: needs core draw; `gqn-zoo analyse steps RUN`." in text and "other.png" not in text
    with Image.open(tmp_path / "page" / "surprise.png") as image:
        assert image.width == WIDTH and abs(image.height - 90 * WIDTH / 1600) < 1.0
        assert len(image.getcolors()) <= COLOURS


def test_models_of_earlier_files_are_known_by_their_labels(results):
    record = json.loads((results / "surprise.json").read_text())
    (results / "old.json").write_text(json.dumps(record | {"models": {"x@small": {}, "y@small": {}}}))
    assert read_record(results / "old.json").labels == ["x@small", "y@small"]


def test_damaged_results_are_named(results, tmp_path):
    record = json.loads((results / "surprise.json").read_text())
    record["claims"][1]["low"] = "few"
    (results / "surprise.json").write_text(json.dumps(record))
    with pytest.raises(ResultError, match=r"surprise\.json: claims\.1\.low: "):
        write_gallery(tmp_path / "page.md", results=results)
    shutil.copy(RESULTS / "surprise.json", results)
    (results / "surprise.png").unlink()
    with pytest.raises(ResultError, match=r"surprise\.png: is missing, expected the figure"):
        write_gallery(tmp_path / "page.md", results=results)
    assert not (tmp_path / "page.md").exists()
