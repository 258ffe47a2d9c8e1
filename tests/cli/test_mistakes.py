"""What users get wrong: one line that says what, exit code 2, no traceback, and nothing that was there is changed."""

import json
import os
import re
import shutil
from datetime import datetime

import numpy as np
import pytest

from zoo.data.convert import convert
from zoo.data.source import ExtraShape
from zoo.data.store_writer import StoreWriter
from zoo.results.store import load_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory, scenes):
    """A folder with everything that a mistake can be made with; ``{place}`` in the table below."""
    from zoo.cli.main import main

    folder = tmp_path_factory.mktemp("place")
    for name in ("run", "damaged-run"):
        with pytest.raises(SystemExit) as leave:
            main(f"train cvae --size smoke --data {scenes} -o {folder / name} --cpu".split())
        assert leave.value.code == 0
    weights = next((folder / "damaged-run").rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(SystemExit):
        main(f"evaluate {folder / 'run'} --data {scenes} --cpu --repeats 0".split())
    (folder / "empty").mkdir()
    (folder / "file").write_text("x")
    shutil.copytree(scenes, folder / "truncated")
    shard = folder / "truncated" / "train" / "frames-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-7])
    shutil.copytree(scenes, folder / "odd-meta")
    (folder / "odd-meta" / "meta.json").write_text("{}")
    convert(scenes, folder / "records", to="tfrecord")
    record = next((folder / "records" / "train").glob("*.tfrecord"))
    data = bytearray(record.read_bytes())
    data[len(data) // 2] ^= 0xFF
    record.write_bytes(bytes(data))
    with StoreWriter(folder / "only-test", name="t", image_size=16, num_views=6, provenance={}) as writer:
        writer.add("test", np.zeros((2, 6, 16, 16, 3), np.uint8), np.zeros((2, 6, 5), np.float32))
    with StoreWriter(folder / "large", name="large", image_size=20, num_views=6, provenance={}) as writer:
        for split in ("train", "test"):
            writer.add(split, np.zeros((2, 6, 20, 20, 3), np.uint8), np.zeros((2, 6, 5), np.float32))
    with StoreWriter(
        folder / "functions",
        name="functions",
        image_size=0,
        num_views=6,
        provenance={},
        extras={name: ExtraShape("float32", (1,), per_view=True) for name in ("inputs", "values")},
    ) as writer:
        values = np.zeros((2, 6, 1), np.float32)
        for split in ("train", "test"):
            frames, cameras = np.zeros((2, 6, 0, 0, 3), np.uint8), np.zeros((2, 6, 5), np.float32)
            writer.add(split, frames, cameras, extras={"inputs": values, "values": values})
    row = next((folder / "run" / "results").rglob("*.json"))
    (folder / "torn-rows").mkdir()
    (folder / "torn-rows" / row.name).write_text(row.read_text()[:200])
    (folder / "altered-rows").mkdir()
    (folder / "altered-rows" / row.name).write_text(row.read_text().replace('"nelbo"', '"nelb0"', 1))
    (folder / "no-markers.md").write_text("# nothing\n")
    return folder


TRAIN = "train vae --size smoke --cpu --data {scenes} -o {place}/new "
EVALUATE = "evaluate {place}/run --cpu --repeats 0 --data {scenes} --results {place}/new "
MAKE = "data make rooms_ring_camera --train 1 --validation 1 --test 1 --image-size 16 -j 0 "

# command line, what its one line says
MISTAKES = [
    # names
    (
        "train gqn-towre --data {scenes} -o {place}/new",
        "variant 'gqn-towre' is not registered; did you mean 'gqn-tower'",
    ),
    ("describe vea", "variant 'vea' is not registered; did you mean 'vae'"),
    ("describe vae --size smok", "variant 'vae' has no size 'smok'; did you mean 'smoke'"),
    ("check vea", "variant 'vea' is not registered"),
    ("check", "expected the name of a variant, or --all"),
    ("check vae --all", "expected the name of a variant, or --all"),
    ("list nothing-*", "no variant matches 'nothing-*'"),
    ("list --kind encoder towre", "no encoder matches 'towre'; did you mean 'tower'"),
    ("bench --models gpn-tower -o {place}/new", "no variant matches 'gpn-tower'; did you mean 'gqn-tower'"),
    ("data make rooms_ring_camra -o {place}/new", "no built-in data set 'rooms_ring_camra'; did you mean"),
    # settings
    (TRAIN + "--set core.chanels=4", "core.chanels: unknown key 'chanels'; did you mean 'channels'"),
    (TRAIN + "--set training.stesp=4", "training.stesp: unknown key 'stesp'; did you mean 'steps'"),
    (TRAIN + "--set cor.channels=4", "cor: unknown key 'cor'; did you mean 'core'"),
    (TRAIN + "--set core.channels=many", "core.channels: found 'many' (str), expected a valid integer"),
    (TRAIN + "--set core.channels=8.5", "core.channels: found 8.5 (float)"),
    (TRAIN + "--set training.sigma.end=-1", "training.sigma.end: found -1 (int), expected greater than 0"),
    (TRAIN + "--set core.channels", "--set core.channels: expected key=value"),
    (TRAIN + "--set core.channels=4 --set core.channels=8", "'core.channels' is set twice"),
    (TRAIN + "--set core.channels=[4", "is not valid YAML"),
    (TRAIN + "--set encoder.use=tower", "core 'vae' ignores the context"),
    (TRAIN + "--set core.use=no.such:Core", "core.use: 'no.such:Core' cannot be imported"),
    (TRAIN + "--steps 4 --set training.steps=5", "'training.steps' is set twice"),
    (TRAIN + "--steps 0", "training.steps: found 0"),
    (TRAIN + "-b 0", "training.batch_size: found 0"),
    (
        TRAIN + "-b 5 --set training.gradient_accumulation=2",
        "batch_size (5) to be divisible by gradient_accumulation (2)",
    ),
    (TRAIN + "--log-interval 0", "log_interval: found 0, expected at least 1"),
    (TRAIN + "--save-interval -1", "save_interval: found -1, expected at least 1"),
    (TRAIN + "--keep-last 0", "keep_last: found 0, expected at least 1"),
    (TRAIN + "--validation-scenes 0", "validation_scenes: found 0, expected at least 1"),
    (TRAIN + "-j -1", "workers: found -1, expected 0 or more"),
    (TRAIN + "--mixed-precision fp16", "found 'fp16', which needs a GPU"),
    (TRAIN + "--set training.contexts.maximum=6", "6 context views and 1 target(s) need 7 views, but a scene has 6"),
    (TRAIN + "--set training.contexts.minimum=4", "minimum (4) not above maximum (2)"),
    # scenes
    ("train vae --size smoke --cpu --data {place}/none -o {place}/new", "/none: there is no such folder"),
    ("train vae --size smoke --cpu --data {place}/empty -o {place}/new", "/empty: holds no scenes"),
    ("train vae --size smoke --cpu --data {place}/file -o {place}/new", "/file: there is no such folder"),
    ("train vae --size smoke --cpu --data {place}/truncated -o {place}/new", "the file is damaged or incomplete"),
    ("train vae --size smoke --cpu --data {place}/odd-meta -o {place}/new", "meta.json: schema_version"),
    ("train vae --size smoke --cpu --data {place}/only-test -o {place}/new", "has no split 'train'"),
    ("train vae --size smoke --cpu --data {place}/large -o {place}/new", "has images of 20 pixels"),
    ("train vae --cpu --data {scenes} -o {place}/new", "has images of 16 pixels, but 'vae' at size 'full' reads 64"),
    (TRAIN + "--dry-run --set image_size=32", "has images of 16 pixels"),
    ("train vae --size smoke --cpu --data {place}/functions -o {place}/new", "has no images but inputs, values"),
    ("train np-1d --size smoke --cpu --data {scenes} -o {place}/new", "has no inputs, which task"),
    ("train vae --size smoke --cpu --data {scenes} -o {scenes}/run", "lies in the folder of the scenes"),
    ("train vae --size smoke --cpu --data {scenes} -o {scenes}", "lies in the folder of the scenes"),
    ("train vae --size smoke --cpu --data {scenes} -o {scenes}/run --dry-run", "lies in the folder of the scenes"),
    ("data inspect {place}/none", "/none: there is no such folder"),
    ("data inspect {place}/truncated", "the file is damaged or incomplete"),
    ("data inspect {place}/empty", "/empty: holds no scenes"),
    ("data show {place}/empty -o {place}/new.png", "/empty: holds no scenes"),
    ("data show {scenes} -o {place}/new.png --first 8", "--first 8: the split train has 8 scenes"),
    ("data show {scenes} -o {place}/new.pngg", "new.pngg"),
    ("data show {place}/only-test -o {place}/new.png", "has no split 'train'"),
    (MAKE + "-o {scenes}", "exists"),
    (MAKE + "-o {place}/new --train 0", "0 scenes for split 'train'"),
    (MAKE + "-o {place}/new --image-size 30", "30 is not a positive multiple of 4"),
    (MAKE + "-o {place}/new --device gpu", "device: 'gpu' cannot be used here"),
    (MAKE + "-o {place}/new --dry-run --image-size 30", "30 is not a positive multiple of 4"),
    ("data convert {place}/none -o {place}/new", "/none: there is no such folder"),
    ("data convert {scenes} -o {place}/run", "exists"),
    ("data convert {scenes} -o {place}/new --image-size 0", "image_size"),
    ("data convert {place}/records -o {place}/new", ".tfrecord: record 3 at byte"),
    # runs and checkpoints
    (
        "train cvae --size smoke --cpu --data {scenes} -o {place}/run",
        "holds a run already; resume it with --resume auto",
    ),
    ("train vae --size smoke --cpu --data {scenes} -o {place}/run --resume auto", "written with another configuration"),
    ("train cvae --size smoke --cpu --data {scenes} -o {place}/run --resume auto --seed 1", "differing: seed"),
    ("train cvae --size smoke --cpu --data {scenes} -o {place}/run --resume auto -b 8", "training.batch_size"),
    (
        "train cvae --size smoke --cpu --data {scenes} -o {place}/damaged-run --resume auto",
        "none of its checkpoints is intact",
    ),
    (TRAIN + "--resume {place}/none", "/none: there is no such folder"),
    (TRAIN + "--resume {place}/empty", "/empty: holds no intact checkpoint"),
    (TRAIN + "--init-from {place}/run", "it belongs to another variant"),
    (TRAIN + "--init-from {place}/none", "/none: there is no such folder"),
    ("train vae --size smoke --cpu --data {scenes} -o {place}/file", "/file"),
    ("train vae --size smoke --cpu --data {scenes} -o {place}/file/run", "/file/run"),
    # measuring
    (EVALUATE + "--metrics predictoins", "there is no 'predictoins'; did you mean 'predictions'"),
    (EVALUATE + "-K 5,x", "--importance-samples: found '5,x', expected whole numbers"),
    (EVALUATE + "-K 0", "--importance-samples: found 0, expected at least 1"),
    (EVALUATE + "-K 5,0", "--importance-samples: found 0, expected at least 1"),
    (EVALUATE + "-K 5,5", "--importance-samples: found '5,5', expected different numbers"),
    (EVALUATE + "--contexts 1,1", "--contexts: found '1,1', expected different numbers"),
    ("bench --models vae --size smoke --seeds 0,0 -o {place}/new", "--seeds: found '0,0', expected different numbers"),
    ("bench --models vae --size smoke --exclude cvea -o {place}/new", "no variant matches 'cvea'; did you mean 'cvae'"),
    ("evaluate {place}/run --cpu --repeats 0 --baselines --data {place}/only-test", "has no split 'train'"),
    ("data episodes smok -o {place}/new", "there is no suite 'smok'; did you mean 'smoke'"),
    ("evaluate {place}/none --data {scenes}", "/none: there is no such folder"),
    ("evaluate {place}/empty --data {scenes}", "/empty: holds no intact checkpoint"),
    ("evaluate {place}/file --data {scenes}", "/file"),
    ("evaluate {place}/damaged-run --data {scenes}", "is damaged"),
    ("evaluate {place}/run --cpu --data {place}/none", "/none: there is no such folder"),
    ("evaluate {place}/run --cpu --data {place}/large", "has images of 20 pixels"),
    ("evaluate {place}/run --cpu --data {place}/only-test --split validation", "has no split 'validation'"),
    (EVALUATE + "--contexts 6", "6 context views and 1 target(s) need 7 views"),
    (EVALUATE + "--contexts 1,6", "6 context views and 1 target(s) need 7 views"),
    (EVALUATE + "--contexts one", "--contexts: found 'one', expected whole numbers"),
    (EVALUATE + "--contexts -1", "expected whole numbers"),
    (EVALUATE + "--contexts 1,,2", "expected whole numbers"),
    (EVALUATE + "--sigma 0", "sigma: found 0.0, expected a number from 0.001 to 1000"),
    (EVALUATE + "--sigma nan", "sigma: found nan, expected a number from 0.001 to 1000"),
    (EVALUATE + "--sigma 1e30", "sigma: found 1e+30, expected a number from 0.001 to 1000"),
    (EVALUATE + "--sigma inf", "sigma: found inf, expected a number from 0.001 to 1000"),
    (EVALUATE + "--targets 9", "9 target(s)"),
    ("evaluate {place} --data {scenes}", "it is a folder of 2 run(s), give one of them: damaged-run, run"),
    ("evaluate {place}/run --cpu --data {place}/functions", "has no images but inputs, values"),
    (EVALUATE + "--episodes-seed 99999999999999999999", "Invalid value for '--episodes-seed'"),
    ("localise {place}/run --cpu --data {scenes} --scenes 99", "--scenes: found 99, but split 'test' of noise has 5"),
    ("localise {place}/run --cpu --data {place}/large", "has images of 20 pixels"),
    ("localise {place}/run --cpu --data {scenes} --sigma 1e30", "sigma: found 1e+30"),
    ("localise {place} --cpu --data {scenes}", "it is a folder of 2 run(s)"),
    (EVALUATE + "--sheet {place}/new.txt", "new.txt"),
    ("bench --models vae --size smoke --seeds one -o {place}/new", "--seeds: found 'one'"),
    ("bench --models vae --size smoke --set core.chanels=4 -o {place}/new", "unknown key 'chanels'"),
    ("bench --models vae --size smoke --data {place}/none -o {place}/new", "/none: there is no such folder"),
    # results
    ("compare {place}/none", "/none"),
    ("compare {place}/empty", "no result rows in"),
    ("compare {place}/file", "not valid JSON"),
    ("compare {place}/torn-rows", "not valid JSON"),
    ("compare {place}/altered-rows", ".json"),
    ("diff {place}/run/results", "Missing argument"),
    ("compare /dev/zero", "/dev/zero: expected a result row or a folder"),
    ("compare {place}/run/results --curve x={place}/run", "--curve: needs -o"),
    ("compare {place}/run/results -o {place}/new --curve x", "--curve x: expected LABEL=RUN"),
    ("compare {place}/run/results -o {place}/new --curve x={place}/empty", "/empty"),
    ("compare {place}/run/results --readme {place}/no-markers.md", "no-markers.md"),
    ("compare {place}/run/results --readme {place}/none.md", "none.md"),
    # the command line itself
    ("trian vae", "No such command 'trian'"),
    ("data mkae", "No such command 'mkae'"),
    ("train vae --data {scenes}", "Missing option '-o' / '--output'"),
    ("train --data {scenes} -o {place}/new", "Missing argument"),
    (TRAIN + "--stesp 4", "No such option"),
    (TRAIN + "--steps many", "Invalid value for '--steps'"),
    (TRAIN + "--steps 1.5", "Invalid value for '--steps'"),
    (TRAIN + "--seed -1", "Invalid value for '--seed'"),
    (TRAIN + "--seed 99999999999999999999", "Invalid value for '--seed'"),
    (TRAIN + "--residence moon", "Invalid value for '--residence'"),
    (EVALUATE + "--limit 0", "Invalid value for '--limit'"),
    (EVALUATE + "--split all", "Invalid value for '--split'"),
    ("bench --seeds", "requires an argument"),
    ("compare", "Missing argument"),
]


def test_there_are_many_mistakes_and_none_twice():
    commands = [command for command, _ in MISTAKES]
    assert len(commands) == len(set(commands)) > 100


@pytest.mark.parametrize(
    ("command", "part"), MISTAKES, ids=[command.replace("{place}/", "") for command, _ in MISTAKES]
)
def test_a_mistake_is_one_line_of_error(gqn_zoo, place, scenes, contents, command, part):
    before = contents(place), contents(scenes)
    try:
        code, out, err = gqn_zoo(command.format(place=place, scenes=scenes))
        assert code == 2, (code, out, err)
        # Only bench reports progress before it looks at all of its variants.
        lines = [line for line in err.splitlines() if not command.startswith("bench") or line.startswith("gqn-zoo: ")]
        assert len(lines) == 1 and lines[0].startswith("gqn-zoo: "), err
        assert part in lines[0]
        assert "Traceback" not in out + err and "Value error" not in err
        assert (contents(place), contents(scenes)) == before, "something was written"
    finally:
        shutil.rmtree(place / "new", ignore_errors=True)


def test_a_damaged_record_that_is_met_while_training_is_one_line(gqn_zoo, place, tmp_path, contents):
    """What was trained so far stays, and there is nothing half-written."""
    train = f"train vae --size smoke --cpu --data {place}/records -o {tmp_path}/run --save-interval 1"
    code, out, err = gqn_zoo(train)
    assert code == 2 and len(err.splitlines()) == 1 and out == ""
    assert "train/1-of-1.tfrecord: record 3 at byte" in err and "checksum" in err
    assert not [name for name in contents(tmp_path) if ".writing-" in name or name.endswith(".lock")]
    assert gqn_zoo(f"{train} --resume auto --on-bad-record skip").code == 0


@pytest.mark.parametrize("more", ["", " --dry-run"])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("-b 1000000 --set training.contexts.maximum=16000", "a batch of 1,000,000 scenes needs at least"),
        ("--set core.hidden_channels=16384", "weights with gradients and moments need at least"),
    ],
)
def test_too_little_memory_is_one_line_before_anything_is_allocated(gqn_zoo, scenes, tmp_path, options, sentence, more):
    code, out, err = gqn_zoo(f"train gqn-tower --size smoke --cpu --data {scenes} -o {tmp_path}/run {options}{more}")
    assert (code, out) == (5, "") and len(err.splitlines()) == 1
    assert err.startswith("gqn-zoo: gqn-tower: ") and sentence in err and "GB" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate 7.28 TiB"), RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory")],
)
def test_an_allocation_that_fails_is_one_line(gqn_zoo, place, scenes, monkeypatch, error):
    def fail(*arguments, **named):
        raise error

    monkeypatch.setattr("zoo.bench.measurement.evaluate", fail)
    code, _, err = gqn_zoo(f"evaluate {place}/run --cpu --data {scenes}")
    assert code == 5 and len(err.splitlines()) == 1 and err.startswith("gqn-zoo: out of memory: ")


def test_the_name_of_a_run_that_is_not_utf_8_is_refused(gqn_zoo, scenes, tmp_path):
    run = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    code, _, err = gqn_zoo("train", "vae", "--size", "smoke", "--cpu", "--data", scenes, "-o", run)
    assert code == 2 and len(err.splitlines()) == 1 and "must be valid UTF-8" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("config.yaml", "seed: x", "config.yaml: seed: found 'x', expected a whole number from 0 to 2**63 - 1"),
        ("config.yaml", "seed: 1.5", "config.yaml: seed: found 1.5"),
        ("config.yaml", "seed: 99999999999999999999", "config.yaml: seed: found 99999999999999999999"),
        ("config.yaml", "seed: [1]", "config.yaml: seed: found [1]"),
    ],
)
def test_a_run_with_an_odd_seed_is_refused(gqn_zoo, place, scenes, tmp_path, name, text, sentence):
    run = shutil.copytree(place / "run", tmp_path / "run")
    config = run / name
    config.write_text(re.sub(r"^seed: .*$", text, config.read_text(), flags=re.MULTILINE))
    code, _, err = gqn_zoo(f"evaluate {run} --cpu --data {scenes}")
    assert code == 2 and len(err.splitlines()) == 1 and sentence in err


@pytest.mark.parametrize("command", ["evaluate", "localise --scenes 1 --grid 2 --yaws 2"])
def test_context_sizes_outside_of_training_are_measured_with_a_warning(gqn_zoo, place, scenes, command, tmp_path):
    quick = f"--results {tmp_path} --repeats 0" if command == "evaluate" else ""
    code, _, err = gqn_zoo(f"{command} {place}/run --cpu --data {scenes} --contexts 1,4 {quick}")
    assert code == 0
    (warning,) = [line for line in err.splitlines() if line.startswith("Warning: ")]
    assert "'cvae' was trained with" in warning and "its results with 4 are an extrapolation" in warning


def test_the_same_measurement_within_a_second_is_one_row(gqn_zoo, place, scenes, tmp_path, monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=tz)

    monkeypatch.setattr("zoo.provenance.datetime", Clock)
    command = f"evaluate {place}/run --cpu --repeats 0 --data {scenes} --results {tmp_path}"
    assert [gqn_zoo(command).code for _ in range(2)] == [0, 0]
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_rows_are_printed_as_json(gqn_zoo, place, scenes, tmp_path):
    command = f"evaluate {place}/run --cpu --repeats 0 --data {scenes} --contexts 1,2 --results {tmp_path} --json"
    outcome = gqn_zoo(command)
    assert outcome.code == 0
    rows = json.loads(outcome.out)
    assert [row["key"]["num_context"] for row in rows] == [1, 2]
    assert {row["id"] for row in rows} == {row.id for row in load_rows([tmp_path])}
    assert all(row["metrics"]["nelbo"]["value"] and "per_scene" not in row for row in rows)


@pytest.mark.parametrize(
    ("command", "place_of_work"),
    [
        ("train vae --size smoke --cpu --data {scenes} -o {place}/new", "zoo.training.run.train"),
        ("evaluate {place}/run --cpu --data {scenes}", "zoo.bench.measurement.evaluate"),
        ("localise {place}/run --cpu --data {scenes}", "zoo.evaluation.localisation.localise"),
        ("list", "zoo.registry.registry.Registry.names"),
        ("data inspect {scenes}", "zoo.data.inspection.inspect_scenes"),
    ],
)
def test_ctrl_c_in_any_command_is_one_line_and_exit_code_130(
    gqn_zoo, place, scenes, monkeypatch, command, place_of_work
):
    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(place_of_work, interrupt)
    code, out, err = gqn_zoo(command.format(place=place, scenes=scenes))
    assert (code, out, err) == (130, "", "gqn-zoo: interrupted\n")


def test_an_error_of_the_operating_system_is_one_line_too(gqn_zoo, monkeypatch):
    import zoo.registry.registry

    def broken(*arguments, **named):
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr(zoo.registry.registry.Registry, "names", broken)
    assert gqn_zoo("list", "*") == (2, "", "gqn-zoo: /some/file: Permission denied\n")


def test_a_defect_of_the_program_is_not_hidden(monkeypatch):
    import zoo.registry.registry
    from zoo.cli.main import main

    def broken(*arguments, **named):
        raise AssertionError("a defect")

    monkeypatch.setattr(zoo.registry.registry.Registry, "names", broken)
    with pytest.raises(AssertionError, match="a defect"):
        main(["list"])
