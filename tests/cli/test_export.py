"""Weights with a card: written by ``export``, found by name, the same model up to 16-bit rounding, and refused if damaged."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from cli_command import command
from safetensors.torch import load_file, save_file

import zoo
from zoo.bench.export import export, round_weights
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.errors import CheckpointError, ConfigError
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.loop import Evaluation
from zoo.files import sha256_of
from zoo.registry.registry import default_registry
from zoo.registry.variant import build
from zoo.results.store import load_rows
from zoo.results.weights import CARD, SAMPLE, WEIGHTS, read_card, shipped_names, weights_folder
from zoo.training.trained_model import load_trained

NAME = "gqn-tower"
MEGABYTES = 40  # of all shipped weights


@pytest.fixture(scope="module")
def place(tmp_path_factory, scenes):
    """A folder with a run of a smoke model and with its weights."""
    folder = tmp_path_factory.mktemp("place")
    command(f"train {NAME} --size smoke --data {scenes} -o {folder}/run --cpu --seed 3 --set training.ema_decay=0.5")
    command(f"export {folder}/run --data {scenes} -o {folder}/weights --cpu --repeats 0 --contexts 1,2")
    return folder


@pytest.fixture
def shipped(place, tmp_path, monkeypatch):
    """The weights, copied, as if they were shipped."""
    folder = tmp_path / "shipped"
    shutil.copytree(place / "weights", folder)
    monkeypatch.setattr("zoo.results.weights.weights_folder", lambda: folder)
    return folder / NAME


def scores(model, variant, scenes):
    source = open_scenes(scenes, "test")
    plan = EvaluationPlan(source, num_context=2, num_targets=1)
    evaluation = Evaluation(source, plan, schedule=evaluation_schedule_values(variant.training), batch_size=5)
    return torch.from_numpy(score_scenes(model, evaluation)["nelbo"])


def test_predictions_are_those_of_the_run_up_to_rounding(place, shipped, scenes):
    run = load_trained(place / "run")
    model = zoo.create_model(NAME, pretrained=True)
    assert not model.training and {value.dtype for value in model.parameters()} == {torch.float32}
    before, after = (scores(each, run.variant, scenes) for each in (run.model, model))
    torch.testing.assert_close(after, before, rtol=1e-3, atol=0.0)
    assert not torch.equal(after, scores(build(run.variant), run.variant, scenes))
    round_weights(run.model)
    assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(scores(run.model, run.variant, scenes), after)


def test_the_card_holds_what_the_run_and_its_measurement_say(place, shipped, scenes):
    card, run = read_card(shipped), load_trained(place / "run")
    weights = load_file(shipped / WEIGHTS)
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float16}
    assert (card.sha256, card.bytes) == (sha256_of(shipped / WEIGHTS), (shipped / WEIGHTS).stat().st_size)
    assert card.config == run.config and card.config["seed"] == 3 and card.step == run.step
    assert card.training.model_dump() == json.loads((place / "run" / "environment.json").read_text())
    found = [(row.variant, row.key.num_context) for row in card.evaluation]
    names = (f"{NAME}@smoke", "mean-image", "nearest-view")
    assert sorted(found) == sorted((name, number) for name in names for number in (1, 2))
    loaded = zoo.load_run(shipped)
    measured = {row.key.num_context: row.metrics["nelbo"] for row in card.evaluation if row.variant == names[0]}
    assert measured[2].value == pytest.approx(float(scores(loaded.model, loaded.variant, scenes).mean()), rel=1e-5)
    assert measured[2].stderr > 0.0
    found = (loaded.seed, loaded.step, loaded.spent.steps, loaded.git)
    assert found == (3, run.step, run.spent.steps, card.training.git)
    text = (shipped / "README.md").read_text()
    assert card.sha256 in text and "## Limits" in text and "{{" not in text and f"({SAMPLE})" in text
    assert all(limit in text for limit in card.limits)
    assert (shipped / SAMPLE).read_bytes().startswith(b"\x89PNG")


def test_the_card_says_what_the_model_is_no_better_than(place, tmp_path):
    run, (model, *others) = load_trained(place / "run"), read_card(place / "weights" / NAME).evaluation
    others = [row for row in others if row.key == model.key]
    for better, named in ((-1.0, []), (1.0, ["mean-image", "nearest-view"])):
        worst = max(row.metrics["nelbo_excess"].value for row in others) + better * 1e4
        metrics = {**model.metrics, "nelbo_excess": model.metrics["nelbo_excess"].model_copy(update={"value": worst})}
        changed = model.model_copy(update={"metrics": metrics})
        card = export(run, [changed, *others], target=tmp_path / f"weights{len(named)}", limits=["Last."])
        phrases = ["with its own context than with that of another scene"] if named else []
        phrases += [f"than the baseline {name}" for name in named]
        sentences = [f"No better {phrase} (excess NELBO, context views: 1)." for phrase in phrases]
        assert card.limits[1 + card.training.git.dirty :] == [*sentences, "Last."]
        assert not (tmp_path / f"weights{len(named)}" / SAMPLE).exists()


def test_options_name_the_folder_its_image_and_further_limits(gqn_zoo, place, scenes, tmp_path):
    image = tmp_path / "image.png"
    shutil.copyfile(place / "weights" / NAME / SAMPLE, image)
    words = f"--name other --limit-note 'It knows noise alone.' --sample {image} --repeats 0 --metrics none"
    outcome = gqn_zoo(f"export {place}/run --data {scenes} -o {tmp_path} --cpu {words}")
    assert outcome.code == 0 and str(tmp_path / "other") in outcome.err.replace("\n", "")
    assert read_card(tmp_path / "other").limits[-1] == "It knows noise alone."
    assert (tmp_path / "other" / SAMPLE).read_bytes() == image.read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{place}/run -o {place}/weights", f"weights/{NAME}: exists already"),
        ("{place}/run -o {place}/new --name Mine", "--name: found 'Mine'"),
        ("{place}/run -o {place}/new --name lab/mine", "--name: found 'lab/mine'"),
        ("{place}/run -o {place}/new --sample {place}/none.png", "--sample: found"),
        (f"{{place}}/weights/{NAME} -o {{place}}/new", "environment.json: is missing or damaged"),
        ("{place}/none -o {place}/new", "there is no such folder"),
    ],
)
def test_mistakes_are_one_sentence_and_change_nothing(gqn_zoo, place, scenes, contents, words, message):
    before = contents(place)
    code, _, err = gqn_zoo(f"export {words.format(place=place)} --data {scenes} --cpu")
    assert code == 2 and message in err and err.count("\n") == 1 and contents(place) == before


def test_a_failure_while_the_folder_is_written_leaves_nothing(gqn_zoo, place, scenes, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.bench.export.write_tensors", fail)
    code, _, err = gqn_zoo(f"export {place}/run --data {scenes} -o {tmp_path} --cpu --repeats 0 --metrics none")
    assert code == 2 and "cannot be written: No space left on device" in err and list(tmp_path.iterdir()) == []


def test_a_weight_beyond_sixteen_bits_is_refused():
    model = build(default_registry().variant(NAME, size="smoke"))
    name, parameter = next(iter(model.named_parameters()))
    parameter.data.view(-1)[0] = 1e5
    with pytest.raises(CheckpointError, match=f"{name}: has a value beyond 65504"):
        round_weights(model)


def _truncate(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])


def _rewrite(folder, **changes):
    values = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(values | changes))


def _other_model(folder):
    save_file({"x": torch.zeros(2)}, folder / WEIGHTS)
    _rewrite(folder, sha256=sha256_of(folder / WEIGHTS))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, "model.safetensors: is damaged: its SHA-256 is not that of card.json"),
        (lambda folder: _rewrite(folder, sha256="0" * 64), "its SHA-256 is not that of card.json"),
        (lambda folder: _rewrite(folder, sha256="x"), "card.json: sha256: "),
        (lambda folder: _rewrite(folder, colour="red"), "card.json: colour: "),
        (lambda folder: _rewrite(folder, config={}), "card.json: seed: this key is missing"),
        (lambda folder: (folder / CARD).write_text("{"), "card.json: Invalid JSON"),
        (lambda folder: (folder / WEIGHTS).unlink(), "model.safetensors: cannot be read: No such file"),
        (_other_model, "model.safetensors: lacks"),
    ],
)
def test_damaged_weights_are_refused(shipped, damage, message):
    damage(shipped)
    for load in (lambda: zoo.create_model(NAME, pretrained=True), lambda: zoo.load_run(shipped)):
        with pytest.raises((CheckpointError, ConfigError)) as caught:
            load()
        assert message in str(caught.value)


def test_the_card_decides_size_and_settings(shipped):
    assert zoo.create_model(NAME, size="smoke", pretrained=True).num_parameters > 0
    for options in ({"size": "small"}, {"overrides": ["core.steps=3"]}):
        with pytest.raises(ConfigError, match="pretrained at size 'smoke'"):
            zoo.create_model(NAME, pretrained=True, **options)


def test_an_unknown_name_is_answered_with_similar_names(gqn_zoo, shipped, scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = "gqn-towr: there is no such folder, and no weights of this name are shipped; did you mean 'gqn-tower'"
    with pytest.raises(CheckpointError, match=message):
        zoo.create_model("gqn-towr", pretrained=True)
    for words in ("evaluate gqn-towr", "train gqn-tower -o run --size smoke --init-from gqn-towr"):
        code, _, err = gqn_zoo(f"{words} --data {scenes} --cpu")
        assert code == 2 and message in err


def test_commands_take_a_shipped_name_where_they_take_a_run(gqn_zoo, shipped, scenes, contents, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = contents(shipped)
    outcome = gqn_zoo(f"evaluate {NAME} --data {scenes} --cpu --repeats 0 --contexts 2")
    assert outcome.code == 0 and contents(shipped) == before
    (row,) = load_rows([tmp_path / f"{NAME}-rows"])
    (of_card,) = (each for each in read_card(shipped).evaluation if each.variant == row.variant and each.key == row.key)
    assert row.metrics == of_card.metrics

    frozen = "--set 'training.learning_rate={start: 1e-30, end: 1e-30, steps: 0}'"
    assert gqn_zoo(f"train {NAME} --size smoke --data {scenes} -o run --cpu --init-from {NAME} {frozen}").code == 0
    started, loaded = load_trained(Path("run")).model, zoo.create_model(NAME, pretrained=True)
    for mine, theirs in zip(started.parameters(), loaded.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    assert load_trained(Path("run")).step == 4

    (tmp_path / NAME).mkdir()
    assert "holds no intact checkpoint" in gqn_zoo(f"evaluate {NAME} --data {scenes} --cpu").err


def test_shipped_weights_are_listed(gqn_zoo, shipped):
    code, out, _ = gqn_zoo("list --pretrained")
    header, line = out.splitlines()[:2]
    assert code == 0 and header.split()[:5] == ["name", "variant", "data", "excess", "NELBO"]
    assert line.split()[:3] == [NAME, f"{NAME}@smoke", "noise"]
    card = read_card(shipped)
    found = json.loads(gqn_zoo("list --pretrained --core gqn --json").out)
    assert found[NAME]["sha256"] == card.sha256 and found[NAME]["data"] == "noise"
    assert found[NAME]["nelbo_excess"] == card.evaluation[0].metrics["nelbo_excess"].value
    assert "no weights matches 'vae'" in gqn_zoo("list vae --pretrained").err
    assert "--pretrained: filters variants, found --kind core" in gqn_zoo("list --pretrained --kind core").err


def test_the_weights_of_this_repository_load_and_are_small():
    assert weights_folder() == Path(__file__).resolve().parents[2] / "results" / "weights"
    assert sum(read_card(weights_folder() / name).bytes for name in shipped_names()) <= MEGABYTES * 1e6
    for name in shipped_names():
        facts = read_card(weights_folder() / name).evaluation[0].model
        assert zoo.create_model(name, pretrained=True).num_parameters == facts.parameters
    files = {path.name for path in weights_folder().iterdir()}
    assert files == {"README.md", *shipped_names()}
