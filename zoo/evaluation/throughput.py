"""Throughput of training and prediction, floating-point operations and peak memory of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.config.recipe import TrainingRecipe
from zoo.config.schedules import schedule_values_at
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.plan import to_device
from zoo.data.source import ExtraShape
from zoo.episode import SceneBatch
from zoo.evaluation.process_memory import peak, reset_peak
from zoo.evaluation.timing import time_interleaved
from zoo.model.scene_model import SceneModel
from zoo.results.row import Action, ModelFacts, Timing, timings_of

WARMUP = 3  # repetitions that are not counted
REPEATS = 10
ANY_LENGTH = 64  # replaces a size of 0 (any length) in the shape of an extra


def random_batch(
    *,
    batch_size: int,
    num_views: int,
    image_size: int,
    extras: Mapping[str, ExtraShape] = MappingProxyType({}),
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> SceneBatch:
    """Makes B scenes of V views: random square images, cameras, and a task's ``extras`` by name."""
    generator, scenes = torch.Generator().manual_seed(seed), torch.arange(batch_size)

    def noise(*shape: int, dtype: str) -> Tensor:
        if dtype == "float32":
            return torch.randn(shape, generator=generator)
        return torch.randint(0, 256, shape, dtype=getattr(torch, dtype), generator=generator)

    frames = noise(batch_size, num_views, image_size, image_size, 3, dtype="uint8")
    cameras = noise(batch_size, num_views, CAMERA_WIDTH, dtype="float32")
    more: dict[str, Tensor] = {}
    for name, extra in extras.items():
        views = (num_views,) if extra.per_view else ()
        more[name] = noise(batch_size, *views, *(size or ANY_LENGTH for size in extra.shape), dtype=extra.dtype)
    return to_device(SceneBatch(frames=frames, cameras=cameras, scene=scenes, key=scenes, extras=more), device)


def noise_for(
    model: SceneModel, *, recipe: TrainingRecipe, image_size: int, device: torch.device | str = "cpu"
) -> SceneBatch:
    """Makes a :func:`random_batch` with a recipe's batch size, largest context and targets."""
    return random_batch(
        batch_size=recipe.batch_size,
        num_views=recipe.contexts.maximum + recipe.most_targets,
        image_size=image_size,
        extras=model.task.extras,
        device=device,
    )


def adam_step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Returns one training step for timing: the loss, its backward pass and fused Adam, at a learning rate of zero."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0, fused=True)

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def training_action(model: nn.Module, *, recipe: TrainingRecipe, batch: SceneBatch) -> Callable[[], None]:
    """Returns one training step, see :func:`adam_step`; sets the model to training mode.

    The recipe decides precision, the largest context, and the schedule values, which are those of the last step. The model
    may be accelerate's wrapper of a ``SceneModel``.
    """
    device = batch.frames.device
    schedule = schedule_values_at(recipe, recipe.steps, device=device)
    model.train()

    def loss() -> Tensor:
        with _precision_of(recipe, device):
            return model(batch, schedule, recipe.contexts.maximum).loss()

    return adam_step(model, loss)


def prediction_action(model: SceneModel, *, recipe: TrainingRecipe, batch: SceneBatch) -> Callable[[], None]:
    """Returns the prediction of one prior sample per query, with a recipe as above; sets the model to evaluation mode."""
    device = batch.frames.device
    schedule = schedule_values_at(recipe, recipe.steps, device=device)
    model.eval()

    def predict() -> None:
        with _precision_of(recipe, device):
            model.predict(batch, schedule, recipe.contexts.maximum)

    return predict


def _precision_of(recipe: TrainingRecipe, device: torch.device) -> torch.autocast:
    precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.mixed_precision)
    return torch.autocast(device.type, dtype=precision, enabled=precision is not None)


def flops_of(action: Callable[[], object]) -> int:
    """Runs an action once and returns its multiplications and additions in convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops()


def measure(
    model: SceneModel,
    *,
    recipe: TrainingRecipe,
    image_size: int,
    device: torch.device | str = "cpu",
    warmup: int = WARMUP,
    repeats: int = REPEATS,
) -> tuple[ModelFacts, dict[str, Timing]]:
    """Times training steps and predictions of one sample, at the recipe's largest context, without loading of data.

    Returns the size and the cost of the model, and its timings by their names in rows: training in scenes/s, prediction
    in images/s (one sample per query). The model's weights and mode are unchanged.
    """
    size, device = recipe.batch_size, torch.device(device)
    batch = noise_for(model, recipe=recipe, image_size=image_size, device=device)
    was_training = model.training
    train_step = training_action(model, recipe=recipe, batch=batch)
    training_flops = flops_of(train_step)
    reset_peak(device)
    repeated: dict[str, Any] = {"device": device, "warmup": warmup, "repeats": repeats}
    timings = _timed("train", train_step, units=size, **repeated)
    peak_memory = peak(device)
    predict = prediction_action(model, recipe=recipe, batch=batch)
    prediction_flops = flops_of(predict)
    images = size * recipe.most_targets
    timings |= _timed("predict", predict, units=images, **repeated)
    model.train(was_training)
    facts = ModelFacts(
        parameters=model.num_parameters,
        flops_per_training_scene=training_flops // size,
        flops_per_prediction=prediction_flops // images,
        peak_memory_bytes=peak_memory,
    )
    return facts, timings


def _timed(
    name: Action, action: Callable[[], None], *, units: int, device: torch.device, warmup: int, repeats: int
) -> dict[str, Timing]:
    seconds = time_interleaved({name: action}, repeats=repeats, warmup=warmup, device=device)[name]
    quantiles = np.quantile(seconds, [0.1, 0.5, 0.9]).tolist()
    return timings_of(name, quantiles, units=units, n=len(seconds), warmup=warmup)
