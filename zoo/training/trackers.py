"""Experiment trackers of accelerate: names, start, and images in the layout that each of them expects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from accelerate.utils import LoggerType

from zoo.errors import ConfigError, did_you_mean

TENSORBOARD = "tensorboard"
PROJECT = "gqn-zoo"
_SINGLE_IMAGE = ("aim", "clearml")  # take one image per name; the others a sequence of images


def check_trackers(names: Iterable[str]) -> None:
    """Raises ConfigError for a name that accelerate does not know, or whose package is not installed."""
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise ConfigError(f"--log-with: there is no tracker {name!r}{did_you_mean(name, LOGGER_TYPE_TO_CLASS)}")
        # Trackers that were registered with accelerate by a package of the user are not in LoggerType.
        if name in LoggerType.list() and LoggerType(name) not in get_available_trackers():
            raise ConfigError(f"--log-with: tracker {name!r} is not installed; install it with: pip install {name}")


def start_trackers(accelerator: Accelerator, *, run: Path) -> None:
    """Starts the trackers of an accelerator; those that can be given a name or a folder get those of the run.

    Raises:
        ConfigError: if one cannot be started, for example because it asks for a login.
    """
    settings: dict[str, dict[str, Any]] = {
        "wandb": {"name": run.name, "dir": str(run)},
        "mlflow": {"run_name": run.name},
        "dvclive": {"dir": str(run / "dvclive"), "save_dvc_exp": False},
    }
    try:
        accelerator.init_trackers(PROJECT, init_kwargs=settings)
    except Exception as error:  # of any kind: it is raised by a package of a third party
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        names = ", ".join(each.name if isinstance(each, GeneralTracker) else str(each) for each in accelerator.log_with)
        raise ConfigError(f"--log-with: a tracker cannot be started ({names}): {reason}") from error


def log_image(trackers: Sequence[GeneralTracker], name: str, image: np.ndarray, *, step: int) -> None:
    """Logs an image [H, W, 3] uint8 with those trackers that have images; the others are left out."""
    for tracker in trackers:
        if not hasattr(tracker, "log_images"):
            continue
        if tracker.name == TENSORBOARD:
            tracker.log_images({name: image[None]}, step=step, dataformats="NHWC")
        else:
            tracker.log_images({name: image if tracker.name in _SINGLE_IMAGE else [image]}, step=step)
