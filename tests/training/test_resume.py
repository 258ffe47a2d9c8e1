"""A run that was interrupted and resumed is the run that was not, to the bit."""

import shutil
import signal

import pytest
import torch

from zoo.data.source import SPLITS
from zoo.data.store import SceneStore
from zoo.errors import CheckpointError
from zoo.training.options import ResumeOptions
from zoo.training.trained_model import load_trained

STEPS = 12
COMMON = (f"training.steps={STEPS}", "training.ema_decay=0.9", "training.sigma={start: 2.0, end: 0.7, steps: 10}")
# Epochs of 10 scenes: batches of 4 straddle them, batches of 5 end with them.
CASES = {
    "straddling an epoch": ("gqn-tower", ("training.batch_size=4",), {}, (5,)),
    "at the edge of an epoch": ("gqn-tower", ("training.batch_size=5",), {}, (4,)),
    "twice": ("vae", ("training.beta={start: 0.1, end: 1.0, steps: 9}",), {}, (1, 11)),
    "where it was validated and saved": ("vae", ("training.gradient_clip=50.0",), {"validation_interval": 2}, (4,)),
    "accumulating": ("cvae", ("training.gradient_accumulation=2", "training.optimizer.weight_decay=0.1"), {}, (7,)),
    "with workers": ("gqn-tower", ("training.gradient_accumulation=2",), {"workers": 1}, (6,)),
    "with scenes on the device": ("gqn-tower", (), {"residence": "device"}, (6,)),
    "in half precision": ("vae", ("training.mixed_precision=bf16",), {}, (5,)),
}


def interrupt_at(*steps):
    def progress(step, figures):
        if step in steps:
            signal.raise_signal(signal.SIGTERM)

    return progress


@pytest.fixture
def orders(monkeypatch):
    """Records which views of which scenes of the training split are read, in order."""
    seen = []
    real = SceneStore.read

    def read(self, scenes, views):
        if self.split == "train":
            seen.append((tuple(scenes.tolist()), tuple(views.ravel().tolist())))
        return real(self, scenes, views)

    monkeypatch.setattr(SceneStore, "read", read)
    return seen


@pytest.mark.faults
@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(case, run_training, tmp_path, look, orders):
    name, changes, options, splits = CASES[case]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = (*COMMON, *changes)
    # How batches come to be read must change nothing either.
    plainly = {key: value for key, value in options.items() if key not in ("workers", "residence")}
    report = run_training(whole, name, *settings, **plainly)
    assert (report.status, report.step) == ("finished", STEPS)
    order_of_whole = list(orders)
    orders.clear()
    for number, split in enumerate((*splits, None)):
        # What torch's own generator did before must not matter.
        torch.manual_seed(number)
        mode = "auto" if number else "never"
        report = run_training(parts, name, *settings, mode=mode, progress=interrupt_at(split), **options)
        assert (report.status, report.step) == (("interrupted", split) if split else ("finished", STEPS))
        assert report.signal == (signal.SIGTERM if split else None)
    assert report.scenes == STEPS * (5 if "batch_size=5" in str(changes) else 4)
    assert look.digests(parts, STEPS) == look.digests(whole, STEPS)
    assert {"model.safetensors", "optimizer.safetensors", "ema.safetensors"} <= set(look.digests(whole, STEPS))
    assert look.rows(parts) == look.rows(whole)
    assert len(look.rows(whole)) > STEPS
    assert (parts / "checkpoints" / "best.json").read_text() == (whole / "checkpoints" / "best.json").read_text()
    assert (parts / "config.yaml").read_text() == (whole / "config.yaml").read_text()
    if options.get("workers", 0) == 0 and "device" not in options.values():
        # A part may have read one batch ahead of its end; nothing is left out and nothing is in another order.
        assert list(dict.fromkeys(orders)) == list(dict.fromkeys(order_of_whole))


def test_execution_options_do_not_change_a_run(run_training, tmp_path, look):
    """Workers, intervals and residence may be changed when a run goes on."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = ("gqn-tower", *COMMON)
    run_training(whole, *settings)
    run_training(parts, *settings, progress=interrupt_at(5), save_interval=2)
    run_training(parts, *settings, mode="auto", residence="device", keep_last=1, validation_interval=4)
    assert look.digests(parts, STEPS)["model.safetensors"] == look.digests(whole, STEPS)["model.safetensors"]
    assert look.digests(parts, STEPS)["optimizer.safetensors"] == look.digests(whole, STEPS)["optimizer.safetensors"]


def test_a_finished_run_is_left_as_it_is(run_training, tmp_path, look):
    run_training(tmp_path, "vae")
    before = look.digests(tmp_path, 4), look.rows(tmp_path)
    report = run_training(tmp_path, "vae", mode="auto")
    assert (report.status, report.step) == ("finished", 4)
    assert (look.digests(tmp_path, 4), look.rows(tmp_path)) == before


def test_auto_starts_anew_where_there_is_nothing(run_training, tmp_path, look):
    run_training(tmp_path / "auto", "vae", mode="auto")
    run_training(tmp_path / "never", "vae")
    assert look.digests(tmp_path / "auto", 4) == look.digests(tmp_path / "never", 4)


def test_an_existing_run_is_not_written_over(run_training, tmp_path, look):
    run_training(tmp_path, "vae")
    before = look.digests(tmp_path, 4)
    with pytest.raises(CheckpointError, match=f"{tmp_path}: holds a run already; resume it with --resume auto"):
        run_training(tmp_path, "vae", seed=1)
    assert look.digests(tmp_path, 4) == before


@pytest.mark.parametrize(
    ("name", "changes", "keys"),
    [
        ("cvae", (), ["variant", "core.use", "encoder.use"]),
        ("vae", ("core.channels=12",), ["core.channels"]),
        ("vae", ("training.batch_size=8",), ["training.batch_size"]),
        ("vae", ("training.steps=8", "training.beta.end=0.5"), ["training.beta.end", "training.steps"]),
    ],
)
def test_another_configuration_is_refused_with_the_differing_keys(run_training, tmp_path, name, changes, keys, look):
    run_training(tmp_path, "vae")
    before = look.digests(tmp_path, 4), (tmp_path / "config.yaml").read_text()
    with pytest.raises(CheckpointError) as caught:
        run_training(tmp_path, name, *changes, mode="auto")
    message = str(caught.value)
    assert "was written with another configuration; differing:" in message and "--allow-config-change" in message
    assert all(key in message for key in keys)
    assert (look.digests(tmp_path, 4), (tmp_path / "config.yaml").read_text()) == before


def test_another_seed_is_refused(run_training, tmp_path):
    run_training(tmp_path, "vae")
    with pytest.raises(CheckpointError, match="differing: seed;"):
        run_training(tmp_path, "vae", seed=1, mode="auto")


def test_a_changed_configuration_is_taken_when_it_is_allowed(run_training, tmp_path, look):
    run_training(tmp_path, "vae")
    start = ResumeOptions(mode="auto", allow_config_change=True)
    report = run_training(tmp_path, "vae", "training.steps=6", "training.beta.end=0.5", resume=start)
    assert report.step == 6
    assert "end: 0.5" in (tmp_path / "config.yaml").read_text()
    assert [row["train/beta"] for row in look.rows(tmp_path) if "train/beta" in row] == [1.0] * 4 + [0.5] * 2
    with pytest.raises(CheckpointError, match="it belongs to another variant"):
        run_training(tmp_path, "cvae", resume=start)
    with pytest.raises(CheckpointError, match="it belongs to a model of another size"):
        run_training(tmp_path, "vae", "core.channels=12", resume=start)


def spoil(run, look, step):
    file = look.folder(run, step) / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.faults
def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_is_used(run_training, tmp_path, look):
    whole = tmp_path / "whole"
    run_training(whole, "gqn-tower", *COMMON)
    run = tmp_path / "run"
    run_training(run, "gqn-tower", *COMMON, progress=interrupt_at(10))
    assert look.steps(run)[-2:] == [9, 10] or look.steps(run)[-1] == 10
    before = look.steps(run)[-2]
    spoil(run, look, 10)
    calls = []
    report = run_training(run, "gqn-tower", *COMMON, mode="auto", log=calls.append)
    assert (report.status, report.step) == ("finished", STEPS)
    assert "step-000000010" in calls[0] and "model.safetensors: is damaged" in calls[0] and "older" in calls[0]
    assert all("\n" not in sentence for sentence in calls)
    assert before < 10
    assert look.digests(run, STEPS) == look.digests(whole, STEPS)
    assert look.rows(run) == look.rows(whole)


@pytest.mark.faults
@pytest.mark.parametrize("keep_last", [1, 2])
def test_retrained_checkpoints_replace_damaged_ones(run_training, tmp_path, look, keep_last):
    """The damaged checkpoint of the last step must not be kept in place of the new one."""
    run = tmp_path / "run"
    options = {"save_interval": 2, "validation_interval": 100, "keep_last": 4}
    run_training(run, "vae", "training.steps=8", **options)
    whole = look.digests(run, 8)
    for step in (6, 8):
        spoil(run, look, step)
    calls = []
    options["keep_last"] = keep_last
    run_training(run, "vae", "training.steps=8", mode="auto", log=calls.append, **options)
    assert [sentence for sentence in calls if "renamed to this" in sentence]
    assert look.digests(run, 8) == whole
    assert load_trained(run).step == 8
    assert look.steps(run)[-keep_last:] == [6, 8][-keep_last:]
    # The damaged checkpoints are kept under other names.
    aside = sorted(path.name for path in (run / "checkpoints").glob("set-aside-*"))
    assert aside == ["set-aside-1-step-000000006", "set-aside-1-step-000000008"]
    run_training(run, "vae", "training.steps=8", mode="auto", **options)
    assert sorted(path.name for path in (run / "checkpoints").glob("set-aside-*")) == aside


@pytest.mark.faults
def test_a_run_without_an_intact_checkpoint_is_refused_and_unchanged(run_training, tmp_path, look):
    run_training(tmp_path, "vae", save_interval=2)
    steps = look.steps(tmp_path)
    for step in steps:
        spoil(tmp_path, look, step)
    with pytest.raises(CheckpointError, match=r"none of its checkpoints is intact; .*is damaged"):
        run_training(tmp_path, "vae", mode="auto")
    assert look.steps(tmp_path) == steps


def test_an_older_checkpoint_of_the_same_run_may_be_named(run_training, tmp_path, look):
    settings = ("vae", "training.steps=8")
    run_training(tmp_path, *settings, save_interval=2, validation_interval=4, keep_last=9)
    before, rows = look.digests(tmp_path, 8), look.rows(tmp_path)
    best = (tmp_path / "checkpoints" / "best.json").read_text()
    start = ResumeOptions(mode=str(look.folder(tmp_path, 4)))
    run_training(tmp_path, *settings, resume=start, save_interval=2, validation_interval=4, keep_last=9)
    assert look.digests(tmp_path, 8) == before and look.rows(tmp_path) == rows
    assert (tmp_path / "checkpoints" / "best.json").read_text() == best
    assert look.steps(tmp_path) == [2, 4, 6, 8]


def test_the_record_of_the_best_is_restored_with_the_run(run_training, tmp_path, look):
    """The best checkpoint is set aside with the course that led to it; it must not be found by its step's number."""
    settings = ("vae", "training.steps=8", "training.learning_rate={start: 1e-3, end: 1e-3, steps: 0}")
    run_training(tmp_path, *settings, save_interval=2, validation_interval=8, keep_last=9)
    assert '"step": 8' in (tmp_path / "checkpoints" / "best.json").read_text()
    start = ResumeOptions(mode=str(look.folder(tmp_path, 4)))
    run_training(tmp_path, *settings, resume=start, progress=interrupt_at(6), validation_interval=8)
    assert not (tmp_path / "checkpoints" / "best.json").exists()
    assert load_trained(tmp_path).step == 6


@pytest.mark.faults
def test_a_crash_between_the_checkpoint_and_its_record_as_the_best_is_repaired(run_training, tmp_path, look):
    whole, run = tmp_path / "whole", tmp_path / "run"
    settings = ("vae", "training.steps=8")
    run_training(whole, *settings, validation_interval=4)
    run_training(run, *settings, validation_interval=4, progress=interrupt_at(5))
    assert '"step": 4' in (run / "checkpoints" / "best.json").read_text()
    (run / "checkpoints" / "best.json").unlink()
    run_training(run, *settings, validation_interval=4, mode="auto", progress=interrupt_at(6))
    assert '"step": 4' in (run / "checkpoints" / "best.json").read_text()


def test_a_run_may_be_resumed_in_another_folder(run_training, tmp_path, look):
    one, two = tmp_path / "one", tmp_path / "two"
    run_training(one, "vae", "training.steps=8", progress=interrupt_at(5))
    before = look.digests(one, 5)
    run_training(two, "vae", "training.steps=8", resume=ResumeOptions(mode=str(one)))
    run_training(tmp_path / "whole", "vae", "training.steps=8")
    assert look.digests(two, 8)["model.safetensors"] == look.digests(tmp_path / "whole", 8)["model.safetensors"]
    assert look.digests(one, 5) == before


def test_a_run_may_start_with_the_weights_of_another_and_nothing_else(run_training, tmp_path, look, weights):
    run_training(tmp_path / "one", "vae")
    start = ResumeOptions(init_from=tmp_path / "one")
    run_training(tmp_path / "two", "vae", "training.learning_rate={start: 1e-30, end: 1e-30, steps: 0}", resume=start)
    one, two = load_trained(tmp_path / "one").model, load_trained(tmp_path / "two").model
    torch.testing.assert_close(weights(two), weights(one), rtol=0, atol=1e-12)
    assert look.rows(tmp_path / "two")[0]["step"] == 1
    with pytest.raises(CheckpointError, match="belongs to another variant"):
        run_training(tmp_path / "three", "cvae", resume=start)
    with pytest.raises(CheckpointError, match="there is no such folder"):
        run_training(tmp_path / "three", "vae", resume=ResumeOptions(init_from=tmp_path / "gone"))
    assert not (tmp_path / "three").exists()


def test_other_scenes_under_the_same_path_are_refused(run_training, tmp_path, scenes, monkeypatch):
    run_training(tmp_path / "run", "vae")
    real = SceneStore.__init__

    def other(self, folder, split):
        real(self, folder, split)
        self.revision = "f" * 16

    monkeypatch.setattr(SceneStore, "__init__", other)
    assert SPLITS
    with pytest.raises(CheckpointError, match=r"differing: data\.revision;"):
        run_training(tmp_path / "run", "vae", mode="auto")


def test_a_checkpoint_without_averages_cannot_be_resumed_with_them(run_training, tmp_path):
    run_training(tmp_path, "vae")
    start = ResumeOptions(mode="auto", allow_config_change=True)
    with pytest.raises(CheckpointError, match=r"ema\.safetensors: cannot be read"):
        run_training(tmp_path, "vae", "training.ema_decay=0.5", "training.steps=6", resume=start)


@pytest.mark.faults
def test_a_killed_run_without_a_checkpoint_starts_anew(run_training, tmp_path, look):
    run_training(tmp_path / "whole", "vae")
    shutil.copytree(tmp_path / "whole", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    run_training(tmp_path / "run", "vae", mode="auto")
    assert look.rows(tmp_path / "run") == look.rows(tmp_path / "whole")
