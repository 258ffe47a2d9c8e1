"""``python -m benchmarks.time_to_quality``."""

import json

import pytest

from benchmarks.time_to_quality.__main__ import main
from benchmarks.time_to_quality.subjects import subject_of
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

MODELS = "textbook@smoke:3,gqn-epipolar-improved@smoke:3"


def test_runs_are_kept_and_the_report_is_made_from_them(tmp_path, capsys):
    command = ["--smoke", "--seeds", "1", "--models", MODELS, "--thresholds", "1000,1", "-o", str(tmp_path)]
    assert main(command) == 0
    page = capsys.readouterr().out
    folder = tmp_path / "speed" / "time-to-quality"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    runs = [json.loads(text) for name, text in files.items() if name.endswith(".json")]
    assert len(runs) == 2 and files["time-to-quality.md"].decode() == page
    for run in runs:
        assert [point["updates"] for point in run["points"]] == [0, 3]
        assert run["points"][0]["cpu_seconds"] == 0.0 < run["points"][-1]["cpu_seconds"]
        assert run["provenance"]["hardware"]["threads"] == 1 and run["flops_per_update"] > 0
    assert "| textbook@smoke, 3 updates" in page and "not in 3 " in page
    (folder / "time-to-quality.png").unlink()
    removed = next(name for name in files if name.startswith("textbook"))
    (folder / removed).unlink()
    assert main(command) == 0  # trains the missing run alone
    assert {path.name for path in folder.iterdir()} == set(files)
    assert all((folder / name).read_bytes() == files[name] for name in files if name.startswith("gqn"))
    again, before = json.loads((folder / removed).read_bytes()), json.loads(files[removed])
    assert [point["excess"] for point in again["points"]] == [point["excess"] for point in before["points"]]
    page = capsys.readouterr().out
    assert main(["--report", "--thresholds", "1000,1", "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out == page


def test_a_training_ends_when_its_time_is_spent(tmp_path, capsys):
    command = ["--smoke", "--seeds", "1", "--models", "gqn-tower@smoke:50", "--seconds", "0.0001", "-o", str(tmp_path)]
    assert main(command) == 0
    (run,) = (tmp_path / "speed" / "time-to-quality").glob("*.json")
    assert [point["updates"] for point in json.loads(run.read_bytes())["points"]] == [0, 1]
    capsys.readouterr()


def test_the_textbook_has_the_schedules_of_the_paper_and_torchs_initial_weights():
    subject = subject_of("textbook@smoke:1000")
    recipe, ours = subject.variant.training, default_registry().variant("gqn-tower", size="smoke").training
    assert (recipe.sigma.start, recipe.sigma.end, recipe.sigma.steps) == (2.0, 0.7, 100)
    assert (recipe.learning_rate.start, recipe.learning_rate.end, recipe.learning_rate.steps) == (5e-4, 5e-5, 800)
    assert (recipe.steps, recipe.batch_size, recipe.contexts) == (1000, ours.batch_size, ours.contexts)
    model, fast = subject.model(seed=0), build(subject.variant)
    assert bool((fast.core.recurrence.eta_g.bias == 0.5).all())  # grey
    assert float(model.core.eta_g.bias.detach().abs().max()) <= model.core.eta_g.in_channels**-0.5
    layer = model.encoder.network.halve  # uniform up to 1 / sqrt(inputs)
    bound = layer.weight[0].numel() ** -0.5
    assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= bound
    again, other = subject.model(seed=0), subject.model(seed=1)
    assert again.encoder.network.halve.weight.equal(layer.weight)
    assert not other.encoder.network.halve.weight.equal(layer.weight)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--models", "gqn-tower"], "--models: found 'gqn-tower', expected NAME@SIZE or NAME@SIZE:UPDATES"),
        (["--models", "gqn-towr@smoke"], "gqn-tower"),
        (["--models", "gqn-tower@smoke,gqn-tower@small"], "expected images of one size"),
        (["--report"], "has no runs; the command without --report trains them"),
    ],
)
def test_mistakes_exit_with_code_2_and_one_sentence(tmp_path, capsys, options, sentence):
    assert main([*options, "-o", str(tmp_path / "new")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
