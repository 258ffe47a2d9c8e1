"""Both cores are measured in turns, and a difference between them is found."""

import pytest
import torch

from benchmarks.speed.against_plain import CASES, PART, Case, Sides, compare, disagreement
from benchmarks.speed.convolutions import candidates
from benchmarks.speed.record import Findings
from benchmarks.speed.work import make_pair, make_task, network


def sides(case=CASES[1]):
    variant = network("shared", size="quick")
    return Sides(*(make_task(model, variant, scenes=case.scenes, queries=case.queries) for model in make_pair(variant)))


@pytest.mark.parametrize("case", [CASES[0], CASES[3]], ids=lambda case: case.action)
def test_every_number_follows_from_times_counts_and_the_convolution(case):
    findings = Findings(PART, log=print)
    convolution = candidates(size="quick", device="cpu")[0]
    compare(findings, sides(case), subject="shared", case=case, convolution=convolution, repeats=1)
    value = {number.quantity: number.median for number in findings.measured}
    assert value["speed-up"] == pytest.approx(value["time, plain"] / value["time, fast"])
    for side in ("fast", "plain"):
        for work, fraction in (
            ("arithmetic", "fraction of the convolution"),
            ("products made", "fraction of the convolution by products made"),
        ):
            rate = value[f"{work}, {side}"] / value[f"time, {side}"]
            assert value[f"{fraction}, {side}"] == pytest.approx(rate / value["rate of the convolution"])
    assert value["difference"] < 1e-5
    assert value["arithmetic, fast"] < value["arithmetic, plain"]
    assert ("saved activations" in value) is (case.phase == "training")
    assert {number.action for number in findings.measured} == {case.action}


@pytest.mark.parametrize("training", [True, False])
def test_another_weight_is_another_result(training):
    tasks = sides()
    assert disagreement(tasks, training=training) < 1e-5
    with torch.no_grad():
        next(tasks.fast.model.core.parameters()).mul_(1.05)
    assert disagreement(tasks, training=training) > 1e-5


def test_names_of_cases():
    assert Case("training", 2, 1).action == "training, 1 query"
    assert Case("prediction", 1, 8).action == "prediction, 8 queries"
