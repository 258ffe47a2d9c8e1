"""Frames of a session's state: the truth and every model's prediction at one camera, paths, predicted spread."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.bench.prediction_sheets import title_of
from zoo.data.camera_path import interpolated, orbit
from zoo.errors import ConfigError, DataError
from zoo.evaluation.views import ViewPrediction, psnr_of
from zoo.figures.views import PANELS, animation, frames_of
from zoo.viewer.library import NamedModel
from zoo.viewer.session_state import SessionState

RING_CAMERAS = 16


class ModelFrame(NamedTuple):
    """What one model predicts at the camera."""

    name: str
    mean: np.ndarray  # [H, W, 3] uint8, over the samples
    samples: np.ndarray  # [S, H, W, 3] uint8
    spread: np.ndarray  # [H, W] float: standard deviation over the samples, in units of the 0-to-1 range
    psnr: float | None  # dB, of the mean against the truth; None without truth


class Frame(NamedTuple):
    """The truth and the predictions at the camera."""

    truth: np.ndarray | None  # [H, W, 3] uint8; None if the scene cannot be rendered (there)
    truth_missing: str  # why there is no truth; empty if there is one
    models: list[ModelFrame]
    samples: int
    seconds: float  # of computing it

    @property
    def caption(self) -> str:
        """Time, samples and PSNR as text."""
        numbers = [f"{each.name} {each.psnr:.1f} dB" for each in self.models if each.psnr is not None]
        quality = f"; PSNR {', '.join(numbers)}" if numbers else ""
        missing = f"; no truth: {self.truth_missing}" if self.truth_missing else ""
        return f"{1000 * self.seconds:.0f} ms, {self.samples} sample(s){quality}{missing}"


class PredictedSpread(NamedTuple):
    """Mean standard deviation of the predictions of one model at cameras around the scene."""

    cameras: np.ndarray  # [R, 5]
    values: np.ndarray  # [R], in units of the 0-to-1 range


def render_frame(state: SessionState, *, samples: int | None = None) -> Frame:
    """Renders the state's camera, with ``samples`` samples, by default as many as the state says.

    Raises:
        ZooError: if a model lacks something that it reads (captions of a context camera of the visitor's own).
    """
    start = time.perf_counter()
    count = state.samples if samples is None else samples
    truth, missing = _truth_at(state)
    models = []
    for model in state.view_models:
        found = _predict(state, model, state.camera[None], count)
        psnr = None if truth is None else psnr_of(found.mean[0], truth)
        mean, drawn = frames_of(found.mean[0]), frames_of(found.samples[:, 0])
        models.append(ModelFrame(model.name, mean, drawn, found.spread[0], psnr))
    return Frame(truth, missing, models, count, time.perf_counter() - start)


def predicted_spread(state: SessionState) -> PredictedSpread:
    """Computes the spread of the first model's predictions at cameras on the orbit of the scene's cameras.

    The spread is that of the images; it is not the information that a view there would give.

    Raises:
        ConfigError: if no model predicts images.
        DataError: if the scene's cameras do not look at a common point.
    """
    cameras = orbit(state.scene.cameras, num_cameras=RING_CAMERAS)
    prediction = _predict(state, _first_view_model(state), cameras, max(2, state.samples))
    return PredictedSpread(cameras, prediction.spread.mean((1, 2)))


def path_of(state: SessionState, *, num_cameras: int) -> np.ndarray:
    """Returns ``num_cameras`` along the polygon through the keyframes, [n, 5]; raises ConfigError for fewer than two."""
    if len(state.keyframes) < 2:
        raise ConfigError(f"keyframes: found {len(state.keyframes)}, expected at least 2")
    return interpolated(np.stack(state.keyframes), num_cameras=num_cameras)


def write_animation(path: Path, state: SessionState, *, num_frames: int, frames_per_second: float) -> Path:
    """Writes the path through the keyframes, as the first model that predicts images sees it, as a GIF or MP4.

    Raises:
        ConfigError: for fewer than two keyframes, or without such a model.
        DataError: if a camera of the path is where the scene cannot be rendered from.
    """
    model = _first_view_model(state)
    cameras = path_of(state, num_cameras=num_frames)
    return animation(
        path,
        _predict(state, model, cameras, state.samples),
        truth=state.scene.render(cameras),
        panels=PANELS,
        frames_per_second=frames_per_second,
        title=title_of(model.trained, f"{state.scene.name}, {state.split}"),
    )


def _first_view_model(state: SessionState) -> NamedModel:
    if not state.view_models:
        raise ConfigError("no model that predicts images is shown; add one, for example gqn-epipolar-improved")
    return state.view_models[0]


def _predict(state: SessionState, model: NamedModel, cameras: np.ndarray, samples: int) -> ViewPrediction:
    scene, context = state.given(state.context)
    with model.computing:
        return model.trained.predict(scene, cameras, context=context, samples=samples, seed=state.seed)


def _truth_at(state: SessionState) -> tuple[np.ndarray | None, str]:
    try:
        truth = state.scene.render(state.camera[None])
    except DataError as error:
        return None, str(error)
    return (None, "the scene can only be seen from its own cameras") if truth is None else (truth[0], "")
