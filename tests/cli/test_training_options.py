"""What the options of ``train`` make of a run."""

import pytest


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", (False, "default", False)),
        ("--compile", (True, "default", False)),
        ("--compile-mode reduce-overhead", (True, "reduce-overhead", False)),
        ("--compile --compile-mode max-autotune --recompute", (True, "max-autotune", True)),
    ],
)
def test_how_a_model_is_compiled_reaches_the_trainer(scenes, tmp_path, monkeypatch, given, expected):
    from zoo.cli.main import main

    seen = []

    def train(variant, *, options, **named):
        seen.append((options.compile, options.compile_mode, options.recompute))
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.training.run.train", train)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        main(f"train vae --size smoke --data {scenes} -o {tmp_path / 'run'} --cpu {given}".split())
    assert seen == [expected]


def test_a_model_without_steps_is_not_recomputed(scenes, tmp_path, capsys):
    from zoo.cli.main import main

    with pytest.raises(SystemExit) as leave:
        main(f"train vae --size smoke --data {scenes} -o {tmp_path / 'run'} --cpu --recompute".split())
    assert leave.value.code == 2
    assert "--recompute: Vae with" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
