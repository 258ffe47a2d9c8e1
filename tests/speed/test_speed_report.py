"""Tables and images of the speed suite contain what was measured."""

import pytest
from PIL import Image

from benchmarks.speed.record import load, save
from benchmarks.speed.report import _digits, markdown, tables, write_report


def cells(record, title):
    """The rows of a table, as dictionaries."""
    _, _, text = tables(record).partition(f"**{title}**\n\n")
    header, _, *lines = [line for line in text.split("\n\n")[0].splitlines() if line.startswith("|")]
    names, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in (header, *lines))
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_targets_are_beside_the_measured_quantities(record):
    first, second, *_ = cells(record, "Targets")
    assert (first["of"], first["target"], first["reached"], first["holds"]) == (
        "shared",
        "at least 2",
        "2.50 (2.42 to 2.58)",
        "yes",
    )
    assert (second["of"], second["reached"], second["holds"]) == ("unshared", "0.900 (0.900 to 0.940)", "no")
    assert "Targets" not in tables(record.model_copy(update={"size": "quick"}))


def test_times_and_work_of_the_networks_have_a_table_each(record):
    time, _ = cells(record, "plain loop: time")
    assert time["speed-up"] == "2.50 (2.42 to 2.58)" and time["time, fast (s)"] == "0.100 (0.100 to 0.100)"
    assert time["difference"] == "3.0e-07"
    (work,) = cells(record, "plain loop: arithmetic and memory")
    assert work == {
        "of": "shared",
        "in": "training, 1 query",
        "way": "fast",
        "saved activations": "3.00 MiB",
        "fraction of the convolution": "0.800 (0.720 to 0.880)",
    }


def test_exponents_have_their_range(record):
    fast, plain = cells(record, "scaling")
    assert fast["time of"] == "training, fast" and plain["time of"] == "training, plain"
    assert (fast["with"], fast["range"]) == ("queries", "1 to 4")
    assert fast["exponent"].startswith("1.01 (1.00 to 1.02)")


def test_failures_and_notes_are_reported(record):
    assert "a note on gpu" in markdown(record)
    broken = record.parts[-1].model_copy(update={"failures": ["shared: it broke"]})
    text = markdown(record.model_copy(update={"parts": [*record.parts[:-1], broken]}))
    assert "Not measured" in text and "shared: it broke" in text and "Not measured" not in markdown(record)


def test_the_same_record_gives_the_same_files(record, tmp_path):
    again = load(save(record, tmp_path / "record"))
    first, second = write_report(record, tmp_path / "first"), write_report(again, tmp_path / "second")
    assert [path.name for path in first] == [
        f"{record.name}{ending}" for ending in (".md", "-ratios.png", "-scaling.png")
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    for path in first[1:]:
        with Image.open(path) as image:
            assert min(image.size) > 300
        assert f"]({path.name})" in first[0].read_text()


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (1234.5, "1230"), (0.999, "0.999"), (0.01234, "0.0123")])
def test_numbers_have_three_significant_digits(value, text):
    assert _digits(value) == text
