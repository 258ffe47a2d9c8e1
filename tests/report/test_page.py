"""The page: it holds the numbers of the tables and nothing from elsewhere, whatever the rows are called."""

import base64
import csv
import hashlib
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from zoo.comparison.leaderboards import leaderboards_of
from zoo.comparison.records import csv_of, leaderboard_records
from zoo.comparison.tables import tables_of
from zoo.errors import ResultError
from zoo.report.page import page_of, write_page
from zoo.results.row import ResultRow

HOSTILE = "gqn-<script>alert(1)</script>\"' onload=x {{ 7*7 }} </title> &lt;\u202ereversed\x07"
VOID = {"meta", "br", "img"}


class Reader(HTMLParser):
    """Reads a page strictly: every element that is opened is closed; keeps elements, tables and texts."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.tables, self.texts = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes), (tag, attributes)
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(["", dict(attributes)])

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if any(tag in ("td", "th") for tag in self.open):
            self.tables[-1][-1][-1][0] += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def rows(make_row, make_failure, make_key, excess_of_scenes):
    def noise(seed):
        return np.random.default_rng(seed).normal(0, 0.5, len(excess_of_scenes))

    made = [
        make_row(excess_of_scenes + 3 * place + seed / 10 + noise(10 * place + seed), variant=name, seed=seed)
        for place, name in enumerate(["gqn-tower", "cvae", "vae"])
        for seed in range(3)
    ]
    made.append(make_row(excess_of_scenes, variant="gqn-pool", key=make_key(sigma=1.0)))
    made.append(make_failure(variant="draw", key=make_key(), error="no memory left: 3 GiB " + 300 * "x"))
    return made


def test_the_tables_are_those_of_compare(rows):
    reader = Reader(page_of(rows))
    boards = [board for board in leaderboards_of(rows) if board.models]
    found = rankings(reader)
    assert len(found) == len(boards) == 2
    for table in tables_of(boards):
        (page,) = [cells for cells in found if len(cells) == len(table.frame) + 1]
        head, *lines = [[text for text, _ in line] for line in page]
        assert head == list(table.frame.columns)
        assert lines == table.frame.to_numpy().tolist()
        assert table.title in "".join(reader.texts)
        for note in table.notes:
            assert note in reader.texts


def test_rows_that_are_not_comparable_do_not_share_a_table(rows):
    first, second = rankings(Reader(page_of(rows)))
    assert [line[1][0] for line in first[1:]] == ["gqn-tower", "cvae", "vae"]
    assert [line[1][0] for line in second[1:]] == ["gqn-pool"]


def test_a_single_result_is_folded_below_the_main_tables(rows):
    reader = Reader(page_of(rows))
    folded = [attributes for attributes in reader.named("details") if attributes.get("class") == "board"]
    assert [attributes["id"] for attributes in folded] == ["table-2"]
    assert [a["id"] for a in reader.named("article") if a.get("id")] == ["table-1"]
    alone = Reader(page_of([row for row in rows if row.variant == "gqn-pool"]))
    assert [a["id"] for a in alone.named("article") if a.get("id")] == ["table-1"]


def test_numbers_are_sorted_by_their_values(rows):
    table = rankings(Reader(page_of(rows)))[0]
    heads = dict(map(tuple, table[0]))
    column = [text for text, _ in table[0]].index("excess NELBO ↓")
    values = [float(line[column][1]["data-value"]) for line in table[1:]]
    assert values == sorted(values) and len(set(values)) == 3
    assert all(line[column][0].startswith(line[column][1]["data-value"]) for line in table[1:])
    behind = next(place for place, (text, _) in enumerate(table[0]) if text.startswith("behind best"))
    assert table[1][behind] == ["", {"class": "number", "data-value": "0"}]
    assert all(line[behind][0].startswith(f"[{line[behind][1]['data-value']}, ") for line in table[2:])
    assert heads["PSNR (dB) ↑"]["data-first"] == "descending" and "data-first" not in heads["params (M)"]
    assert "data-kind" not in heads["variant"] and heads["params (M)"]["data-kind"] == "number"


def test_only_an_established_difference_is_bold(rows, make_row, excess_of_scenes):
    assert page_of(rows).count("<strong>") == 1
    assert (
        page_of(
            [
                make_row(excess_of_scenes, variant="a"),
                make_row(excess_of_scenes + 1e-3 * (-1) ** np.arange(40), variant="b"),
            ]
        ).count("<strong>")
        == 0
    )


def test_the_page_needs_nothing_from_elsewhere(rows, tmp_path):
    Image.new("RGB", (30, 20), "red").save(tmp_path / "sheet-a.png")
    page = page_of(rows, sheets=[tmp_path / "sheet-a.png"])
    reader = Reader(page)
    for tag, attributes in reader.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "foreignobject", "use"}
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in {"style", "srcset", "xlink:href", "action"}, (tag, name)
            if name in ("href", "src"):
                assert value.startswith(
                    ("#", "data:text/csv;base64,", "data:image/png;base64,", "data:image/svg+xml;base64,")
                ), value[:50]
    assert "http://" not in page and "https://" not in page and "@import" not in page and "url(" not in page
    *charts, sheet = [attributes["src"] for attributes in reader.named("img")]
    assert sheet.startswith("data:image/png") and charts
    for chart in charts:
        drawn = base64.b64decode(chart.partition(",")[2]).decode()
        assert "<script" not in drawn and "<image" not in drawn and "@import" not in drawn


def test_links_lead_to_places_in_the_page(rows):
    reader = Reader(page_of(rows))
    places = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(places) == len(set(places))
    links = {attributes["href"][1:] for attributes in reader.named("a") if attributes["href"].startswith("#")}
    labels = {attributes["aria-labelledby"] for _, attributes in reader.elements if "aria-labelledby" in attributes}
    assert len(links) >= 3 and links | labels <= set(places)


def test_the_policy_admits_the_page_s_own_style_and_script_alone(rows):
    page = page_of(rows)
    (policy,) = [m["content"] for m in Reader(page).named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_hostile_names_stay_texts(make_row, make_failure, make_key, excess_of_scenes, tmp_path):
    failure = make_failure(variant=HOSTILE, error=HOSTILE, key=make_key())
    other = make_row(excess_of_scenes + 1, key=make_key(dataset=HOSTILE))
    provenance = other.provenance.model_copy(update={"command": HOSTILE, "device": HOSTILE})
    plain = Reader(
        page_of([make_row(excess_of_scenes), make_row(excess_of_scenes + 5, variant="b"), failure.model_copy(), other])
    )
    evil = [
        make_row(excess_of_scenes, variant=HOSTILE, encoder=HOSTILE, core=HOSTILE),
        make_row(excess_of_scenes + 5, variant="b"),
    ]
    fields = {name: getattr(other, name) for name in ResultRow.model_fields if name != "id"}
    page = page_of([*evil, failure, ResultRow(**fields | {"provenance": provenance})], title=HOSTILE + "\ud800")
    reader = Reader(page)
    assert len(reader.named("script")) == len(plain.named("script")) == 1
    assert "alert(1)</script>" not in page and "{{ 7*7 }}" in page
    assert "\u202e" not in page and "\ud800" not in page and "\x07" not in page
    page.encode("utf-8")
    cleaned = "gqn-<script>alert(1)</script>\"' onload=x {{ 7*7 }} </title> &lt; reversed"
    assert any(cleaned in text for text in reader.texts)
    charts = [base64.b64decode(a["src"].partition(",")[2]) for a in reader.named("img")]
    assert charts and all(ElementTree.fromstring(chart) is not None and b"<script" not in chart for chart in charts)
    assert not [a for _, a in reader.elements if "onload" in a]
    assert write_page([*evil, failure], tmp_path / "page.html").read_bytes()


def test_the_same_rows_give_the_same_bytes(rows, tmp_path):
    once = write_page(rows, tmp_path / "a.html").read_bytes()
    assert write_page(rows[::-1], tmp_path / "b.html").read_bytes() == once
    assert write_page(rows[:-1], tmp_path / "c.html").read_bytes() != once


def test_failures_are_listed_with_their_whole_error(rows, make_row, excess_of_scenes):
    reader = Reader(page_of(rows))
    assert sum("no memory left: 3 GiB " + 300 * "x" in text for text in reader.texts) == 1
    assert "Failed, not ranked: 1 of 11 rows." in reader.texts
    assert "Failures" not in Reader(page_of(rows[:-1])).texts


def test_every_row_has_its_provenance(rows):
    reader = Reader(page_of(rows))
    (table,) = [table for table in reader.tables if table[0][0][0] == "row"]
    assert sorted(line[0][0] for line in table[1:]) == sorted(row.id for row in rows)
    heads = [text for text, _ in table[0]]
    record = dict(zip(heads, [text for text, _ in table[1]], strict=True))
    assert record["commit"] == "ab12ab12ab12" and record["modified"] == "yes"
    assert record["date (UTC)"] == "2026-11-21T08:00:00Z" and record["command"] == "gqn-zoo evaluate"
    assert record["environment"] == "E1" and record["settings"] == "0" * 16
    assert "EPYC, 2 cores, 2 threads; on cpu" in reader.texts and "gqn-zoo 0.1.0, torch 2.15.0" in reader.texts


def test_tables_have_the_same_numbers_in_the_page_and_in_its_csv(rows, make_row, make_key, excess_of_scenes):
    page = page_of([*rows, make_row(excess_of_scenes, variant="alone", key=make_key(sigma=0.5))])
    records = csv.DictReader(io.StringIO(base64.b64decode(re.search('data:text/csv;base64,([^"]*)', page)[1]).decode()))
    (number,) = {record["table"] for record in records if record["variant"] == "alone"}
    assert re.search(r"Table (\d+)\. [^<]*sigma 0\.5", page)[1] == number != "1"


def test_all_numbers_are_in_the_page_as_csv(rows):
    (link,) = [a["href"] for a in Reader(page_of(rows)).named("a") if a["href"].startswith("data:text/csv")]
    text = base64.b64decode(link.partition(",")[2]).decode()
    assert text == csv_of(leaderboard_records(leaderboards_of(rows)))


@pytest.mark.parametrize("name", ["page", "page.pdf", "html"])
def test_a_page_ends_with_html(rows, tmp_path, name):
    with pytest.raises(ResultError, match=r"expected a name that ends with \.html"):
        write_page(rows, tmp_path / name)


def test_a_page_without_rows_is_an_error():
    with pytest.raises(ResultError, match="at least one result row"):
        page_of([])


def test_images_are_whole_images(rows, tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "whole.png")
    contents = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(contents[: len(contents) // 2])
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    for name in ("torn.png", "drawing.svg"):
        with pytest.raises(ResultError, match=f"{name}: is not a whole image"):
            page_of(rows, sheets=[tmp_path / name])
    with pytest.raises(ResultError, match=r"none\.png: cannot be read"):
        page_of(rows, sheets=[tmp_path / "none.png"])


def rankings(reader):
    return [table for table in reader.tables if table[0][0][0] == "#"]
