"""Sheets of images: predictions beside the truth, and the views of scenes. Pixels are enlarged and never smoothed."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo.errors import ResultError
from zoo.files import writing_file

# All lengths are pixels.
_MIN_TILE = 96  # images are enlarged to at least this width
_GAP, _GROUP_GAP, _MARGIN = 4, 20, 14
_FONT_SIZE, _TITLE_SIZE, _LINE_HEIGHT = 14, 17, 17
_LABEL_LETTERS, _CAPTION_LETTERS = 52, 13
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


class ImageGroup(NamedTuple):
    """Columns of a sheet under one caption."""

    caption: str
    images: np.ndarray  # [R, columns, H, W, 3] uint8, or [R, H, W, 3] for a single column


def prediction_groups(
    *, context: np.ndarray, truth: np.ndarray, mean: np.ndarray, samples: np.ndarray
) -> list[ImageGroup]:
    """Returns the columns of a sheet with one row per query: context views, the true image, the predicted mean, and samples.

    Args:
        context: [R, N, H, W, 3] uint8; N may be 0. The caption states N.
        truth: [R, H, W, 3] uint8.
        mean: [R, H, W, 3] uint8.
        samples: [R, S, H, W, 3] uint8; S may be 0, and then has no column.
    """
    count = context.shape[1]
    groups = [
        ImageGroup(f"{count} context view{'s' if count > 1 else ''}", context),
        ImageGroup("truth" if count else "truth (0 context views)", truth),
        ImageGroup("mean", mean),
        ImageGroup("samples", samples),
    ]
    return [group for group in groups if group.images.shape[1]]


def contact_sheet(
    path: Path,
    *,
    frames: np.ndarray,
    title: str | None = None,
    scene_labels: Sequence[str] | None = None,
    max_views: int = 10,
) -> Path:
    """Draws one row per scene, with its label at the left: the first ``max_views`` of its views.

    Args:
        path: the image, in the format of its suffix.
        frames: [n, V, H, W, 3] uint8.
        title: above the sheet.
        scene_labels: n texts.
        max_views: the most views per scene.

    Raises:
        ResultError: if ``frames`` is not of that shape, or the format is not known.
    """
    if frames.ndim != 5:
        raise ResultError(f"frames: expected [n, V, H, W, 3], found {list(frames.shape)}")
    first = frames[:, :max_views]
    caption = "views" if first.shape[1] == frames.shape[1] else f"the first {max_views} of {frames.shape[1]} views"
    return image_sheet(path, groups=[ImageGroup(caption, first)], title=title, row_labels=scene_labels)


def image_sheet(
    path: Path,
    *,
    groups: Sequence[ImageGroup],
    title: str | None = None,
    row_labels: Sequence[str] | None = None,
) -> Path:
    """Draws groups of columns side by side, all with R rows of images of one size.

    Args:
        path: the image, in the format of its suffix.
        groups: their captions are wrapped above a single column.
        title: above the sheet.
        row_labels: R texts at the left, which are wrapped.

    Raises:
        ResultError: if there are no images, they do not fit together, or the format is not known.
    """
    check_format(path)
    sheet = paint_sheet(groups, title=title, row_labels=row_labels, origin=str(path))
    with writing_file(path) as temporary:
        sheet.save(temporary)
    return Path(path)


def paint_sheet(
    groups: Sequence[ImageGroup], *, origin: str, title: str | None = None, row_labels: Sequence[str] | None = None
) -> Image.Image:
    """Returns the image that :func:`image_sheet` writes; raises ResultError, naming ``origin``, if images do not fit."""
    blocks = _checked(origin, groups)
    rows, _, height, width, _ = blocks[0].images.shape
    if row_labels is not None and len(row_labels) != rows:
        raise ResultError(f"expected {rows} labels of rows, found {len(row_labels)}")
    font, title_font = _font(_FONT_SIZE), _font(_TITLE_SIZE)
    scale = max(1, -(-_MIN_TILE // width))
    step_x, step_y = width * scale + _GAP, height * scale + _GAP
    labels = [textwrap.fill(" ".join(label.split()), _LABEL_LETTERS) for label in row_labels or []]
    left = _MARGIN + (max(_width(label, font) for label in labels) + 10 if labels else 0)
    # A narrow group is widened to its caption, so that captions do not overlap.
    widths = [max(block.images.shape[1] * step_x - _GAP, _width(block.caption, font)) for block in blocks]
    title = None if title is None else " ".join(title.split())
    gap = _GAP if all(block.images.shape[1] == 1 for block in blocks) else _GROUP_GAP
    total_width = left + sum(widths) + gap * (len(blocks) - 1) + _MARGIN
    first_row = _MARGIN + _LINE_HEIGHT * (1 + max(block.caption.count("\n") for block in blocks))
    if title is not None:
        total_width = max(total_width, _width(title, title_font) + 2 * _MARGIN)
        first_row += _TITLE_SIZE + 14
    sheet = Image.new("RGB", (total_width, first_row + rows * step_y - _GAP + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    if title is not None:
        pen.text((_MARGIN, _MARGIN), title, fill=_INK, font=title_font)
    for row, label in enumerate(labels):
        middle = first_row + row * step_y + height * scale // 2
        pen.multiline_text((left - 10, middle), label, fill=_INK, font=font, anchor="rm", align="right")
    x = left
    for block, block_width in zip(blocks, widths, strict=True):
        middle = x + block_width // 2
        pen.multiline_text((middle, first_row - 6), block.caption, fill=_INK, font=font, anchor="md", align="center")
        start = x + (block_width - block.images.shape[1] * step_x + _GAP) // 2
        for row, column in np.ndindex(block.images.shape[:2]):
            tile = Image.fromarray(np.ascontiguousarray(block.images[row, column]))
            enlarged = tile.resize((width * scale, height * scale), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (start + column * step_x, first_row + row * step_y))
        x += block_width + gap
    return sheet


def check_format(path: str | os.PathLike[str]) -> None:
    """Checks that an image can be written in the format of its suffix.

    Raises:
        ResultError: naming the suffix.
    """
    suffix = Path(path).suffix
    if suffix.lower() not in Image.registered_extensions():
        raise ResultError(f"{path}: {suffix!r} is not a format of images that can be written")


def _checked(origin: str, groups: Sequence[ImageGroup]) -> list[ImageGroup]:
    """Returns the groups with images [R, columns, H, W, 3] and wrapped captions."""
    if not groups or 0 in groups[0].images.shape:
        raise ResultError(f"{origin}: there are no images to draw")
    rows, size = len(groups[0].images), groups[0].images.shape[-3:]
    checked = []
    for caption, images in groups:
        single = images.ndim == 4
        if images.dtype != np.uint8:
            raise ResultError(f"{caption}: expected uint8, found {images.dtype}")
        if images.ndim not in (4, 5) or images.shape[-1] != 3 or (len(images), *images.shape[-3:]) != (rows, *size):
            raise ResultError(f"{caption}: expected {rows} rows of images {list(size)}, found {list(images.shape)}")
        wrapped = textwrap.fill(caption, _CAPTION_LETTERS) if single else caption
        checked.append(ImageGroup(wrapped, images[:, None] if single else images))
    return checked


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _width(text: str, font: ImageFont.FreeTypeFont) -> int:
    return max(int(font.getlength(line)) + 1 for line in text.split("\n"))
