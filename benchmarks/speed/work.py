"""The work that is timed: training steps and predictions of one network, computed by the fast core and by the textbook's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from benchmarks.speed.record import Size
from benchmarks.speed.textbook_gqn import textbook_model
from zoo.config.schedules import evaluation_schedule_values
from zoo.episode import ElboTerms, SceneBatch, ScheduleValues
from zoo.evaluation.throughput import adam_step, flops_of, random_batch
from zoo.evaluation.timing import Action
from zoo.model.scene_model import SceneModel
from zoo.registry.registry import default_registry
from zoo.registry.variant import Variant, build

Side = Literal["fast", "plain"]
SIDES: tuple[Side, ...] = ("fast", "plain")
Phase = Literal["training", "prediction"]

NETWORKS = {"shared": "gqn-tower-shared", "unshared": "gqn-tower"}  # one set of weights, or one set per step
_REGISTRY_SIZES = {"full": "full", "quick": "smoke"}


class Pair(NamedTuple):
    """One network with the same weights in both cores."""

    fast: SceneModel
    plain: SceneModel


class Task(NamedTuple):
    """A model with a batch of random scenes: B scenes of N context views and Q queries."""

    model: SceneModel
    batch: SceneBatch
    schedule: ScheduleValues
    num_context: int

    def terms(self) -> ElboTerms:
        """Returns the ELBO's terms, [B]."""
        return self.model(self.batch, self.schedule, self.num_context)

    def loss(self) -> Tensor:
        """Returns the training loss, a 0-d tensor."""
        return self.terms().loss()

    def predict(self) -> Tensor:
        """Returns one prediction per query, [1, B, Q, C, H, W]."""
        return self.model.predict(self.batch, self.schedule, self.num_context).expected

    def action(self, phase: Phase) -> Action:
        """Returns a training step that leaves the weights unchanged, or a prediction."""
        return adam_step(self.model, self.loss) if phase == "training" else self.predict


def network(name: str, *, size: Size, overrides: Sequence[str] = ()) -> Variant:
    """Returns the variant of one of ``NETWORKS`` at a size of the suite."""
    return default_registry().variant(NETWORKS[name], size=_REGISTRY_SIZES[size], overrides=overrides)


def make_pair(variant: Variant, *, device: torch.device | str = "cpu") -> Pair:
    """Builds a network with both cores; only the fast one gets the device's fastest memory format."""
    fast = build(variant)
    plain = textbook_model(fast).to(device)
    return Pair(fast=fast.to_device(device), plain=plain)


def make_task(
    model: SceneModel,
    variant: Variant,
    *,
    scenes: int,
    queries: int = 1,
    num_context: int | None = None,
    device: torch.device | str = "cpu",
) -> Task:
    """Makes a task of B ``scenes`` with Q ``queries`` and N context views, by default the variant's largest number."""
    num_context = variant.training.contexts.maximum if num_context is None else num_context
    batch = random_batch(
        batch_size=scenes,
        num_views=num_context + queries,
        image_size=variant.image_size,
        extras=model.task.extras,
        device=device,
    )
    schedule = evaluation_schedule_values(variant.training, device=device)
    return Task(model=model, batch=batch, schedule=schedule, num_context=num_context)


def direct_flops(action: Action) -> int:
    """Counts the operations of an action with direct convolutions: under autocast, none uses Winograd's algorithm."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return flops_of(action)


def saved_bytes(task: Task) -> int:
    """Counts the memory kept from the forward for the backward pass, without the weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in task.model.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        # Kept alive until all are counted, so that no other tensor takes its place in memory.
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = task.loss()
    del loss
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)


def saved_bytes_of_a_further_scene(task: Task) -> int:
    """Counts the memory that one more scene keeps for the backward pass."""
    more = task._replace(batch=task.batch.apply(lambda field: torch.cat([field, field[:1]])))
    return saved_bytes(more) - saved_bytes(task)
