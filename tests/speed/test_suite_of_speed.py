"""The parts of the suite run one after the other into one record; a failure of one does not affect the others."""

import pytest

from benchmarks.speed import gpu, suite
from benchmarks.speed.record import Findings, load
from zoo.errors import ConfigError
from zoo.model.scene_model import SceneModel


def test_parts_are_chosen_by_name_in_the_order_of_the_suite():
    everything = list(suite.PARTS)
    assert suite.choose_parts([]) == everything and everything[0] == "plain loop"
    assert suite.choose_parts(["gpu", "plain loop"]) == ["plain loop", "gpu"]
    with pytest.raises(ConfigError, match="the speed suite has no part 'scalign'; did you mean 'scaling'"):
        suite.choose_parts(["scalign"])


def test_a_failed_part_is_reported_and_the_others_are_kept(monkeypatch, tmp_path):
    def broken(findings, *, size, repeats):
        findings.add(1.0, "speed", "1", subject="x", action="y")
        raise RuntimeError(f"no {size}")

    def fine(findings, *, size, repeats):
        findings.add([1.0] * repeats, "speed-up", "times", subject="x", action="training, 1 query")
        findings.notes.append("noted")

    monkeypatch.setattr(suite, "PARTS", {"broken": broken, "plain loop": fine})
    log = []
    record, written = suite.run_suite(tmp_path, size="quick", repeats=3, command=["python", "-m", "x"], log=log.append)
    assert [(part.name, part.failures) for part in record.parts] == [
        ("broken", ["RuntimeError: no quick"]),
        ("plain loop", []),
    ]
    assert record.parts[1].notes == ["noted"] and [number.n for number in record.measured] == [1, 3]
    assert "broken: failed: RuntimeError: no quick" in log
    assert written[0].parent == tmp_path / "speed" and load(written[0]) == record
    assert {path.suffix for path in written} == {".json", ".md", ".png"}
    assert record.provenance.device == "cpu" and record.provenance.command == "python -m x"


def test_without_a_gpu_there_is_a_note(monkeypatch):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    findings = Findings(gpu.PART, log=print)
    gpu.on_gpu(findings, size="full", repeats=1)
    assert not findings.measured and findings.notes == ["There is no CUDA device on this machine."]


def test_ways_that_fail_on_a_gpu_do_not_affect_the_others(monkeypatch):
    """The eager ways run on the CPU; the compiler is replaced by one that fails in one mode."""
    real = SceneModel.elbo_terms
    monkeypatch.setattr(SceneModel, "compile_training", lambda model, mode: setattr(model, "mode", mode))

    def elbo_terms(model, *arguments, **options):
        if getattr(model, "mode", None) == "default":
            raise RuntimeError("no compiler\nand more")
        return real(model, *arguments, **options)

    monkeypatch.setattr(SceneModel, "elbo_terms", elbo_terms)
    findings = Findings(gpu.PART, log=print)
    gpu.on_gpu(findings, size="quick", repeats=1, device="cpu")
    assert [failure.split(": ", 1)[1] for failure in findings.failures] == ["RuntimeError: no compiler"] * 2
    best = {row.quantity for row in findings.measured if row.action == gpu.FASTEST and row.subject == "shared"}
    assert best == {"time", "speed", gpu.SPEED_UP, gpu.FRACTION}
    (plain, _) = [
        row for row in findings.measured if row.action.endswith(gpu.PLAIN.name) and row.quantity == gpu.SPEED_UP
    ]
    assert plain.median == 1.0
