"""How fast a model trains and predicts, how much arithmetic that is, and how much memory it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.config.recipe import TrainingRecipe
from zoo.config.schedules import schedule_values_at
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.source import ExtraShape
from zoo.episode import SceneBatch
from zoo.evaluation.process_memory import forget_peak, give_back, peak
from zoo.model.scene_model import SceneModel

WARMUP = 3  # repetitions that are not counted
REPEATS = 10


class Spread(NamedTuple):
    """Repeated measurements of one thing."""

    median: float
    p10: float
    p90: float
    n: int
    warmup: int

    def per_second(self, units: int) -> Spread:
        """Returns the speed that these seconds stand for, if one repetition gets so many units done.

        The slowest tenth of the seconds is the lowest tenth of the speeds; the medians say the same thing.
        """
        return self._replace(median=units / self.median, p10=units / self.p90, p90=units / self.p10)


class Throughput(NamedTuple):
    """Training in scenes per second, prediction in images per second (one sample for each query)."""

    train: Spread
    predict: Spread
    train_step_seconds: Spread
    predict_step_seconds: Spread
    flops_per_training_scene: int
    flops_per_prediction: int
    peak_memory_bytes: int
    batch_size: int
    num_context: int


ANY_LENGTH = 64  # what stands for a size of 0 in the shape of an extra: any will do


def random_batch(
    *,
    batch_size: int,
    num_views: int,
    image_size: int,
    extras: Mapping[str, ExtraShape] = MappingProxyType({}),
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> SceneBatch:
    """Makes scenes of noise, for measurements in which the images do not matter.

    Args:
        batch_size: B.
        num_views: V.
        image_size: height and width, pixels.
        extras: what the task asks for beside images and cameras.
        device: where the batch goes.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(
        0, 256, (batch_size, num_views, image_size, image_size, 3), dtype=torch.uint8, generator=generator
    )
    cameras = torch.randn(batch_size, num_views, CAMERA_WIDTH, generator=generator)
    more: dict[str, torch.Tensor] = {}
    for name, extra in extras.items():
        views = (num_views,) if extra.per_view else ()
        shape = (batch_size, *views, *(size or ANY_LENGTH for size in extra.shape))
        more[name] = (
            torch.randn(shape, generator=generator)
            if extra.dtype == "float32"
            else torch.randint(0, 256, shape, dtype=getattr(torch, extra.dtype), generator=generator)
        )
    return SceneBatch(
        frames=frames.to(device),
        cameras=cameras.to(device),
        scene=torch.arange(batch_size, device=device),
        key=torch.arange(batch_size, device=device),
        extras={name: extra.to(device) for name, extra in more.items()},
    )


def noise_for(
    model: SceneModel, *, recipe: TrainingRecipe, image_size: int, device: torch.device | str = "cpu"
) -> SceneBatch:
    """Makes one batch of noise as a recipe asks for it: its batch size, its largest context and its targets.

    Args:
        model: for what its task reads beside images and cameras.
        recipe: B, N and Q.
        image_size: height and width, pixels.
        device: where the batch goes.
    """
    return random_batch(
        batch_size=recipe.batch_size,
        num_views=recipe.contexts.maximum + recipe.targets,
        image_size=image_size,
        extras=model.task.extras,
        device=device,
    )


def training_action(model: nn.Module, *, recipe: TrainingRecipe, batch: SceneBatch) -> Callable[[], None]:
    """Returns one training step: forward in the recipe's precision, backward, fused Adam; weights stay what they are.

    The model is set to training. On a GPU a step is handed out, not awaited.

    Args:
        model: a ``SceneModel``, or what accelerate wrapped around one.
        recipe: for its precision and its largest context; the schedule values are those at its last step.
        batch: B scenes of at least one view more than the context has.
    """
    device = batch.frames.device
    schedule = schedule_values_at(recipe, recipe.steps, device=device)
    # A learning rate of zero costs what any other costs, and what was measured is still the trained model.
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0, fused=True)
    model.train()

    def step() -> None:
        with _precision_of(recipe, device):
            terms = model(batch, schedule, recipe.contexts.maximum)
        (terms.nelbo() / terms.num_targets).mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def prediction_action(model: SceneModel, *, recipe: TrainingRecipe, batch: SceneBatch) -> Callable[[], None]:
    """Returns one prediction, a single sample from the prior for every query, in the recipe's precision.

    The model is set to evaluation. On a GPU a prediction is handed out, not awaited.

    Args:
        model: that predicts.
        recipe: for its precision and its largest context; the schedule values are those at its last step.
        batch: B scenes of at least one view more than the context has.
    """
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
    """Carries an action out once and returns its multiplications and additions in convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops()


def measure(
    model: SceneModel,
    *,
    recipe: TrainingRecipe,
    image_size: int,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    warmup: int = WARMUP,
    repeats: int = REPEATS,
) -> Throughput:
    """Times training steps (forward, backward, Adam) and predictions of one sample, at the recipe's largest context.

    Every repetition is timed by itself after the device has finished; loading of data is not part of it. The model's
    weights and mode are left as they are.
    """
    device = torch.device(device)
    size = batch_size or recipe.batch_size
    recipe = recipe.model_copy(update={"batch_size": size})
    batch = noise_for(model, recipe=recipe, image_size=image_size, device=device)
    was_training = model.training
    train_step = training_action(model, recipe=recipe, batch=batch)
    training_flops = flops_of(train_step)
    _forget_peak(device)
    training = _timed(train_step, device=device, warmup=warmup, repeats=repeats)
    peak_memory = _peak_memory(device)
    predict = prediction_action(model, recipe=recipe, batch=batch)
    prediction_flops = flops_of(predict)
    predicting = _timed(predict, device=device, warmup=warmup, repeats=repeats)
    model.train(was_training)
    train_seconds, predict_seconds = _spread(training, warmup), _spread(predicting, warmup)
    return Throughput(
        train=train_seconds.per_second(size),
        predict=predict_seconds.per_second(size * recipe.targets),
        train_step_seconds=train_seconds,
        predict_step_seconds=predict_seconds,
        flops_per_training_scene=training_flops // size,
        flops_per_prediction=prediction_flops // (size * recipe.targets),
        peak_memory_bytes=peak_memory,
        batch_size=size,
        num_context=recipe.contexts.maximum,
    )


def _timed(action: Callable[[], None], *, device: torch.device, warmup: int, repeats: int) -> np.ndarray:
    times = []
    for index in range(warmup + repeats):
        synchronise(device)
        started = time.perf_counter()
        action()
        synchronise(device)
        if index >= warmup:
            times.append(time.perf_counter() - started)
    return np.array(times)


def synchronise(device: torch.device) -> None:
    """Waits until a GPU has done what it was asked; other devices have already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _spread(values: np.ndarray, warmup: int) -> Spread:
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return Spread(median=float(middle), p10=float(low), p90=float(high), n=len(values), warmup=warmup)


def _forget_peak(device: torch.device) -> None:
    """Sets the marks of memory back: a process starts with that of the one that started it, and has done other things."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        give_back()
        forget_peak()


def _peak_memory(device: torch.device) -> int:
    """Returns the peak of a GPU's allocations, or of the whole process's resident memory on a CPU, bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak()
