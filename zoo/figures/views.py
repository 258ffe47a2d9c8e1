"""Predicted views of one scene: a sheet with a row for each view, a strip, and animations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import matplotlib as mpl
import numpy as np
from PIL import Image

from zoo.errors import ConfigError, ResultError
from zoo.evaluation.views import ViewPrediction
from zoo.figures.sheets import ImageGroup, image_sheet, paint_sheet
from zoo.files import writing_file

Panel = Literal["context", "truth", "mean", "samples", "uncertainty"]
PANELS: tuple[Panel, ...] = get_args(Panel)
ANIMATIONS = (".gif", ".mp4")
STRIP_COLUMNS = 12  # of a strip; more frames would be too small to see
MOVING_SAMPLES = 2  # of an animation or a strip
FASTEST_GIF = 50.0  # frames per second: the times of a GIF are hundredths of a second, of which browsers refuse one


def view_sheet(
    path: Path,
    prediction: ViewPrediction,
    *,
    truth: np.ndarray | None,
    panels: Sequence[Panel],
    labels: Sequence[str],
    title: str,
) -> Path:
    """Draws one row for each of Q predicted views, with one of Q ``labels`` at its left: the ``panels`` side by side.

    ``truth`` is [Q, H, W, 3] uint8, None if it is not known; a panel without images is left out.

    Raises:
        ResultError: if the format of ``path`` is not known.
    """
    groups = _groups(prediction, truth, panels=panels, rows=range(len(prediction.mean)))
    return image_sheet(path, groups=groups, title=title, row_labels=labels)


def strip(
    path: Path, prediction: ViewPrediction, *, truth: np.ndarray | None, panels: Sequence[Panel], title: str
) -> Path:
    """Draws one row for each panel but the context: up to ``STRIP_COLUMNS`` of the views, evenly spaced; see :func:`view_sheet`.

    Raises:
        ResultError: if the format of ``path`` is not known, or no panel has images.
    """
    count = len(prediction.mean)
    chosen = np.unique(np.linspace(0, count - 1, min(count, STRIP_COLUMNS)).round().astype(int))
    shown = [panel for panel in panels if panel != "context"]
    groups = _groups(prediction, truth, panels=shown, rows=chosen, samples=MOVING_SAMPLES)
    if not groups:
        raise ResultError(f"{path}: there are no images to draw; a strip has every panel but the context")
    rows = [(group.caption, column) for group in groups for column in np.moveaxis(_columns(group.images), 1, 0)]
    return image_sheet(
        path,
        groups=[ImageGroup("along the path", np.stack([images for _, images in rows]))],
        title=title,
        row_labels=[caption for caption, _ in rows],
    )


def animation(
    path: Path,
    prediction: ViewPrediction,
    *,
    truth: np.ndarray | None,
    panels: Sequence[Panel],
    frames_per_second: float,
    title: str,
) -> Path:
    """Writes one frame for each view, as a row of :func:`view_sheet`, into a GIF that repeats or an MP4, one at a time.

    Raises:
        ConfigError, ResultError: see :func:`check_animation`; if no panel has images.
    """
    check_animation(path, frames_per_second=frames_per_second)
    sheets = (
        paint_sheet(
            _groups(prediction, truth, panels=panels, rows=[row], samples=MOVING_SAMPLES), title=title, origin=str(path)
        )
        for row in range(len(prediction.mean))
    )
    first = next(sheets)
    with writing_file(path) as temporary:
        if path.suffix.lower() == ".mp4":
            _write_video(temporary, first, sheets, frames_per_second=frames_per_second)
        else:
            first.save(temporary, save_all=True, append_images=sheets, duration=round(1000 / frames_per_second), loop=0)
    return path


def check_animation(path: Path, *, frames_per_second: float) -> None:
    """Checks that an animation can be written.

    Raises:
        ConfigError: for MP4 without the extra ``video``, or a GIF of more than 50 frames per second, which browsers slow
            down to ten.
        ResultError: for another format.
    """
    suffix = path.suffix.lower()
    if suffix not in ANIMATIONS:
        raise ResultError(f"{path}: {path.suffix!r} is not a format of animations, expected {' or '.join(ANIMATIONS)}")
    if suffix == ".gif" and frames_per_second > FASTEST_GIF:
        raise ConfigError(
            f"{path}: found {frames_per_second:g} frames per second, expected at most {FASTEST_GIF:g} of a GIF; write an .mp4"
        )
    if suffix == ".mp4":
        try:
            import imageio_ffmpeg  # noqa: F401
        except ImportError:
            raise ConfigError(
                f"{path.suffix}: needs the extra video: pip install 'gqn-zoo[video]'; or write a .gif"
            ) from None


def check_panels(names: Sequence[str], *, has_truth: bool, option: str) -> list[Panel]:
    """Returns the panels of some names; raises ConfigError, naming ``option``, for one that is unknown or has no images."""
    for name in names:
        if name not in PANELS:
            raise ConfigError(f"{option}: found {name!r}, expected some of {', '.join(PANELS)}")
    if "truth" in names and not has_truth:
        raise ConfigError(f"{option}: truth: only scenes of built-in data sets can be rendered from other cameras")
    return [panel for panel in PANELS if panel in names]


def _groups(
    prediction: ViewPrediction,
    truth: np.ndarray | None,
    *,
    panels: Sequence[Panel],
    rows: Sequence[int] | range | np.ndarray,
    samples: int | None = None,
) -> list[ImageGroup]:
    chosen, context = np.asarray(rows), prediction.context
    groups = []
    for panel in panels:
        if panel == "context" and len(context):
            repeated = np.broadcast_to(context, (len(chosen), *context.shape))
            groups.append(ImageGroup(f"{len(context)} context views", repeated))
        elif panel == "truth" and truth is not None:
            groups.append(ImageGroup("truth", truth[chosen]))
        elif panel == "mean":
            groups.append(ImageGroup("mean", frames_of(prediction.mean[chosen])))
        elif panel == "samples":
            groups.append(ImageGroup("samples", frames_of(prediction.samples[:samples, chosen].swapaxes(0, 1))))
        elif panel == "uncertainty":
            most = max(float(prediction.spread.max()), 1e-6)
            groups.append(ImageGroup(f"uncertainty 0 to {most:.2g}", coloured(prediction.spread[chosen] / most)))
    return groups


def frames_of(images: np.ndarray) -> np.ndarray:
    """Converts images [...] float in [0, 1] to uint8."""
    return (images * 255.0).round().astype(np.uint8)


def coloured(values: np.ndarray) -> np.ndarray:
    """Colours values [..., H, W] of 0 (black) to 1 (light yellow): [..., H, W, 3] uint8."""
    return mpl.colormaps["inferno"](np.clip(values, 0.0, 1.0), bytes=True)[..., :3]


def _columns(images: np.ndarray) -> np.ndarray:
    return images[:, None] if images.ndim == 4 else images


def _write_video(path: Path, first: Image.Image, others: Iterable[Image.Image], *, frames_per_second: float) -> None:
    from imageio_ffmpeg import write_frames

    width, height = (length - length % 2 for length in first.size)  # H.264 halves the resolution of colours
    writer = write_frames(str(path), (width, height), fps=frames_per_second, codec="libx264", macro_block_size=2)
    writer.send(None)
    try:
        for sheet in itertools.chain([first], others):
            writer.send(sheet.crop((0, 0, width, height)).tobytes())
    finally:
        writer.close()
