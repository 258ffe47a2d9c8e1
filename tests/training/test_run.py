import json
import multiprocessing
import shutil
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

import zoo
from zoo.config.settings import load_yaml, parse_yaml
from zoo.data.opening import open_scenes
from zoo.errors import CheckpointError, ConfigError, DataError, OutOfMemoryError
from zoo.model.scene_model import SceneModel
from zoo.provenance import Provenance, hash_config
from zoo.registry.variant import build
from zoo.training import checkpoint, run_checkpoints
from zoo.training.options import ResumeOptions, TrainingOptions
from zoo.training.run import make_accelerator, open_splits_for, run_config, to_yaml, train
from zoo.training.session import lock_folder
from zoo.training.trained_model import load_trained


@pytest.fixture(scope="module")
def run(tmp_path_factory, scenes, variant):
    """A run of four steps with averaged weights, of which every step was saved; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "gqn"
    train(
        variant("gqn-tower", "training.ema_decay=0.5"),
        data=scenes,
        run=folder,
        seed=3,
        options=TrainingOptions(log_interval=1, save_interval=1, keep_last=9, validation_interval=2),
        cpu=True,
        command=["gqn-zoo", "train", "gqn-tower", "--data", str(scenes)],
    )
    return folder


@pytest.fixture
def copy(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_a_runs_folder_says_what_it_is(run, scenes):
    assert {path.name for path in run.iterdir()} == {
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "predictions.png",
    }
    config = load_yaml(run / "config.yaml")
    assert config["variant"] == "gqn-tower" and config["size"] == "smoke" and config["seed"] == 3
    assert config["data"] == {"name": "noise", "revision": open_scenes(scenes, "train").revision}
    provenance = Provenance.model_validate_json((run / "environment.json").read_text())
    assert provenance.seed == 3 and provenance.device == "cpu" and provenance.config_hash == hash_config(config)
    assert str(scenes.parent) not in (run / "environment.json").read_text(), "no path of this machine"
    assert list((run / "tensorboard").rglob("events.*"))


def test_plain_values_survive_yaml():
    values = {
        "a": {
            "b": 1e-08,
            "c": 1e30,
            "d": -0.0,
            "e": [0.9, 0.999],
            "f": None,
            "g": True,
            "h": "no",
            "i": "1e-3",
            "j": "",
        },
        "k": 2.0,
        "l": 5e-5,
        "m": "on",
        "n": "a: b # c",
        "o": 10**12,
        "p": {},
        "q": [],
        "r": "Übung",
    }
    again = parse_yaml(to_yaml(values), file="f")
    assert again == values and list(again) == list(values)
    assert [type(again[key]) for key in again] == [type(values[key]) for key in values]


def test_loading_gives_the_averaged_weights_of_the_best_checkpoint_ready_for_evaluation(run, weights, variant):
    from safetensors.torch import load_file

    best = json.loads((run / "checkpoints" / "best.json").read_text())["step"]
    loaded = load_trained(run)
    assert (loaded.step, loaded.seed, loaded.run) == (best, 3, run) and not loaded.model.training
    assert loaded.git == Provenance.model_validate_json((run / "environment.json").read_bytes()).git
    assert loaded.variant.config() == variant("gqn-tower", "training.ema_decay=0.5").config()
    folder = run / "checkpoints" / f"step-{best:09d}"
    averaged, plain = load_file(folder / "ema.safetensors"), load_file(folder / "model.safetensors")
    differing = 0
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, averaged[f"module.{name}"])
        differing += not torch.equal(value, plain[name])
    assert differing > 5
    assert torch.equal(weights(zoo.load_model(run)), weights(loaded.model))
    assert type(zoo.load_model(run)) is SceneModel


def test_a_run_has_cost_all_of_its_steps_and_a_named_checkpoint_those_before_it(copy):
    marked = json.loads((copy / "checkpoints" / "best.json").read_text())
    (copy / "checkpoints" / "best.json").write_text(json.dumps({**marked, "step": 1}))
    last = load_trained(copy, which="last")
    best = load_trained(copy)
    assert best.step == 1 < last.step and best.seconds < last.seconds
    assert best.spent == last.spent == (last.step, last.seconds)
    named = load_trained(copy / "checkpoints" / "step-000000001")
    assert named.spent == (1, best.seconds)


def test_a_finished_run_that_is_started_again_still_names_the_code_that_trained_it(copy, scenes, variant):
    before = (copy / "environment.json").read_bytes()
    started_again = {"data": scenes, "run": copy, "seed": 3, "resume": ResumeOptions(mode="auto"), "cpu": True}
    started_again["options"] = TrainingOptions()
    report = train(variant("gqn-tower", "training.ema_decay=0.5"), command=["later"], **started_again)
    assert report.step == load_trained(copy, which="last").step
    assert (copy / "environment.json").read_bytes() == before and b"later" not in before


@pytest.mark.parametrize("step", [1, 3])
def test_a_checkpoint_may_be_named_itself(run, step, monkeypatch):
    folder = run / "checkpoints" / f"step-{step:09d}"
    assert (load_trained(folder).step, load_trained(folder).run) == (step, run)
    monkeypatch.chdir(run / "checkpoints")
    assert load_trained(Path(folder.name)).step == step
    assert load_trained(Path(f"./{folder.name}/")).variant.name == "gqn-tower"
    monkeypatch.chdir(run)
    assert load_trained(Path()).run == Path()


def test_a_run_without_its_configuration_is_loaded_from_the_checkpoint(copy, run, weights):
    (copy / "config.yaml").unlink()
    assert torch.equal(weights(load_trained(copy).model), weights(load_trained(run).model))


@pytest.mark.parametrize(
    ("old", "new", "error", "part"),
    [
        ("seed: 3", "sede: 3", ConfigError, "config.yaml: seed: this key is missing"),
        ("seed: 3\n", "seed: 3\nsede: 3\n", ConfigError, "config.yaml: sede: unknown key 'sede'"),
        ("image_size: 16", "image_size: big", ConfigError, "config.yaml: image_size: found 'big'"),
        ("use: tower", "use: towre", ValueError, "config.yaml: encoder.use: there is no encoder 'towre'"),
        ("steps: 2\n", "steps: 3\n", CheckpointError, "it belongs to another variant"),
        ("channels: 16\n", "channels: 24\n", CheckpointError, "it belongs to a model of another size"),
        ("variant:", "variant: [", ConfigError, "config.yaml: line"),
    ],
)
def test_a_configuration_that_was_tampered_with_is_refused(copy, old, new, error, part):
    text = (copy / "config.yaml").read_text()
    assert old in text
    (copy / "config.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(error) as caught:
        load_trained(copy)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_best_checkpoint_is_an_error(copy):
    best = load_trained(copy).step
    (copy / "checkpoints" / f"step-{best:09d}" / "ema.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"ema\.safetensors: is missing"):
        load_trained(copy)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such folder"):
        load_trained(tmp_path / "none")
    with pytest.raises(CheckpointError, match="holds no intact checkpoint"):
        load_trained(tmp_path)


def test_scenes_that_do_not_fit_are_refused_before_the_folder_is_made(scenes, tmp_path, variant):
    def go(chosen, data=scenes):
        train(chosen, data=data, run=tmp_path / "run", options=TrainingOptions(), cpu=True)

    with pytest.raises(ConfigError, match=r"has images of 16 pixels, but 'vae' at size 'smoke' reads 32"):
        go(variant("vae", "image_size=32"))
    with pytest.raises(ConfigError, match="noise: 6 context views and 1 target"):
        go(variant("vae", "training.contexts={minimum: 1, maximum: 6}"))
    with pytest.raises(ConfigError, match="variant 'gqn-tower' at size 'smoke'"):
        go(variant("gqn-tower", "core.canvas_scale=3"))
    with pytest.raises(DataError, match="there is no such folder"):
        go(variant("vae"), data=tmp_path / "none")
    assert not (tmp_path / "run").exists()


def test_a_store_without_training_scenes_is_refused(tmp_path, variant):
    import numpy as np

    from zoo.data.store_writer import StoreWriter

    with StoreWriter(tmp_path / "store", name="noise", image_size=16, num_views=6, provenance={}) as writer:
        writer.add("test", np.zeros((2, 6, 16, 16, 3), np.uint8), np.zeros((2, 6, 5), np.float32))
    with pytest.raises(DataError, match="has no split 'train'"):
        open_splits_for(variant("vae"), tmp_path / "store", "train")


def test_a_store_without_validation_scenes_is_trained_on_without(tmp_path, variant, look):
    import numpy as np

    from zoo.data.store_writer import StoreWriter

    with StoreWriter(tmp_path / "store", name="noise", image_size=16, num_views=6, provenance={}) as writer:
        writer.add("train", np.zeros((2, 6, 16, 16, 3), np.uint8), np.zeros((2, 6, 5), np.float32))
    train(
        variant("vae"), data=tmp_path / "store", run=tmp_path / "run", options=TrainingOptions(log_interval=1), cpu=True
    )
    assert [row["step"] for row in look.rows(tmp_path / "run")] == [1, 2, 3, 4]
    assert load_trained(tmp_path / "run").step == 4 and not (tmp_path / "run" / "checkpoints" / "best.json").exists()


def test_fp16_needs_a_gpu(variant, tmp_path):
    with pytest.raises(ConfigError, match=r"training\.mixed_precision: found 'fp16', which needs a GPU"):
        make_accelerator(variant("vae", "training.mixed_precision=fp16"), run=tmp_path, log_with=(), cpu=True)


def test_one_process_may_train_in_one_precision_after_another(run_training, tmp_path):
    run_training(tmp_path / "one", "vae")
    run_training(tmp_path / "two", "vae", "training.mixed_precision=bf16")
    run_training(tmp_path / "three", "vae")
    assert Accelerator(cpu=True).mixed_precision == "no"


@pytest.mark.parametrize("seed", [1, 2**63 - 1])
def test_the_seed_of_a_run_decides_its_initial_weights(run_training, tmp_path, weights, variant, seed):
    unchanged = "training.learning_rate={start: 1e-30, end: 1e-30, steps: 0}"
    run_training(tmp_path, "gqn-tower", unchanged, seed=seed)
    initial = weights(build(variant("gqn-tower"), seed=seed))
    torch.testing.assert_close(weights(load_trained(tmp_path).model), initial, rtol=0, atol=1e-20)
    assert not torch.allclose(weights(build(variant("gqn-tower"), seed=0)), initial)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "1"])
def test_a_seed_that_is_no_whole_number_of_63_bits_is_refused(run_training, tmp_path, seed):
    with pytest.raises(ConfigError, match="--seed: seed: found"):
        run_training(tmp_path / "run", "vae", seed=seed)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, RecursionError])
def test_other_errors_are_not_taken_for_too_little_memory(run_training, tmp_path, monkeypatch, error):
    def fail(self, *arguments):
        raise error("a defect")

    monkeypatch.setattr(SceneModel, "forward", fail)
    with pytest.raises(error, match="a defect"):
        run_training(tmp_path, "vae")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore lines"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory. Tried to allocate 2 GiB\nmore lines"),
        MemoryError("Unable to allocate an array. Tried to allocate 2 GiB"),
    ],
)
def test_too_little_memory_is_one_sentence_with_what_to_change(run_training, tmp_path, monkeypatch, error):
    def too_much(self, *arguments):
        raise error

    monkeypatch.setattr(SceneModel, "forward", too_much)
    with pytest.raises(OutOfMemoryError) as caught:
        run_training(tmp_path, "vae")
    message = str(caught.value)
    assert message.startswith("vae: a batch of 4 scenes does not fit into memory") and "\n" not in message
    assert "gradient_accumulation" in message and "Tried to allocate 2 GiB" in message
    assert caught.value.exit_code == 5


def test_the_configuration_of_a_run_is_all_that_decides_its_weights(scenes, variant):
    source = open_scenes(scenes, "train")
    chosen = variant("vae")
    config = run_config(chosen, seed=3, source=source)
    assert set(config) == {*chosen.config(), "seed", "data"}
    assert json.loads(json.dumps(config)) == config
    assert hash_config(config) == hash_config(run_config(chosen, seed=4, source=source))


def _hold(run, held, release):
    with lock_folder(run):
        held.set()
        release.wait(60)


def test_a_folder_belongs_to_one_process_at_a_time(tmp_path, run_training):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "run", held, release))
    process.start()
    try:
        assert held.wait(60)
        with pytest.raises(CheckpointError, match="another process is training into this folder"):
            run_training(tmp_path / "run", "vae")
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    finally:
        release.set()
        process.join(60)
    run_training(tmp_path / "run", "vae")
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_lock_that_was_removed_meanwhile_is_not_taken_for_held(tmp_path):
    with lock_folder(tmp_path):
        (tmp_path / ".lock").unlink()
        (tmp_path / ".lock").write_text("")
        with lock_folder(tmp_path):
            pass
    with lock_folder(tmp_path), pytest.raises(CheckpointError), lock_folder(tmp_path):
        pass


def test_a_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), lock_folder(tmp_path):
        raise RuntimeError
    with lock_folder(tmp_path):
        pass


def test_building_again_gives_the_model_that_was_trained(run, weights, variant):
    untrained = build(variant("gqn-tower"), seed=3)
    assert not torch.equal(weights(load_trained(run).model), weights(untrained))
    assert weights(untrained).shape == weights(load_trained(run).model).shape


def test_the_last_checkpoint_can_be_chosen_and_is_the_one_to_resume_from(tmp_path):
    run = tmp_path / "run"
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    state = {"config": {}, "seed": 0, "seconds": 0.0}
    for step in (2, 4):
        checkpoint.save(run, step=step, model=model, optimizer=optimizer, ema=None, state=state)
    run_checkpoints.mark_best(run, step=2, metric="eval/nelbo_excess", value=1.0)
    assert run_checkpoints.find(run).state.step == 2
    assert run_checkpoints.find(run, which="last").state.step == 4
    assert run_checkpoints.find(checkpoint.step_folder(run, 2), which="last").state.step == 2
