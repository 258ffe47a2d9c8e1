"""What users get wrong: one line that says what, exit code 2, no traceback, and nothing that was there is changed."""

import shutil

import numpy as np
import pytest

from zoo.data.convert import convert
from zoo.data.store_writer import StoreWriter


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
    (TRAIN + "--set encoder.use=tower", "core 'vae' never looks at the context"),
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
    (EVALUATE + "-K 5,5", "importance_samples: found (5, 5), expected different numbers"),
    ("evaluate {place}/run --cpu --repeats 0 --references --data {place}/only-test", "has no split 'train'"),
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
    (EVALUATE + "--sigma 0", "sigma: found 0.0, expected a positive number"),
    (EVALUATE + "--sigma nan", "sigma: found nan, expected a positive number"),
    (EVALUATE + "--targets 9", "9 target(s)"),
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
    ("compare {place}/run/results --between", "--between: found 1 rows, expected two"),
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
def test_a_mistake_is_told_in_one_line(gqn_zoo, place, scenes, contents, command, part):
    before = contents(place), contents(scenes)
    try:
        code, out, err = gqn_zoo(command.format(place=place, scenes=scenes))
        assert code == 2, (code, out, err)
        assert len(err.splitlines()) == 1 and err.startswith("gqn-zoo: "), err
        assert part in err
        assert "Traceback" not in out + err
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
