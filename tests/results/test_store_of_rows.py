import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import zoo
from zoo.errors import ResultError
from zoo.provenance import Hardware, Provenance
from zoo.results.row import Budget, ComparabilityKey, Metric, ModelFacts, ResultRow, Timing, _rounded, digest_of
from zoo.results.store import load_row, load_rows, rows_in, save_row

EXCESS = [1.23456789, 2.0, 3.5]


def make_key(**changes):
    fields = {
        "task": "render",
        "dataset": "rooms",
        "revision": "0123456789abcdef",
        "split": "test",
        "image_size": 64,
        "num_context": 3,
        "num_targets": 1,
        "num_scenes": 3,
        "episodes": "fedcba9876543210",
        "likelihood": "annealed_gaussian",
        "sigma": 0.7,
    }
    return ComparabilityKey(**fields | changes)


def make_row(**changes):
    seed = changes.pop("seed", 0)
    fields = {
        "status": "ok",
        "variant": "gqn-tower",
        "encoder": "tower",
        "core": "gqn",
        "key": make_key(),
        "metrics": {"nelbo_excess": Metric(value=sum(EXCESS) / 3, stderr=0.6, n=3, unit="nats/target")},
        "per_scene": {"scene": [5, 2, 9], "nelbo_excess": EXCESS},
        "performance": {
            "train_scenes_per_second": Timing(
                median=10.0, p10=9.0, p90=11.0, n=40, unit="scenes/s", higher_is_better=True, warmup=10
            )
        },
        "model": ModelFacts(parameters=1000),
        "budget": Budget(steps=10, batch_size=4, scenes_seen=40, seconds=1.5),
        "provenance": Provenance(
            git=None,
            version="0.1.0",
            config_hash="0" * 16,
            seed=seed,
            command="gqn-zoo evaluate",
            versions={"torch": "2.15.0", "cuda": None},
            hardware=Hardware(cpu="cpu", cores=2, ram_bytes=None, threads=1, gpus=[]),
            device="cpu",
            utc="2026-11-21T08:00:00Z",
        ),
    }
    return ResultRow(**fields | changes)


def rewrite(path, change):
    contents = json.loads(path.read_text())
    change(contents)
    path.write_text(json.dumps(contents))


def test_round_trip_keeps_every_figure(tmp_path):
    row = make_row()
    path = save_row(row, tmp_path)
    assert load_row(path) == row
    assert path.name == f"20261121T080000Z-gqn-tower-{row.id}.json"
    assert digest_of(load_row(path)) == row.id
    assert row.per_scene["nelbo_excess"] == [1.234568, 2.0, 3.5]
    assert json.loads(path.read_text())["per_scene"]["scene"] == [5, 2, 9]
    assert '"scene": [5, 2, 9]' in path.read_text()


def test_texts_that_look_like_lists_are_left_alone(tmp_path):
    row = make_row(encoder="[ 1, 2 ]\n[\n 3\n]")
    assert load_row(save_row(row, tmp_path)) == row


def test_rows_are_written_once(tmp_path):
    row = make_row()
    path = save_row(row, tmp_path)
    before = path.read_bytes()
    assert save_row(row, tmp_path) == path
    assert path.read_bytes() == before
    path.write_text("{}")
    with pytest.raises(ResultError, match="not a result row"):
        save_row(row, tmp_path)
    assert path.read_text() == "{}"
    with pytest.raises(ValidationError, match="frozen"):
        row.variant = "other"
    with pytest.raises(ResultError, match="altered"):
        save_row(row.model_copy(update={"variant": "other"}), tmp_path)


def test_names_of_variants_do_not_leave_the_folder(tmp_path):
    path = save_row(make_row(variant="../lab/<x>|\n" + "y" * 150), tmp_path / "rows")
    assert path.parent == tmp_path / "rows"
    assert load_rows([tmp_path])[0].variant.startswith("../lab/<x>|\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["metrics"]["nelbo_excess"].update(value=2.2449), "does not match the contents"),
        (lambda c: c["metrics"]["nelbo_excess"].update(value=1.0), "not the mean"),
        (lambda c: c["per_scene"]["nelbo_excess"].__setitem__(0, 1.2346), "does not match the contents"),
        (lambda c: c["provenance"].update(seed=1), "does not match the contents"),
        (lambda c: c["key"].update(sigma=1.0), "does not match the contents"),
        (lambda c: c.update(id="0" * 16), "does not match the contents"),
        (lambda c: c.update(id="x"), "id: "),
        (lambda c: c.pop("id"), "id: missing"),
        (lambda c: c.update(colour="red"), "colour: Extra inputs"),
        (lambda c: c["key"].update(colour="red"), "key.colour: Extra inputs"),
        (lambda c: c["budget"].update(steps="10"), "budget.steps: "),
        (lambda c: c["budget"].update(steps=True), "budget.steps: "),
        (lambda c: c["budget"].pop("steps"), "budget.steps: Field required"),
        (lambda c: c["metrics"]["nelbo_excess"].update(value=None), "metrics.nelbo_excess.value: "),
        (lambda c: c["per_scene"].pop("scene"), "per_scene: "),
        (lambda c: c["per_scene"]["scene"].pop(), "per_scene: "),
        (lambda c: c.update(status="fine"), "status: "),
        (lambda c: c.update(schema_version=2), "schema_version: expected 1, found 2"),
        (lambda c: c.update(kind="other"), "kind: expected"),
        (lambda c: c["provenance"].update(hostname="here"), "provenance.hostname: Extra"),
        (lambda c: c["budget"].update(seconds=10**400), "budget.seconds: "),
    ],
)
def test_a_changed_file_is_refused_with_file_and_field(tmp_path, change, message):
    path = save_row(make_row(), tmp_path)
    rewrite(path, change)
    with pytest.raises(ResultError, match=message) as caught:
        load_row(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[]", "kind"),
        ("[" * 100_000, "not valid JSON"),
        ('{"kind": NaN}', "found NaN, expected a finite number"),
        ('{"kind": 1, "kind": 2}', "twice"),
        ("\udcff", "not valid JSON"),
        ("9" * 5000, "not valid JSON"),
    ],
)
def test_damaged_json_is_refused(tmp_path, text, message):
    path = tmp_path / "row.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ResultError, match=message):
        load_row(path)


@pytest.mark.faults
def test_random_damage_is_never_an_unknown_error_and_never_another_row(tmp_path):
    row = make_row()
    path = save_row(row, tmp_path)
    whole = path.read_bytes()
    generator = random.Random(7)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        if generator.random() < 0.3:
            del damaged[generator.randrange(len(whole)) :]
        else:
            damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            assert load_row(path) == row  # a changed blank between two tokens
        except ResultError:
            refused += 1
    assert refused > 250


def test_a_file_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    path = save_row(make_row(), tmp_path)
    monkeypatch.setattr("zoo.results.store.MAX_FILE_BYTES", 100)
    with pytest.raises(ResultError, match="larger than 100 bytes"):
        load_row(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(ValidationError):
        Metric(value=value, n=1, unit="nats/target")
    with pytest.raises(ValidationError):
        make_row(per_scene={"scene": [1], "kl": [value]})


def test_metric_and_values_by_scene_must_agree():
    wrong = {"nelbo_excess": Metric(value=2.0, n=3, unit="nats/target")}
    with pytest.raises(ValidationError, match="not the mean"):
        make_row(metrics=wrong)


def test_failures_are_rows_with_a_reason(tmp_path):
    nothing = {"key": None, "metrics": {}, "per_scene": {}, "performance": {}, "model": None, "budget": None}
    row = make_row(status="oom", error="out of memory at batch 36", **nothing)
    assert load_row(save_row(row, tmp_path)) == row
    with pytest.raises(ValidationError, match="needs an error text"):
        make_row(status="nan", **nothing)
    with pytest.raises(ValidationError, match="has no error"):
        make_row(error="but why")
    with pytest.raises(ValidationError, match="comparability key"):
        make_row(key=None)
    with pytest.raises(ValidationError, match="metrics or performance"):
        make_row(metrics={}, performance={})


def test_a_row_of_speed_alone_needs_no_key():
    assert make_row(key=None, metrics={}, per_scene={}).status == "ok"


def test_quantiles_must_be_in_order():
    with pytest.raises(ValidationError, match="p10 <= median <= p90"):
        Timing(median=3.0, p10=1.0, p90=2.0, n=1, unit="s", higher_is_better=False, warmup=0)


def test_keys_know_how_they_differ():
    assert make_key(sigma=0.699999988) == make_key()
    assert make_key().differences(make_key(sigma=1.0, bound="IWAE-64")) == [
        "sigma 0.7 against 1.0",
        "bound ELBO against IWAE-64",
    ]
    assert "sigma 0.7" in make_key().label() and "rooms@01234567 test" in make_key().label()
    for wrong in ({"bound": "IWAE"}, {"bound": "IWAE-0"}, {"pixel_range": "0-1"}, {"sigma": 0.0}, {"num_context": 3.0}):
        with pytest.raises(ValidationError):
            make_key(**wrong)


def test_load_rows_reads_folders_passes_other_files_over_and_sorts(tmp_path):
    rows = [make_row(seed=seed) for seed in range(4)]
    later = make_row(
        provenance=make_row().provenance.model_copy(update={"utc": "2026-11-22T00:00:00Z"}), variant="a-variant"
    )
    paths = [save_row(row, tmp_path / "rows" / str(place)) for place, row in enumerate([later, *rows])]
    (tmp_path / "rows" / "config.json").write_text('{"steps": 1}')
    (tmp_path / "rows" / "torn.json").write_text('{"steps": ')
    found = load_rows([tmp_path, paths[0]])
    assert {row.id for row in found} == {row.id for row in [later, *rows]} and len(found) == 5
    assert found[-1] == later
    assert load_rows([str(paths[1])]) == [rows[0]]
    (tmp_path / "elsewhere.json").write_text("not below rows/")
    assert load_rows([tmp_path]) == found


def test_load_rows_does_not_pass_over_a_torn_row(tmp_path):
    path = save_row(make_row(), tmp_path)
    text = path.read_text()
    for length in (0, 5, len(text) // 2, len(text) - 3):
        path.write_text(text[:length])
        with pytest.raises(ResultError, match="not valid JSON"):
            load_rows([tmp_path])


def test_load_rows_says_when_there_is_nothing(tmp_path):
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ResultError, match="no result rows"):
        load_rows([tmp_path])
    with pytest.raises(ResultError, match="cannot be read"):
        load_rows([tmp_path / "missing.json"])


def test_a_row_that_is_being_written_is_not_read(tmp_path, monkeypatch):
    save_row(make_row(), tmp_path)
    monkeypatch.setattr(Path, "replace", lambda *_: os._exit(1))
    monkeypatch.setattr(Path, "write_text", lambda path, text, **_: path.write_bytes(text[:100].encode()))
    if (child := os.fork()) == 0:
        save_row(make_row(seed=1), tmp_path)
    assert os.waitpid(child, 0)[1]
    assert len(list(tmp_path.iterdir())) == 2
    assert len(load_rows([tmp_path])) == 1
    for variant in (None, "gqn-tower"):
        assert [row.provenance.seed for row in rows_in(tmp_path, variant=variant)] == [0]


@pytest.mark.faults
def test_eight_processes_write_into_one_folder(tmp_path):
    code = """
import json, sys
from pathlib import Path
from zoo.results.row import ResultRow
from zoo.results.store import load_row, save_row
row = load_row(Path(sys.argv[1])).model_dump(mode="json", exclude={"id"})
for seed in range(10):
    row["provenance"]["seed"] = 10 * int(sys.argv[3]) + seed
    save_row(ResultRow.model_validate(row), Path(sys.argv[2]))
"""
    template = save_row(make_row(), tmp_path)
    environment = os.environ | {"PYTHONPATH": str(Path(zoo.__file__).parents[1])}
    folder = tmp_path / "rows"
    writers = [
        subprocess.Popen([sys.executable, "-c", code, template, folder, str(number)], env=environment)
        for number in range(8)
    ]
    assert [writer.wait() for writer in writers] == [0] * 8
    assert sorted(row.provenance.seed for row in load_rows([folder])) == list(range(80))
    assert len(list(folder.iterdir())) == 80


def test_numbers_by_scene_have_seven_digits_and_reading_does_not_change_them():
    generator = np.random.default_rng(0)
    values = (generator.normal(size=2000) * 10.0 ** generator.integers(-26, 26, 2000)).tolist()
    values += [0.0, 0.1 + 0.2, 9999999.5, 123456.75, 1e22, 1e23, 5e-324, 1e300]
    expected = [float(f"{value:.7g}") for value in values]
    assert _rounded(values) == expected and _rounded(expected) == expected
