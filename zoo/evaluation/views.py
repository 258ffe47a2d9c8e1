"""Predictions of single views of a scene, from given views of it, with latents from the prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange

from zoo.data.scene import Scene
from zoo.data.source import check_numbers
from zoo.episode import SceneBatch, ScheduleValues
from zoo.errors import ConfigError, DataError
from zoo.evaluation.loop import batch_of, evaluation_mode
from zoo.model.scene_model import SceneModel
from zoo.nn.noise import sample_keys, scene_sample_keys


class ViewPrediction(NamedTuple):
    """Q predicted views of a scene, S samples of each; float32, images in [0, 1]."""

    cameras: np.ndarray  # [Q, 5]: x, y, z, yaw, pitch (scene units, radians)
    samples: np.ndarray  # [S, Q, H, W, 3]: the expected image of each sample of the latents
    mean: np.ndarray  # [Q, H, W, 3], over the samples
    spread: np.ndarray  # [Q, H, W]: standard deviation over the samples, root mean square over the colours
    context: np.ndarray  # [N, H, W, 3] uint8: the images that the model was given; N = 0 if it reads none


def psnr_of(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Returns the peak signal-to-noise ratio (dB) of an image [H, W, 3] in [0, 1] against a true frame, uint8."""
    squared = float(((truth / 255.0 - predicted) ** 2).mean())
    return -10.0 * math.log10(max(squared, 1e-10))


def require_views(model: SceneModel) -> None:
    """Raises ConfigError, in one sentence, if a model does not predict images at cameras from one scene's views."""
    task = model.task
    if task.target_kind == "poses":
        raise ConfigError("this model predicts cameras of images, not images; use gqn-zoo localise")
    if task.target_kind != "images" or task.query_kind == "inputs":
        raise ConfigError(f"this model predicts {task.target_kind} at {task.query_kind}, expected images at cameras")
    if extra := next((name for name, shape in task.extras.items() if not shape.per_view), None):
        raise ConfigError(f"this model predicts the scene's {extra} beside each view, which only evaluation asks for")


def check_size(model: SceneModel, scene: Scene, *, name: str = "the model") -> None:
    """Raises ConfigError, with the ``name`` of the model, if it was not trained on images of the scene's size."""
    size = model.task.view_shape.height or model.task.target_shape[-1]
    if scene.image_size != size:
        raise ConfigError(
            f"{scene.name}: its images have {scene.image_size} pixels, but {name} reads and predicts {size} x {size}"
        )


def predict_views(
    model: SceneModel,
    scene: Scene,
    cameras: np.ndarray,
    *,
    schedule: ScheduleValues,
    context: Sequence[int],
    num_samples: int = 4,
    seed: int = 0,
) -> ViewPrediction:
    """Predicts images of a scene at cameras [Q, 5] (radians), given the views ``context`` of it, S = ``num_samples`` times.

    All queries of a sample share their noise: with latents of the scene they are one draw of z, and with latents of each
    query the same noise goes into the latents of every query, so that a moving camera does not flicker. A model without
    queries (a VAE) gives the same samples at every camera.

    Raises:
        ConfigError: if the model does not predict views (see :func:`require_views`), or the images have another size.
        DataError: if a view does not exist, the scene lacks what the model reads, or a camera is out of range.
    """
    require_views(model)
    if num_samples < 1:
        raise ConfigError(f"samples: found {num_samples}, expected at least 1")
    check_numbers(np.asarray(cameras), kind="cameras", origin="cameras of the views to predict")
    given = np.asarray(cameras, np.float32)
    batch = _batch(model, scene, given, context=context, seed=seed, device=schedule.sigma.device)
    with evaluation_mode(model):
        episode = model.episode(batch, num_context=len(context))
        keys = scene_sample_keys(episode.key, num_samples=num_samples)
        if model.core.latents == "query":
            keys = sample_keys(keys, num_samples=num_samples, num_queries=1).expand(-1, -1, len(cameras))
        parameters = model.predict_parameters(episode._replace(key=keys), schedule, num_samples=num_samples)
        images = rearrange(model.expected_image(parameters)[:, 0], "s q c h w -> s q h w c").float()
    variance = images.var(0, correction=0).mean(-1)
    return ViewPrediction(
        cameras=given,
        samples=images.cpu().numpy(),
        mean=images.mean(0).cpu().numpy(),
        spread=variance.sqrt().cpu().numpy(),
        context=scene.frames[list(context) if model.task.context_kind == "images" else []],
    )


def _batch(
    model: SceneModel, scene: Scene, cameras: np.ndarray, *, context: Sequence[int], seed: int, device: torch.device
) -> SceneBatch:
    """Returns the context views of a scene and black images, which are not read, at the cameras [Q, 5]."""
    for view in context:
        scene.check_view(view)
    check_size(model, scene)
    chosen = list(context)
    blank = np.zeros((len(cameras), *scene.frames.shape[1:]), np.uint8)
    extras = {}
    for name in model.task.extras:
        if name not in scene.extras:
            raise DataError(f"{scene.name}: has no {name}, which the model reads")
        given = scene.extras[name][chosen]
        extras[name] = np.concatenate([given, np.zeros((len(cameras), *given.shape[1:]), given.dtype)])[None]
    frames = np.concatenate([scene.frames[chosen], blank])[None]
    poses = np.concatenate([scene.cameras[chosen], cameras])[None]
    return batch_of(frames, poses, device=device, seed=seed, extras=extras)
