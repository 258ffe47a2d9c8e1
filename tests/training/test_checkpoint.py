import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from zoo.errors import CheckpointError, DiskFullError
from zoo.files import TEMPORARY_PREFIX
from zoo.training import checkpoint, run_checkpoints

# Newer versions of Python warn of every fork of a process with threads; the children here do next to nothing.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
STATE = {"config": {}, "seed": 0, "seconds": 1.5}
FILES = ("MANIFEST.json", "ema.safetensors", "model.safetensors", "optimizer.safetensors", "state.json")


def make(seed=0, width=4):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    return model, optimizer


def save(run, step, *, seed=None, ema=True):
    model, optimizer = make(step if seed is None else seed)
    averaged = torch.optim.swa_utils.AveragedModel(model) if ema else None
    return checkpoint.save(run, step=step, model=model, optimizer=optimizer, ema=averaged, state=STATE)


def test_what_was_saved_is_what_is_read(tmp_path):
    model, optimizer = make(1)
    path = save(tmp_path, 1, seed=1)
    assert path == tmp_path / "checkpoints" / "step-000000001"
    assert sorted(file.name for file in path.iterdir()) == sorted(FILES)
    found = checkpoint.read(path)
    assert found.state.step == 1 and found.state.seconds == 1.5 and found.state.schema_version == 1
    other_model, other_optimizer = make(2)
    checkpoint.load_tensors(found.path / checkpoint.MODEL, other_model)
    checkpoint.load_optimizer(found, other_optimizer)
    for name, value in model.state_dict().items():
        assert torch.equal(other_model.state_dict()[name], value)
    before, after = optimizer.state_dict(), other_optimizer.state_dict()
    assert before["state"].keys() == after["state"].keys() and len(before["state"]) == 4
    for index, moments in before["state"].items():
        assert moments.keys() == after["state"][index].keys() == {"step", "exp_avg", "exp_avg_sq"}
        for name, value in moments.items():
            assert torch.equal(after["state"][index][name], value)


def test_the_settings_of_an_optimiser_are_those_of_the_configuration_not_of_the_file(tmp_path):
    found = checkpoint.read(save(tmp_path, 1))
    model, _ = make(2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5, betas=(0.1, 0.2))
    checkpoint.load_optimizer(found, optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.5 and optimizer.param_groups[0]["betas"] == (0.1, 0.2)


def test_weights_of_another_model_are_refused_with_the_first_difference(tmp_path):
    found = checkpoint.read(save(tmp_path, 1))
    with pytest.raises(CheckpointError, match=r"model.safetensors: 0.bias: found shape \[4\], expected \[5\].*size"):
        checkpoint.load_tensors(found.path / checkpoint.MODEL, make(width=5)[0])
    with pytest.raises(CheckpointError, match=r"has, but the model lacks, '0\.bias'; it belongs to another variant"):
        checkpoint.load_tensors(found.path / checkpoint.MODEL, nn.Sequential(nn.Identity(), nn.Linear(4, 2)))
    with pytest.raises(CheckpointError, match=r"lacks '2\.bias'"):
        checkpoint.load_tensors(
            found.path / checkpoint.MODEL, nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 2))
        )
    with pytest.raises(CheckpointError, match=r"optimizer.safetensors belongs to a model with other parameters"):
        checkpoint.load_optimizer(found, torch.optim.Adam(nn.Linear(2, 2).parameters()))


@pytest.mark.parametrize(
    "change",
    [
        lambda moments: moments.pop("1.exp_avg_sq"),
        lambda moments: moments.update({"1.exp_avg": torch.zeros(7)}),
        lambda moments: moments.update({"9.exp_avg": torch.zeros(4)}),
    ],
    ids=["missing", "of another shape", "of no parameter"],
)
def test_moments_that_do_not_fit_their_parameters_are_refused(tmp_path, change):
    found = checkpoint.read(save(tmp_path, 1))
    file = found.path / "optimizer.safetensors"
    moments = load_file(file)
    change(moments)
    save_file(moments, file)
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors: parameter [19]: found .* expected"):
        checkpoint.load_optimizer(found, make(2)[1])


def spoilt(path, name, how, generator):
    """Damages a file of a checkpoint and returns what was done to it."""
    file = path / name
    data = bytearray(file.read_bytes())
    if how == "flip":
        place, bit = int(generator.integers(len(data))), int(generator.integers(8))
        data[place] ^= 1 << bit
        file.write_bytes(data)
        return f"bit {bit} of byte {place}"
    if how == "cut":
        # The last byte of a manifest is a line's end, without which it says the same.
        length = int(generator.integers(len(data) - 1))
        file.write_bytes(data[:length])
        return f"cut to {length}"
    if how == "grow":
        file.write_bytes(bytes(data) + b"x")
    elif how == "delete":
        file.unlink()
    elif how == "swap":
        other = path / FILES[(FILES.index(name) + 1) % len(FILES)]
        swapped = other.read_bytes()
        other.write_bytes(bytes(data))
        file.write_bytes(swapped)
    elif how == "folder":
        file.unlink()
        file.mkdir()
    return how


@pytest.mark.faults
@pytest.mark.parametrize(
    ("flips", "cuts"), [(12, 8), pytest.param(200, 200, marks=pytest.mark.slow)], ids=["some", "many"]
)
@pytest.mark.parametrize("name", FILES)
def test_damage_to_any_file_is_found_and_names_the_file(tmp_path, name, flips, cuts, record_property):
    generator = np.random.default_rng(FILES.index(name))
    whole = save(tmp_path / "whole", 3)
    before = {file.name: file.read_bytes() for file in whole.iterdir()}
    damages = ["flip"] * flips + ["cut"] * cuts + ["grow", "delete", "swap", "folder"]
    for number, how in enumerate(damages):
        path = tmp_path / str(number) / "checkpoints" / "step-000000003"
        shutil.copytree(whole, path)
        done = spoilt(path, name, how, generator)
        with pytest.raises(CheckpointError) as caught:
            checkpoint.read(path)
        assert str(path) in str(caught.value), done
        shutil.rmtree(path)
    record_property("damages found", f"{len(damages)} of {len(damages)}")
    assert {file.name: file.read_bytes() for file in whole.iterdir()} == before
    assert checkpoint.read(whole).state.step == 3


@pytest.mark.faults
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "ema.safetensors", "state.json"])
def test_a_file_of_another_checkpoint_is_found(tmp_path, name):
    one, other = save(tmp_path, 1), save(tmp_path, 2)
    shutil.copy(other / name, one / name)
    with pytest.raises(CheckpointError, match=f"{name}: is damaged"):
        checkpoint.read(one)
    assert checkpoint.read(other).state.step == 2


@pytest.mark.parametrize(
    "manifest",
    ["[]", "{}", "null", "5", '"x"', '{"model.safetensors": 5}', '{"state.json": "x"}', "", "\x00", "[" * 10_000],
)
def test_a_manifest_that_is_none_is_refused(tmp_path, manifest):
    path = save(tmp_path, 1)
    (path / "MANIFEST.json").write_text(manifest)
    with pytest.raises(CheckpointError, match=r"MANIFEST\.json"):
        checkpoint.read(path)


def test_a_manifest_cannot_point_out_of_its_folder(tmp_path):
    path = save(tmp_path, 1)
    manifest = json.loads((path / "MANIFEST.json").read_text())
    secret = tmp_path / "secret.safetensors"
    secret.write_text("x")
    (path / "MANIFEST.json").write_text(json.dumps({**manifest, "../../secret.safetensors": "0" * 64}))
    with pytest.raises(CheckpointError, match=f"{path}/secret.safetensors: is missing"):
        checkpoint.read(path)


@pytest.mark.faults
def test_a_file_that_cannot_be_read_from_the_disk_is_damage_as_well(tmp_path, monkeypatch):
    save(tmp_path, 1), save(tmp_path, 2)
    real = checkpoint.sha256_of

    def broken_disk(file):
        if "step-000000002" in str(file):
            raise OSError(5, "Input/output error")
        return real(file)

    monkeypatch.setattr(checkpoint, "sha256_of", broken_disk)
    found, problems = run_checkpoints.newest(tmp_path)
    assert found is not None and found.state.step == 1
    assert len(problems) == 1 and "Input/output error" in problems[0]


def rewrite(path, text):
    """Replaces a checkpoint's state.json, with the correct checksum in its manifest."""
    (path / "state.json").write_text(text)
    manifest = json.loads((path / "MANIFEST.json").read_text())
    manifest["state.json"] = hashlib.sha256((path / "state.json").read_bytes()).hexdigest()
    (path / "MANIFEST.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version: found 2, expected 1"),
        ({"step": "x"}, "step: found 'x'"),
        ({"step": 1.5}, "step: found 1.5"),
        ({"step": -1}, "step: found -1"),
        ({"step": 10**30}, "step: found 10"),
        ({"step": None}, "step: found None"),
        ({"seed": "0"}, "seed: found '0'"),
        ({"seconds": "long"}, "seconds: found 'long'"),
        ({"config": []}, r"config: found \[\]"),
        ({"optimizer": 5}, "optimizer: found 5"),
        ({"optimizer": {"groups": 1}}, r"optimizer.parameters: this key is missing"),
        ({"best_step": "x"}, "best_step: found 'x'"),
        ({"best_value": [1]}, r"best_value: found \[1\]"),
        ({"scaler": 3}, "scaler: found 3"),
        ({"more": 3}, "more: unknown key 'more'"),
    ],
)
def test_a_state_with_a_wrong_field_names_file_field_and_content(tmp_path, change, message):
    path = save(tmp_path, 1)
    state = json.loads((path / "state.json").read_text())
    rewrite(path, json.dumps({**state, **change}))
    with pytest.raises(CheckpointError, match=rf"state\.json: {message}"):
        checkpoint.read(path)


@pytest.mark.parametrize("field", ["step", "seed", "seconds", "config", "optimizer"])
def test_a_state_without_a_field_is_refused(tmp_path, field):
    path = save(tmp_path, 1)
    state = json.loads((path / "state.json").read_text())
    del state[field]
    rewrite(path, json.dumps(state))
    with pytest.raises(CheckpointError, match=rf"state\.json: {field}: this key is missing"):
        checkpoint.read(path)


@pytest.mark.parametrize("text", ["[]", "5", "null", '"x"', "{", "[" * 10_000])
def test_a_state_that_is_no_mapping_is_refused(tmp_path, text):
    path = save(tmp_path, 1)
    rewrite(path, text)
    with pytest.raises(CheckpointError, match=r"state\.json: "):
        checkpoint.read(path)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "ema.safetensors"])
def test_an_unreadable_file_with_a_correct_checksum_falls_back_to_the_older_checkpoint(tmp_path, name):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    (path / name).write_bytes((path / name).read_bytes()[:20])
    manifest = json.loads((path / "MANIFEST.json").read_text())
    manifest[name] = hashlib.sha256((path / name).read_bytes()).hexdigest()
    (path / "MANIFEST.json").write_text(json.dumps(manifest))
    found, problems = run_checkpoints.newest(tmp_path)
    assert found.state.step == 1
    assert len(problems) == 1 and f"{name}: cannot be read" in problems[0]
    assert run_checkpoints.find(tmp_path).state.step == 1


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint folder"):
        checkpoint.read(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"MANIFEST\.json: is missing, so this is not a checkpoint"):
        checkpoint.read(tmp_path)
    with pytest.raises(CheckpointError, match="there is no such folder"):
        run_checkpoints.find(tmp_path / "none")
    with pytest.raises(CheckpointError, match="holds no intact checkpoint in checkpoints/"):
        run_checkpoints.find(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError):
        run_checkpoints.find(tmp_path / "file")


@pytest.mark.faults
def test_the_newest_intact_checkpoint_is_found_and_damaged_ones_are_reported(tmp_path):
    assert run_checkpoints.newest(tmp_path) == (None, [])
    for step in (2, 10, 9, 100):
        save(tmp_path, step)
    (tmp_path / "checkpoints" / "step-7").mkdir()
    (tmp_path / "checkpoints" / f"{TEMPORARY_PREFIX}abc").mkdir()
    for step, name in ((100, "model.safetensors"), (10, "MANIFEST.json")):
        (tmp_path / "checkpoints" / f"step-{step:09d}" / name).unlink()
    found, problems = run_checkpoints.newest(tmp_path)
    assert found is not None and found.state.step == 9
    assert ["step-000000100" in problems[0], "step-000000010" in problems[1], len(problems)] == [True, True, 2]
    assert run_checkpoints.find(tmp_path).state.step == 9
    assert [path.name for path in run_checkpoints.all_steps(tmp_path)] == [
        f"step-{step:09d}" for step in (2, 9, 10, 100)
    ]


def test_the_best_is_found_while_it_is_there(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step)
    assert run_checkpoints.best_step(tmp_path) is None
    run_checkpoints.mark_best(tmp_path, step=2, metric="eval/nelbo_excess", value=1.5)
    assert run_checkpoints.best_step(tmp_path) == 2 and run_checkpoints.find(tmp_path).state.step == 2
    assert run_checkpoints.find(tmp_path / "checkpoints" / "step-000000003").state.step == 3
    shutil.rmtree(tmp_path / "checkpoints" / "step-000000002")
    assert run_checkpoints.best_step(tmp_path) is None and run_checkpoints.find(tmp_path).state.step == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "[]",
        "{}",
        '{"step": "x"}',
        '{"step": null}',
        '{"step": 99}',
        '{"step": -1}',
        "\xff",
        '{"step": true}',
        '{"step": 1e400}',
        '{"step": [3]}',
        "[" * 10_000,
    ],
)
def test_an_invalid_record_of_the_best_is_ignored(tmp_path, text):
    save(tmp_path, 3)
    (tmp_path / "checkpoints" / "best.json").write_bytes(text.encode("latin-1"))
    assert run_checkpoints.best_step(tmp_path) is None and run_checkpoints.find(tmp_path).state.step == 3


def test_pruning_keeps_the_newest_the_best_and_every_so_many_steps(tmp_path):
    for step in range(1, 11):
        save(tmp_path, step, ema=False)
    run_checkpoints.mark_best(tmp_path, step=3, metric="m", value=0.0)
    leftover = tmp_path / "checkpoints" / f"{TEMPORARY_PREFIX}x"
    leftover.mkdir()
    (leftover / "model.safetensors").write_text("")
    (tmp_path / "checkpoints" / f"{TEMPORARY_PREFIX}y.json").write_text("")
    (tmp_path / "checkpoints" / "notes.txt").write_text("mine")
    run_checkpoints.prune(tmp_path, keep_last=2, keep_every=4)
    assert [int(path.name[5:]) for path in run_checkpoints.all_steps(tmp_path)] == [3, 4, 8, 9, 10]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir() if "step" not in path.name) == [
        "best.json",
        "notes.txt",
    ]
    run_checkpoints.prune(tmp_path, keep_last=1, keep_every=0)
    assert [int(path.name[5:]) for path in run_checkpoints.all_steps(tmp_path)] == [3, 10]
    run_checkpoints.prune(tmp_path, keep_last=5, keep_every=0)
    assert [int(path.name[5:]) for path in run_checkpoints.all_steps(tmp_path)] == [3, 10]


def _save_within(run, limit, results):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        save(run, 2)
        results.put("saved")
    except DiskFullError as error:
        results.put(str(error))


@pytest.mark.faults
@pytest.mark.parametrize("limit", [0, 64, 300, 500, 700])
def test_a_full_disk_leaves_the_older_checkpoints_and_one_sentence(tmp_path, limit):
    """The limit of the operating system hits now a file of tensors, now one of text."""
    whole = save(tmp_path, 1)
    sizes = [file.stat().st_size for file in whole.iterdir()]
    assert min(sizes) < 500 and max(sizes) > 700
    full_disk(tmp_path, whole, limit=limit)


@pytest.mark.faults
@pytest.mark.slow
def test_a_full_disk_at_fifty_offsets(tmp_path, record_property):
    """Evenly over the largest file of the checkpoint: each write that is larger than the limit ends there."""
    whole = save(tmp_path, 1)
    largest = max(file.stat().st_size for file in whole.iterdir())
    limits = np.linspace(0, largest - 1, 50).astype(int).tolist()
    for limit in limits:
        full_disk(tmp_path, whole, limit=limit)
    record_property("full disk, the older checkpoint intact", f"{len(limits)} of {len(limits)}")


def full_disk(tmp_path, whole, *, limit):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=_save_within, args=(tmp_path, limit, results))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    message = results.get()
    assert message.startswith(f"{tmp_path}/checkpoints/step-000000002") and "cannot be written" in message
    assert "\n" not in message
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000001"]
    assert checkpoint.read(whole).state.step == 1


def _save_and_crash(run, point):
    """Ends the process, as a kill would, right before the ``point``-th call that touches the disk."""
    calls = 0

    def counted(real):
        def call(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls == point:
                os._exit(137)
            return real(*arguments, **named)

        return call

    os.fsync = counted(os.fsync)
    shutil.rmtree = counted(shutil.rmtree)
    for name in ("rename", "replace", "chmod"):
        setattr(Path, name, counted(getattr(Path, name)))
    checkpoint.save_file = counted(checkpoint.save_file)
    save(run, 2)
    run_checkpoints.mark_best(run, step=2, metric="m", value=0.0)
    run_checkpoints.prune(run, keep_last=1, keep_every=0)
    os._exit(0)


def _save_again_and_again(run, first):
    for step in range(first, 10**6):
        save(run, step)
        run_checkpoints.prune(run, keep_last=1, keep_every=0)


@pytest.mark.faults
@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_at_random_times_lose_nothing(tmp_path, kills, record_property):
    """With one checkpoint kept: kill -9 while another is written, then the next process goes on."""
    context, generator = multiprocessing.get_context("fork"), np.random.default_rng(kills)
    newest = 1
    save(tmp_path, newest)
    steps = 0
    for kill in range(kills):
        process = context.Process(target=_save_again_and_again, args=(tmp_path, newest + 1))
        process.start()
        deadline = time.monotonic() + 600
        while len(run_checkpoints.all_steps(tmp_path)) < 1 or run_checkpoints.all_steps(tmp_path)[-1].name <= (
            f"step-{newest:09d}"
        ):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.05))
        process.kill()
        process.join()
        found, problems = run_checkpoints.newest(tmp_path)
        assert found is not None and found.state.step > newest, f"kill {kill}: nothing newer is left"
        assert problems == [], f"kill {kill}: a torn checkpoint bears the name of a whole one"
        steps += found.state.step - newest
        newest = found.state.step
    assert steps >= kills
    record_property("kills at random times", f"{kills}, 0 lost, in {steps} saves")


@pytest.mark.faults
def test_a_crash_at_any_point_of_saving_loses_nothing(tmp_path, record_property):
    context = multiprocessing.get_context("fork")
    crashes, steps = 0, set()
    for point in range(1, 100):
        run = tmp_path / str(point)
        save(run, 1)
        run_checkpoints.mark_best(run, step=1, metric="m", value=1.0)
        process = context.Process(target=_save_and_crash, args=(run, point))
        process.start()
        process.join(60)
        found, problems = run_checkpoints.newest(run)
        assert found is not None, f"crash point {point}: nothing is left"
        assert problems == [], f"crash point {point}: a torn checkpoint bears the name of a whole one"
        assert run_checkpoints.find(run).state.step in (1, 2)
        steps.add(found.state.step)
        # The next save clears away what the crash left.
        save(run, 3)
        run_checkpoints.prune(run, keep_last=1, keep_every=0)
        left = {path.name for path in (run / "checkpoints").iterdir()}
        assert not [name for name in left if name.startswith(TEMPORARY_PREFIX)], f"crash point {point}: {left}"
        assert run_checkpoints.find(run).state.step in (1, 2, 3)
        if process.exitcode == 0:
            break
        assert process.exitcode == 137
        crashes += 1
    assert crashes > 15 and steps == {1, 2}
    record_property("crash points", f"{crashes}, 0 lost")
