"""Predicted views of one scene: a sheet with a row for each view, a strip, and animations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import matplotlib as mpl
import numpy as np
from PIL import Image

from zoo.errors import ConfigError, ResultError
from zoo.figures.sheets import ImageGroup, image_sheet, paint_sheet
from zoo.files import writing_file

Panel = Literal["context", "truth", "mean", "samples", "uncertainty"]
PANELS: tuple[Panel, ...] = get_args(Panel)
ANIMATIONS = (".gif", ".mp4")
STRIP_COLUMNS = 12  # of a strip; more frames would be too small to see


class Views(NamedTuple):
    """What is drawn of Q views of a scene; images are uint8."""

    context: np.ndarray  # [N, H, W, 3]; N may be 0
    truth: np.ndarray | None  # [Q, H, W, 3]; None if the scene cannot be rendered
    mean: np.ndarray  # [Q, H, W, 3]
    samples: np.ndarray  # [S, Q, H, W, 3]
    spread: np.ndarray  # [Q, H, W] float: standard deviation over the samples, in units of the 0-to-1 range


def view_sheet(path: Path, views: Views, *, panels: Sequence[Panel], labels: Sequence[str], title: str) -> Path:
    """Draws one row for each view, with one of Q ``labels`` at its left: the ``panels`` side by side.

    Raises:
        ResultError: if the format of ``path`` is not known.
    """
    groups = _groups(views, panels=panels, rows=range(len(views.mean)))
    return image_sheet(path, groups=groups, title=title, row_labels=labels)


def strip(path: Path, views: Views, *, panels: Sequence[Panel], title: str) -> Path:
    """Draws one row for each panel but the context: up to ``STRIP_COLUMNS`` of the views, evenly spaced.

    Raises:
        ResultError: if the format of ``path`` is not known.
    """
    chosen = np.unique(np.linspace(0, len(views.mean) - 1, min(len(views.mean), STRIP_COLUMNS)).round().astype(int))
    groups = _groups(views, panels=[panel for panel in panels if panel != "context"], rows=chosen)
    rows = [(group.caption, column) for group in groups for column in np.moveaxis(_columns(group.images), 1, 0)]
    return image_sheet(
        path,
        groups=[ImageGroup("along the path", np.stack([images for _, images in rows]))],
        title=title,
        row_labels=[caption for caption, _ in rows],
    )


def animation(path: Path, views: Views, *, panels: Sequence[Panel], frames_per_second: float, title: str) -> Path:
    """Writes one frame for each view, the ``panels`` side by side, as a GIF that repeats or an MP4.

    Raises:
        ConfigError: for MP4 without the extra ``video``.
        ResultError: for another format.
    """
    if path.suffix.lower() not in ANIMATIONS:
        raise ResultError(f"{path}: {path.suffix!r} is not a format of animations, expected {' or '.join(ANIMATIONS)}")
    sheets = [
        paint_sheet(_groups(views, panels=panels, rows=[row]), title=title, origin=str(path))
        for row in range(len(views.mean))
    ]
    with writing_file(path) as temporary:
        if path.suffix.lower() == ".mp4":
            _write_video(temporary, sheets, frames_per_second=frames_per_second)
        else:
            sheets[0].save(
                temporary, save_all=True, append_images=sheets[1:], duration=round(1000 / frames_per_second), loop=0
            )
    return path


def check_panels(names: Sequence[str], *, has_truth: bool, option: str) -> list[Panel]:
    """Returns the panels of some names; raises ConfigError, naming ``option``, for one that is unknown or has no images."""
    for name in names:
        if name not in PANELS:
            raise ConfigError(f"{option}: found {name!r}, expected some of {', '.join(PANELS)}")
    if "truth" in names and not has_truth:
        raise ConfigError(f"{option}: truth: only scenes of built-in data sets can be rendered from other cameras")
    return [panel for panel in PANELS if panel in names]


def _groups(views: Views, *, panels: Sequence[Panel], rows: Sequence[int] | range | np.ndarray) -> list[ImageGroup]:
    chosen = np.asarray(rows)
    groups = []
    for panel in panels:
        if panel == "context" and len(views.context):
            repeated = np.broadcast_to(views.context, (len(chosen), *views.context.shape))
            groups.append(ImageGroup(f"{len(views.context)} context views", repeated))
        elif panel == "truth" and views.truth is not None:
            groups.append(ImageGroup("truth", views.truth[chosen]))
        elif panel == "mean":
            groups.append(ImageGroup("mean", views.mean[chosen]))
        elif panel == "samples":
            groups.append(ImageGroup("samples", views.samples[:, chosen].swapaxes(0, 1)))
        elif panel == "uncertainty":
            most = max(float(views.spread.max()), 1e-6)
            groups.append(ImageGroup(f"uncertainty 0 to {most:.2g}", coloured(views.spread[chosen] / most)))
    return groups


def frames_of(images: np.ndarray) -> np.ndarray:
    """Converts images [...] float in [0, 1] to uint8."""
    return (images * 255.0).round().astype(np.uint8)


def coloured(values: np.ndarray) -> np.ndarray:
    """Colours values [..., H, W] of 0 (black) to 1 (light yellow): [..., H, W, 3] uint8."""
    return mpl.colormaps["inferno"](np.clip(values, 0.0, 1.0), bytes=True)[..., :3]


def _columns(images: np.ndarray) -> np.ndarray:
    return images[:, None] if images.ndim == 4 else images


def _write_video(path: Path, sheets: Sequence[Image.Image], *, frames_per_second: float) -> None:
    try:
        from imageio_ffmpeg import write_frames
    except ImportError:
        raise ConfigError(
            f"{path.suffix}: needs the extra video: pip install 'gqn-zoo[video]'; or write a .gif"
        ) from None
    width, height = (length - length % 2 for length in sheets[0].size)  # H.264 halves the resolution of colours
    writer = write_frames(str(path), (width, height), fps=frames_per_second, codec="libx264", macro_block_size=2)
    writer.send(None)
    try:
        for sheet in sheets:
            writer.send(sheet.crop((0, 0, width, height)).tobytes())
    finally:
        writer.close()
