"""``gqn-zoo report``: from a folder of rows to a page, and mistakes."""

from pathlib import Path

import pytest
from PIL import Image

ROWS = Path(__file__).resolve().parents[2] / "results" / "quickstart"


def test_the_committed_rows_become_a_page(gqn_zoo, tmp_path):
    page = tmp_path / "page.html"
    code, out, err = gqn_zoo("report", ROWS, "-o", page, "--title", "Findings")
    assert (code, out) == (0, "") and f"wrote {page}" in err
    text = page.read_text(encoding="utf-8")
    assert "<title>Findings</title>" in text and "gqn-tower@small" in text
    assert gqn_zoo("report", ROWS, "-o", tmp_path / "again.html", "--title", "Findings").code == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_sheets_are_included(gqn_zoo, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "sheet-vae.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png")
    for row in (ROWS / "rows").glob("*.json"):
        (tmp_path / row.name).write_bytes(row.read_bytes())
    page = tmp_path / "page.html"
    assert gqn_zoo("report", tmp_path, "-o", page, "--sheet", tmp_path / "other.png").code == 0
    assert page.read_text(encoding="utf-8").count("data:image/png;base64,") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        ([str(ROWS), "-o", "page.pdf"], "page.pdf: expected a name that ends with .html"),
        ([str(ROWS), "--sheet", "none.png"], "none.png: cannot be read"),
    ],
)
def test_mistakes_are_one_line(gqn_zoo, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = gqn_zoo("report", *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
