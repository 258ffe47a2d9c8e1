"""Counts of a step equal counts by hand, and a step leaves the model unchanged."""

import copy
from typing import NamedTuple

import pytest
import torch
from torch import nn

from benchmarks.speed.convolutions import candidates, fastest
from benchmarks.speed.work import (
    NETWORKS,
    Task,
    direct_flops,
    make_pair,
    make_task,
    network,
    saved_bytes,
    saved_bytes_of_a_further_scene,
)
from zoo.episode import ElboTerms
from zoo.evaluation.throughput import flops_of


class Linear(nn.Module):
    """Two linear layers, of which the second is used twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 4, bias=False), nn.Linear(4, 4, bias=False)

    def forward(self, batch, schedule, num_context):
        made = self.second(self.second(self.first(batch.rows)))
        ones = torch.ones(len(batch.rows))
        return ElboTerms(
            log_likelihood=made.sum(1),
            kl=0 * ones,
            log_ratio=ones,
            num_targets=ones,
            target_dims=ones,
            floor=ones,
            training_loss=-made.sum(1),
        )


class Rows(NamedTuple):
    """A batch of rows."""

    rows: torch.Tensor

    def apply(self, change):
        return Rows(change(self.rows))


def make_linear_task(model):
    return Task(model=model, batch=Rows(torch.randn(5, 6)), schedule=None, num_context=0)


def test_arithmetic_and_saved_activations_are_those_of_the_layers():
    model = Linear()
    task = make_linear_task(model)
    forward = 2 * 5 * (6 * 4 + 4 * 4 + 4 * 4)
    # Every matrix has a gradient of as much arithmetic as its product; the input's own gradient is not wanted.
    assert flops_of(task.action("training")) == forward + 2 * forward - 2 * 5 * 6 * 4
    # The inputs of the three products, and the ones by which the loss is divided; no weight.
    inputs = 4 * (5 * 6 + 5 * 4 + 5 * 4)
    assert inputs <= saved_bytes(task) <= inputs + 3 * 4 * 5


@pytest.mark.parametrize("name", NETWORKS)
def test_both_ways_get_the_same_scenes_and_steps_leave_the_weights(name):
    variant = network(name, size="quick")
    assert variant.core.settings["shared"] is (name == "shared")
    pair = make_pair(variant)
    tasks = [make_task(model, variant, scenes=2, queries=3) for model in pair]
    assert torch.equal(tasks[0].batch.frames, tasks[1].batch.frames)
    assert tasks[0].batch.frames.shape[:2] == (2, variant.training.contexts.maximum + 3)
    for task in tasks:
        before = copy.deepcopy(task.model.state_dict())
        step = task.action("training")
        assert flops_of(step) > 0 and saved_bytes(task) > 0
        step()
        for name_of, value in task.model.state_dict().items():
            assert torch.equal(value, before[name_of])
        assert all(parameter.grad is None for parameter in task.model.parameters())
    torch.testing.assert_close(tasks[0].loss(), tasks[1].loss(), rtol=1e-5, atol=0.0)


def test_a_prediction_computes_less_than_training():
    variant = network("shared", size="quick")
    task = make_task(make_pair(variant).plain, variant, scenes=1)
    assert 0 < flops_of(task.action("prediction")) < flops_of(task.action("training"))
    assert task.predict().shape == (1, 1, 1, 3, variant.image_size, variant.image_size)


def test_what_a_further_scene_keeps_is_what_grows_with_the_batch():
    task = make_linear_task(Linear())
    # One more row of the inputs of the three products, and a number or two of the loss.
    row = 4 * (6 + 4 + 4)
    assert row <= saved_bytes_of_a_further_scene(task) <= row + 3 * 4


@pytest.mark.parametrize("phase", ["training", "prediction"])
def test_arithmetic_is_that_of_direct_convolutions(phase):
    variant = network("shared", size="quick", overrides=["core.hidden_channels=16", "core.kernel_size=5"])
    for side in make_pair(variant):
        action = make_task(side, variant, scenes=2).action(phase)
        # Winograd's algorithm is not used for so few positions.
        assert direct_flops(action) == flops_of(action)


def test_transformed_convolutions_make_fewer_products():
    changes = ["image_size=64", "core.kernel_size=5", "core.hidden_channels=24", "core.read_channels=16"]
    variant = network("shared", size="quick", overrides=changes)
    action = make_task(make_pair(variant).fast, variant, scenes=2).action("training")
    assert flops_of(action) < 0.9 * direct_flops(action)


def test_the_textbook_computes_every_query_separately():
    variant = network("shared", size="quick")
    model = make_pair(variant).plain
    tasks = [make_task(model, variant, scenes=1, queries=queries) for queries in (1, 4)]
    one, four = (flops_of(task.action("training")) for task in tasks)
    assert four == 4 * one


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_arithmetic_of_a_convolution_is_what_torch_counts(dtype):
    for convolution in candidates(size="quick", device="cpu", dtype=dtype):
        assert flops_of(convolution.action("cpu")) == convolution.flops, convolution
    assert fastest(size="quick", dtype=dtype, repeats=1) in candidates(size="quick", device="cpu", dtype=dtype)
