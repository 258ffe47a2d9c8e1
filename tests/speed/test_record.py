"""Records of the speed suite: what is written is what is read, and damage is reported."""

import json

import pytest
from speed_records import number

from benchmarks.speed.record import SpeedRecord, load, save
from zoo.errors import ResultError


def test_a_record_is_read_as_written_and_named_by_time_and_machine(record, tmp_path):
    path = save(record, tmp_path)
    assert load(path) == record
    stamp = record.provenance.utc.replace("-", "").replace(":", "")
    assert path.name.startswith(f"{stamp}-") and path.name.endswith(f"-{record.provenance.hardware.cores}-cores.json")
    with pytest.raises(ResultError, match="exists already"):
        save(record, tmp_path)


def test_the_summary_of_turns_is_their_quantiles():
    found = number("s", "a", "q", [3.0, 1.0, 2.0])
    assert (found.median, found.n) == (2.0, 3)
    assert found.p10 == pytest.approx(1.2) and found.p90 == pytest.approx(2.8)
    once = number("s", "a", "q", 7)
    assert (once.p10, once.median, once.p90, once.n) == (7.0, 7.0, 7.0, 1)


def test_quantities_are_found_by_their_address(record):
    assert record.find(record.measured[1].address) is record.measured[1]
    assert record.find(("plain loop", "shared", "training, 1 query", "nothing")) is None
    contents = record.model_dump()
    with pytest.raises(ValueError, match="measured twice: plain loop, shared, training, 1 query, speed-up"):
        SpeedRecord.model_validate({**contents, "measured": [*contents["measured"], contents["measured"][0]]})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda contents: contents.update(kind="other"), "kind: Input should be 'gqn-zoo-speed'"),
        (lambda contents: contents.update(schema_version=2), "schema_version: Input should be 1"),
        (lambda contents: contents.update(size="huge"), "size: Input should be 'full' or 'quick'"),
        (lambda contents: contents["measured"][0].pop("unit"), "measured.0.unit: Field required"),
        (lambda contents: contents["scalings"][0]["seconds"].pop(), r"scalings.0: expected as many seconds as sizes"),
    ],
)
def test_the_error_names_the_field_of_a_damaged_record(record, tmp_path, change, sentence):
    path = save(record, tmp_path)
    contents = json.loads(path.read_text())
    change(contents)
    path.write_text(json.dumps(contents))
    with pytest.raises(ResultError, match=sentence):
        load(path)


def test_files_that_are_no_records(tmp_path):
    with pytest.raises(ResultError, match="cannot be read"):
        load(tmp_path / "none.json")
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(ResultError, match="kind: Field required"):
        load(tmp_path / "empty.json")
    (tmp_path / "torn.json").write_text('{"kind": ')
    with pytest.raises(ResultError, match="Invalid JSON"):
        load(tmp_path / "torn.json")
