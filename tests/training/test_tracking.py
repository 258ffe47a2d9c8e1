import json

import pytest
from accelerate import Accelerator

from zoo.training.session import Tracker


@pytest.fixture
def tracker(tmp_path):
    def make(resume_step=0):
        return Tracker(tmp_path, accelerator=Accelerator(cpu=True), resume_step=resume_step)

    return make


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]


def test_one_object_a_line_is_appended(tracker, tmp_path):
    log = tracker()
    log.log(1, {"train/kl": 0.5, "seconds": 2.0})
    log.log(2, {"train/kl": 0.25})
    assert lines(tmp_path) == [{"step": 1, "train/kl": 0.5, "seconds": 2.0}, {"step": 2, "train/kl": 0.25}]


def test_values_that_are_not_finite_are_left_out(tracker, tmp_path):
    tracker().log(1, {"a": float("nan"), "b": float("inf"), "c": 1.0})
    assert lines(tmp_path) == [{"step": 1, "c": 1.0}]


def test_what_came_after_the_checkpoint_is_dropped(tracker, tmp_path):
    log = tracker()
    for step in range(1, 6):
        log.log(step, {"x": float(step)})
    log.log(3, {"eval/x": 1.0})
    again = tracker(resume_step=3)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 3]
    again.log(4, {"x": 7.0})
    assert lines(tmp_path)[-1] == {"step": 4, "x": 7.0}


def test_a_fresh_run_starts_an_empty_log(tracker, tmp_path):
    tracker().log(1, {})
    tracker()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


@pytest.mark.parametrize(
    "torn", ['{"step": 2, "tr', '{"st', "{", "\x00\x00", "[]", '"x"', "5", '{"step": null}', '{"x": 1}']
)
def test_incomplete_and_foreign_rows_do_not_stop_a_run(tracker, tmp_path, torn):
    whole = '{"step": 1, "x": 0.1}'
    for text in (f"{whole}\n{torn}", f"{torn}\n{whole}\n", f"{whole}\n{torn}\n\n{whole}\n"):
        (tmp_path / "metrics.jsonl").write_text(text)
        tracker(resume_step=5)
        assert set(lines(tmp_path)[0]) == {"step", "x"}
        assert len(lines(tmp_path)) == text.count(whole)


def test_invalid_utf_8_does_not_stop_a_run(tracker, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'\xff\xfe\n{"step": 1}\n')
    tracker(resume_step=5)
    assert lines(tmp_path) == [{"step": 1}]


def test_numbers_survive_to_the_last_digit(tracker, tmp_path):
    value = 0.1 + 0.2
    tracker().log(1, {"x": value})
    assert lines(tmp_path)[0]["x"] == value
