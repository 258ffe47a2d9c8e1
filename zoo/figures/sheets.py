"""Sheets of images: predictions beside the truth, and the views of scenes. Pixels are enlarged, never smoothed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo.errors import ResultError
from zoo.files import writing_file

_TILE = 96  # pixels that a tile is at least wide, whatever the size of the images
_GAP = 4
_GROUP_GAP = 20
_MARGIN = 14
_FONT_SIZE = 15
_TITLE_SIZE = 18
_INK = (30, 30, 30)
_PAPER = (255, 255, 255)


def prediction_sheet(
    path: Path,
    *,
    context: np.ndarray,
    truth: np.ndarray,
    mean: np.ndarray,
    samples: np.ndarray,
    title: str | None = None,
    row_labels: Sequence[str] | None = None,
) -> Path:
    """Draws one row a query: its context views, the true image, the predicted mean, and samples.

    Args:
        path: the image, by its suffix in any format that Pillow writes.
        context: [R, N, H, W, 3] uint8; N may be 0.
        truth: [R, H, W, 3] uint8.
        mean: [R, H, W, 3] uint8.
        samples: [R, S, H, W, 3] uint8; S may be 0.
        title: one line above the sheet.
        row_labels: R texts at the left.

    Raises:
        ResultError: if the shapes do not fit together, or the format is not known.
    """
    rows, size = truth.shape[:1], truth.shape[1:]
    for name, images in {"context": context, "samples": samples}.items():
        _require(name, images, (*rows, images.shape[1] if images.ndim > 1 else 0, *size))
    for name, images in {"truth": truth, "mean": mean}.items():
        _require(name, images, (*rows, *size))
    groups = [("context", context), ("truth", truth[:, None]), ("mean", mean[:, None]), ("samples", samples)]
    return _draw(path, [group for group in groups if group[1].shape[1]], title=title, row_labels=row_labels)


def contact_sheet(
    path: Path,
    *,
    frames: np.ndarray,
    title: str | None = None,
    scene_labels: Sequence[str] | None = None,
    max_views: int = 10,
) -> Path:
    """Draws one row a scene: its first ``max_views`` views.

    Args:
        path: the image, by its suffix in any format that Pillow writes.
        frames: [n, V, H, W, 3] uint8.
        title: one line above the sheet.
        scene_labels: n texts at the left.
        max_views: how many views of a scene are shown.

    Raises:
        ResultError: if ``frames`` is not of that shape, or the format is not known.
    """
    _require("frames", frames, (*frames.shape[:4], 3))
    if frames.ndim != 5 or frames.shape[1] == 0 or max_views < 1:
        raise ResultError(f"frames: expected [n, V, H, W, 3] with V above 0, found {frames.shape}")
    shown = frames[:, :max_views]
    caption = "views" if shown.shape[1] == frames.shape[1] else f"the first {max_views} of {frames.shape[1]} views"
    return _draw(path, [(caption, shown)], title=title, row_labels=scene_labels)


def _require(name: str, images: np.ndarray, shape: tuple[int, ...]) -> None:
    if images.dtype != np.uint8:
        raise ResultError(f"{name}: expected uint8, found {images.dtype}")
    if images.shape != shape or images.ndim not in (4, 5) or shape[-1] != 3 or 0 in (shape[0], *shape[-3:-1]):
        raise ResultError(f"{name}: expected images of shape {list(shape)}, found {list(images.shape)}")


def _draw(
    path: Path, groups: Sequence[tuple[str, np.ndarray]], *, title: str | None, row_labels: Sequence[str] | None
) -> Path:
    """Draws groups of columns; every group is a caption and [R, columns, H, W, 3]."""
    rows, _, height, width, _ = groups[0][1].shape
    if row_labels is not None and len(row_labels) != rows:
        raise ResultError(f"expected {rows} labels of rows, found {len(row_labels)}")
    font, title_font = ImageFont.load_default(_FONT_SIZE), ImageFont.load_default(_TITLE_SIZE)
    scale = max(1, -(-_TILE // width))
    tile_width, tile_height = width * scale, height * scale
    labels = [_one_line(label) for label in row_labels or []]
    left = _MARGIN + (max(int(font.getlength(label)) for label in labels) + 10 if labels else 0)
    top = _MARGIN + (_TITLE_SIZE + 14 if title is not None else 0)
    # A narrow group is widened to its caption, so that captions never run into each other.
    widths = [
        max(images.shape[1] * (tile_width + _GAP) - _GAP, int(font.getlength(caption)) + 1)
        for caption, images in groups
    ]
    total_width = left + sum(widths) + _GROUP_GAP * (len(groups) - 1) + _MARGIN
    if title is not None:
        total_width = max(total_width, int(title_font.getlength(_one_line(title))) + 2 * _MARGIN)
    first_row = top + _FONT_SIZE + 10
    sheet = Image.new("RGB", (total_width, first_row + rows * (tile_height + _GAP) - _GAP + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    if title is not None:
        pen.text((_MARGIN, _MARGIN), _one_line(title), fill=_INK, font=title_font)
    for row, label in enumerate(labels):
        middle = first_row + row * (tile_height + _GAP) + tile_height // 2
        pen.text((left - 10, middle), label, fill=_INK, font=font, anchor="rm")
    x = left
    for (caption, images), group_width in zip(groups, widths, strict=True):
        pen.text((x + group_width // 2, first_row - 8), caption, fill=_INK, font=font, anchor="ms")
        start = x + (group_width - images.shape[1] * (tile_width + _GAP) + _GAP) // 2
        for row in range(rows):
            for column in range(images.shape[1]):
                tile = Image.fromarray(np.ascontiguousarray(images[row, column]))
                place = (start + column * (tile_width + _GAP), first_row + row * (tile_height + _GAP))
                sheet.paste(tile.resize((tile_width, tile_height), Image.Resampling.NEAREST), place)
        x += group_width + _GROUP_GAP
    check_format(path)
    with writing_file(path) as temporary:
        sheet.save(temporary)
    return Path(path)


def check_format(path: str | os.PathLike[str]) -> None:
    """Refuses a name of a image whose suffix says nothing to Pillow, before there is a image to write.

    Raises:
        ResultError: naming the suffix.
    """
    suffix = Path(path).suffix
    if suffix.lower() not in Image.registered_extensions():
        raise ResultError(f"{path}: {suffix!r} is not a format of images that can be written")


def _one_line(text: str) -> str:
    return " ".join(text.split())
