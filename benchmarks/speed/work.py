"""The work that is timed: one model with one batch, as training and prediction use it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.record import Size
from benchmarks.speed.textbook_gqn import textbook_model
from zoo.config.schedules import evaluation_schedule_values
from zoo.episode import ElboTerms, Episode, SceneBatch, ScheduleValues, Views
from zoo.evaluation.throughput import random_batch
from zoo.model.scene_model import SceneModel
from zoo.registry.registry import default_registry
from zoo.registry.variant import Variant, build

Side = Literal["fast", "plain"]
SIDES: tuple[Side, ...] = ("fast", "plain")

# The network that the field trains, with one set of weights for all steps and with one set a step.
NETWORKS = {"shared": "gqn-tower-shared", "unshared": "gqn-tower"}
_REGISTERED_AS = {"full": "full", "quick": "smoke"}


class Pair(NamedTuple):
    """One network in both ways of computing it, with the same weights."""

    fast: SceneModel
    plain: SceneModel


class Task(NamedTuple):
    """A model with scenes of noise.

    Attributes:
        model: in either way.
        batch: B scenes of N + Q views.
        schedule: those of evaluation.
        num_context: N.
    """

    model: SceneModel
    batch: SceneBatch
    schedule: ScheduleValues
    num_context: int

    def terms(self) -> ElboTerms:
        """Scores the targets, [B]."""
        return self.model(self.batch, self.schedule, self.num_context)

    def loss(self) -> Tensor:
        """Returns the training loss, a 0-d tensor, nats per target."""
        terms = self.terms()
        return terms.loss()

    def predict(self) -> Tensor:
        """Draws one prediction a query, [1, B, Q, C, H, W]."""
        return self.model.predict(self.batch, self.schedule, self.num_context).expected


class Counts(NamedTuple):
    """What does not vary from turn to turn."""

    flops: int  # multiplications and additions that are made by convolutions and matrix products
    saved_bytes: int  # kept from the forward for the backward pass, weights left out


class TrainingStep:
    """Forward, backward and Adam in one; the weights stay what they are.

    A learning rate of zero costs what any other costs. Both ways of computing get the same fused Adam, so that a
    quotient of two steps speaks of the network alone.

    Args:
        task: what is learned.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.optimizer = torch.optim.Adam(task.model.parameters(), lr=0.0, fused=True)

    def __call__(self) -> None:
        """Makes one step."""
        self._finish(self.task.loss())

    def _finish(self, loss: Tensor) -> None:
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def count(self) -> Counts:
        """Makes one step and counts."""
        with FlopCounterMode(display=False) as counter:
            loss, saved = _saved(self.task)
            self._finish(loss)
        return Counts(flops=counter.get_total_flops(), saved_bytes=saved)

    def saved_bytes_of_a_further_scene(self) -> int:
        """Counts what one scene more keeps: the part of what is saved that grows with the batch."""
        more = self.task._replace(batch=self.task.batch.apply(lambda field: torch.cat([field, field[:1]])))
        return _saved(more)[1] - _saved(self.task)[1]

    def direct_flops(self) -> int:
        """Counts what a step is, if every convolution is done product by product.

        Convolutions in float32 may be transformed (Winograd 1980), which takes fewer products for the same result; in
        float64 none is.
        """
        model, episode = _double(self.task)
        with FlopCounterMode(display=False) as counter:
            terms = model.score(episode, self.task.schedule)
            terms.loss().backward()
        return counter.get_total_flops()


def _saved(task: Task) -> tuple[Tensor, int]:
    """Returns the loss and the bytes kept for its backward pass: storages, each once, that are not the weights'."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in task.model.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        # Kept alive until all are counted, so that no other tensor can take its place in memory.
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = task.loss()
    return loss, sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)


def _double(task: Task) -> tuple[SceneModel, Episode]:
    model = copy.deepcopy(task.model).double()
    return model, in_double(model.episode(task.batch, num_context=task.num_context))


def in_double(episode: Episode) -> Episode:
    """Returns an episode with everything that is a real number in float64."""

    def double(field: Tensor) -> Tensor:
        return field.double() if field.is_floating_point() else field

    context, evidence = (Views(*map(double, views)) for views in (episode.context, episode.target_views))
    return episode._replace(
        context=context, query=double(episode.query), target=double(episode.target), target_views=evidence
    )


class PredictionStep:
    """One prediction a query.

    Args:
        task: what is predicted.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self) -> None:
        """Makes one prediction."""
        self.task.predict()

    def count(self) -> Counts:
        """Makes one prediction and counts; nothing is kept."""
        with FlopCounterMode(display=False) as counter:
            self.task.predict()
        return Counts(flops=counter.get_total_flops(), saved_bytes=0)

    def direct_flops(self) -> int:
        """Counts what a prediction is, if every convolution is done product by product; see above."""
        model, episode = _double(self.task)
        with FlopCounterMode(display=False) as counter:
            model.predict_parameters(episode, self.task.schedule, num_samples=1)
        return counter.get_total_flops()


def network(name: str, *, size: Size, overrides: Sequence[str] = ()) -> Variant:
    """Returns the variant of one of ``NETWORKS`` at the size of the registry that the suite's size stands for."""
    return default_registry().variant(NETWORKS[name], size=_REGISTERED_AS[size], overrides=overrides)


def make_pair(variant: Variant, *, device: torch.device | str = "cpu") -> Pair:
    """Builds a network in both ways, the fast one laid out in memory as is best for the device."""
    fast = build(variant)
    plain = textbook_model(fast).to(device)  # copied before anything is laid out, as public code has its weights
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
    """Gives a model scenes of noise.

    Args:
        model: built from the variant.
        variant: for the sizes.
        scenes: B.
        queries: Q.
        num_context: N; the largest of training if left out.
        device: where the scenes go.
    """
    views = variant.training.contexts.maximum if num_context is None else num_context
    batch = random_batch(
        batch_size=scenes,
        num_views=views + queries,
        image_size=variant.image_size,
        extras=model.task.extras,
        device=device,
    )
    return Task(
        model=model,
        batch=batch,
        schedule=evaluation_schedule_values(variant.training, device=device),
        num_context=views,
    )
