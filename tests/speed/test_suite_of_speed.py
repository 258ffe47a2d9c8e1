"""The parts of the suite run one after the other into one record; one that fails spoils no other."""

import pytest
from speed_records import number

from benchmarks.speed import every_variant, feeding, gpu, suite
from benchmarks.speed.record import Findings, load
from zoo.errors import ConfigError
from zoo.model.scene_model import SceneModel


def test_parts_are_chosen_by_name_in_the_order_of_the_suite():
    everything = list(suite.PARTS)
    assert suite.chosen_parts([]) == everything and everything[0] == "plain loop"
    assert suite.chosen_parts(["gpu", "plain loop"]) == ["plain loop", "gpu"]
    with pytest.raises(ConfigError, match="the speed suite has no part 'scalign'; did you mean 'scaling'"):
        suite.chosen_parts(["scalign"])


def test_a_part_that_fails_leaves_the_others_and_is_told(monkeypatch, tmp_path):
    def broken(*, size, repeats, tell):
        raise RuntimeError(f"no {size}")

    def fine(*, size, repeats, tell):
        return Findings(measured=[number("x", "training, 1 query", "speed-up", [1.0] * repeats)], notes=["noted"])

    monkeypatch.setattr(suite, "PARTS", {"broken": broken, "plain loop": fine})
    told = []
    record, written = suite.run_suite(tmp_path, size="quick", repeats=3, command=["gqn-zoo", "bench"], tell=told.append)
    assert [(part.name, part.failures) for part in record.parts] == [
        ("broken", ["RuntimeError: no quick"]),
        ("plain loop", []),
    ]
    assert record.parts[1].notes == ["noted"] and record.measured[0].n == 3
    assert "broken: failed: RuntimeError: no quick" in told
    assert written[0].parent == tmp_path / "speed" and load(written[0]) == record
    assert {path.suffix for path in written} == {".json", ".md", ".png"}
    assert record.provenance.device == "cpu" and record.provenance.command == "gqn-zoo bench"


def test_variants_are_measured_one_after_the_other_and_a_defect_of_one_is_told(monkeypatch):
    registry = every_variant.default_registry()
    names = ["vae", "cvae", "np-1d"]
    monkeypatch.setattr(registry, "names", lambda: names)
    real = every_variant.build

    def build(variant):
        if variant.name == "cvae":
            raise RuntimeError("it broke")
        return real(variant)

    monkeypatch.setattr(every_variant, "build", build)
    found = every_variant.every_variant(size="full", repeats=1, tell=lambda sentence: None)
    assert found.failures == ["cvae: RuntimeError: it broke"]
    assert {(row.subject, row.quantity) for row in found.measured} == {
        (name, quantity) for name in ("vae", "np-1d") for quantity in ("training", "prediction")
    }


def test_loading_is_told_by_way_and_against_records(monkeypatch):
    from benchmarks.speed.loading import RECORD_LOOP, STORE, LoadingSpeed

    speeds = [LoadingSpeed(STORE, 8.0, 7.0, 9.0, 2, (6.0, 10.0)), LoadingSpeed(RECORD_LOOP, 2, 2, 2, 2, (2.0, 2.0))]
    monkeypatch.setattr(feeding, "measure_loading", lambda **options: speeds)
    found = {
        (row.subject, row.quantity): row.median for row in feeding.feeding(size="full", repeats=2, tell=print).measured
    }
    assert found == {
        (STORE, feeding.SPEED): 8.0,
        (STORE, feeding.AGAINST_RECORDS): 4.0,
        (RECORD_LOOP, feeding.SPEED): 2.0,
        (RECORD_LOOP, feeding.AGAINST_RECORDS): 1.0,
    }


def test_without_a_gpu_that_is_what_is_said(monkeypatch):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    found = gpu.on_gpu(size="full", repeats=1, tell=print)
    assert not found.measured and found.notes == ("There is no CUDA device on this machine.",)


def test_ways_that_fail_on_a_gpu_leave_the_others(monkeypatch):
    """The eager ways are tried out on the CPU; the compiler is replaced by one that fails in one mode."""

    real = SceneModel.score
    monkeypatch.setattr(SceneModel, "compile_training", lambda model, mode: setattr(model, "mode", mode))

    def score(model, *arguments, **options):
        if getattr(model, "mode", None) == "default":
            raise RuntimeError("no compiler\nand more")
        return real(model, *arguments, **options)

    monkeypatch.setattr(SceneModel, "score", score)
    found = gpu.on_gpu(size="quick", repeats=1, tell=lambda sentence: None, device="cpu")
    assert [failure.split(": ", 1)[1] for failure in found.failures] == ["RuntimeError: no compiler"] * 2
    of_best = {row.quantity for row in found.measured if row.action == gpu.FASTEST and row.subject == "shared"}
    assert of_best == {"time", "speed", gpu.SPEED_UP, gpu.FRACTION}
    plain = next(row for row in found.measured if row.action.endswith(gpu.PLAIN.name) and row.quantity == gpu.SPEED_UP)
    assert plain.median == 1.0
