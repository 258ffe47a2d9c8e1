"""``gqn-zoo report``: from a folder of rows to a page, and the mistakes that it tells."""

from pathlib import Path

import pytest
from PIL import Image

ROWS = Path(__file__).resolve().parents[2] / "results" / "quickstart"


def test_the_repository_s_rows_become_a_page(gqn_zoo, tmp_path):
    page = tmp_path / "page.html"
    code, out, err = gqn_zoo("report", ROWS, "-o", page, "--title", "What we found")
    assert (code, out) == (0, "") and f"wrote {page}" in err
    text = page.read_text(encoding="utf-8")
    assert "<title>What we found</title>" in text and "gqn-tower@quickstart" in text
    assert gqn_zoo("report", ROWS, "-o", tmp_path / "again.html", "--title", "What we found").code == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_sheets_are_taken_in(gqn_zoo, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "sheet-vae.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png")
    for row in (ROWS / "rows").glob("*.json"):
        (tmp_path / row.name).write_bytes(row.read_bytes())
    page = tmp_path / "page.html"
    assert gqn_zoo("report", tmp_path, "-o", page, "--sheet", tmp_path / "other.png").code == 0
    assert page.read_text(encoding="utf-8").count("data:image/png;base64,") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "nowhere"),
        ([str(ROWS), "-o", "page.pdf"], "page.pdf: expected a name that ends with .html"),
        ([str(ROWS), "--sheet", "none.png"], "none.png: cannot be read"),
    ],
)
def test_mistakes_are_told_in_one_line(gqn_zoo, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    code, out, err = gqn_zoo("report", *words)
    assert (code, out) == (2, "") and sentence in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
