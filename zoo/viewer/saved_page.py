"""The file of a page: models, scene, context, camera, samples and keyframes as JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from zoo.config.settings import LARGEST_SEED, Settings, load_yaml, parse
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.source import Split
from zoo.files import write_json
from zoo.viewer.session_state import SessionState

MOST_MODELS, MOST_SAMPLES, MOST_VIEWS, MOST_KEYFRAMES = 8, 64, 64, 256

Pose = Annotated[list[int | float], Field(min_length=CAMERA_WIDTH, max_length=CAMERA_WIDTH)]


class SavedView(Settings):
    """A context view: one of the scene's own, or the true view at a camera."""

    view: int | None = Field(default=None, ge=0, description="of the scene's own views, from 0")
    camera: Pose | None = Field(default=None, description="x, y, z (scene units), yaw, pitch (degrees)")

    @model_validator(mode="after")
    def _one_of_both(self) -> SavedView:
        if (self.view is None) == (self.camera is None):
            raise ValueError("either view or camera")
        return self


class SavedPage(Settings):
    """What a page shows."""

    version: Literal[1] = Field(description="of this schema")
    models: list[str] = Field(min_length=1, max_length=MOST_MODELS, description="runs, checkpoints or shipped names")
    scene: str = Field(description="DATA:INDEX")
    split: Split = Field(description="of the scene")
    context: list[SavedView] = Field(max_length=MOST_VIEWS, description="the views that the models are given")
    camera: Pose = Field(description="x, y, z (scene units), yaw, pitch (degrees)")
    samples: int = Field(ge=1, le=MOST_SAMPLES, description="of the latents")
    seed: int = Field(ge=0, le=LARGEST_SEED, description="of their noise")
    keyframes: list[Pose] = Field(max_length=MOST_KEYFRAMES, description="cameras of a path")


def read_page(path: Path) -> SavedPage:
    """Reads the file of a page; raises ConfigError, naming file and field, if something is missing or not valid."""
    return parse(SavedPage, load_yaml(path), file=str(path))


def write_page(path: Path, state: SessionState) -> None:
    """Writes the file of a page, whole or not at all; raises DiskFullError if it cannot be written."""
    page = SavedPage(
        version=1,
        models=[model.name for model in state.models],
        scene=state.place,
        split=state.split,
        context=[
            SavedView(camera=pose_of(each.camera)) if each.view is None else SavedView(view=each.view)
            for each in state.context
        ],
        camera=pose_of(state.camera),
        samples=state.samples,
        seed=state.seed,
        keyframes=[pose_of(camera) for camera in state.keyframes],
    )
    write_json(path, page.model_dump(mode="json", exclude_none=True))


def pose_of(camera: np.ndarray) -> list[float]:
    """Returns x, y, z, yaw and pitch in degrees, rounded to a millionth, of a camera [5] in radians."""
    x, y, z, yaw, pitch = (float(number) for number in camera)
    limited = max(-90.0, min(90.0, math.degrees(pitch)))
    return [round(number, 6) for number in (x, y, z, math.degrees(yaw), limited)]
