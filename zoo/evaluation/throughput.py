"""How fast a model trains and predicts, how much arithmetic that is, and how much memory it takes."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.source import ExtraShape
from zoo.episode import SceneBatch
from zoo.model import SceneModel
from zoo.recipe import TrainingRecipe
from zoo.schedules import knobs_at


class Spread(NamedTuple):
    """Repeated measurements of one thing."""

    median: float
    p10: float
    p90: float
    n: int
    warmup: int


class Throughput(NamedTuple):
    """Training in scenes per second, prediction in pictures per second (one sample for each query)."""

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
    """Makes scenes of noise, for measurements in which the pictures do not matter.

    Args:
        batch_size: B.
        num_views: V.
        image_size: height and width, pixels.
        extras: what the task asks for beside pictures and cameras.
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


def measure(
    model: SceneModel,
    *,
    recipe: TrainingRecipe,
    image_size: int,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    warmup: int = 3,
    repeats: int = 10,
) -> Throughput:
    """Times training steps (forward, backward, Adam) and predictions of one sample, at the recipe's largest context.

    Every repetition is timed by itself after the device has finished; loading of data is not part of it. The model's
    weights and mode are left as they are.
    """
    device = torch.device(device)
    size = batch_size or recipe.batch_size
    num_context = recipe.contexts.maximum
    batch = random_batch(
        batch_size=size,
        num_views=num_context + recipe.targets,
        image_size=image_size,
        extras=model.task.extras,
        device=device,
    )
    knobs = knobs_at(recipe, recipe.steps, device=device)
    # A learning rate of zero costs what any other costs, and what was measured is still the trained model.
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0, fused=True)
    was_training = model.training
    model.train()
    precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.mixed_precision)

    def forward() -> torch.Tensor:
        with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
            terms = model(batch, knobs, num_context)
        return (terms.nelbo() / terms.num_targets).mean()

    def train_step() -> None:
        forward().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def predict() -> None:
        with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
            model.predict(batch, knobs, num_context)

    with FlopCounterMode(display=False) as training_flops:
        forward().backward()
    model.zero_grad(set_to_none=True)
    with FlopCounterMode(display=False) as prediction_flops:
        predict()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    training = _timed(train_step, device=device, warmup=warmup, repeats=repeats)
    peak = _peak_memory(device)
    model.eval()
    predicting = _timed(predict, device=device, warmup=warmup, repeats=repeats)
    model.train(was_training)
    return Throughput(
        train=_spread(size / training, warmup),
        predict=_spread(size * recipe.targets / predicting, warmup),
        train_step_seconds=_spread(training, warmup),
        predict_step_seconds=_spread(predicting, warmup),
        flops_per_training_scene=training_flops.get_total_flops() // size,
        flops_per_prediction=prediction_flops.get_total_flops() // (size * recipe.targets),
        peak_memory_bytes=peak,
        batch_size=size,
        num_context=num_context,
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


def _peak_memory(device: torch.device) -> int:
    """Returns the peak of a GPU's allocations, or of the whole process's resident memory on a CPU, bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
