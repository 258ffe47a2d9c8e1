"""Images and curves in a terminal, drawn with block characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

UPPER_HALF = "▀"
EIGHTHS = " ▁▂▃▄▅▆▇█"


class HalfBlocks:
    """A row of images side by side; a character is two pixels, the upper one in its colour, the lower one in its background."""

    def __init__(self, tiles: Sequence[np.ndarray], *, gaps: Sequence[int]) -> None:
        """Draws tiles [H, W, 3] uint8 of one size, H even, each followed by a gap of so many characters."""
        self.width = sum(tile.shape[1] for tile in tiles) + sum(gaps)
        # Made once: the display is drawn every second, images change with every validation.
        self._lines = [
            [
                segment
                for tile, gap in zip(tiles, gaps, strict=True)
                for segment in (*_line(tile[row : row + 2]), Segment(" " * gap))
            ]
            for row in range(0, tiles[0].shape[0], 2)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            yield from line
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.width, self.width)


def _line(pixels: np.ndarray) -> Iterator[Segment]:
    """Draws two rows of pixels, [2, W, 3] uint8."""
    for upper, lower in zip(*pixels.tolist(), strict=True):
        yield Segment(UPPER_HALF, Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes an image [H, H, 3] uint8 to [size, size, 3]: averages pixels, or repeats them."""
    method = Image.Resampling.BOX if size < image.shape[0] else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((size, size), method))


def curve_lines(values: Sequence[float], *, width: int, height: int) -> list[str]:
    """Draws a curve as filled columns, at most ``width`` of them, in ``height`` lines from the top to the bottom.

    Every column is the mean of as many values; the lowest column has one eighth of a character. The scale is
    logarithmic if all values are positive.
    """
    columns = np.array([part.mean() for part in np.array_split(np.asarray(values), min(width, len(values)))])
    if columns.min() > 0:
        columns = np.log(columns)
    low, high = columns.min(), columns.max()
    share = (columns - low) / (high - low) if high > low else np.zeros_like(columns)
    eighths = np.rint(1 + share * (8 * height - 1)).astype(int)
    return ["".join(EIGHTHS[level] for level in np.clip(eighths - 8 * row, 0, 8)) for row in reversed(range(height))]
