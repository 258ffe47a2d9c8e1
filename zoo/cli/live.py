"""The live display of ``gqn-zoo train --live``: progress, metrics, a curve and the latest predictions of fixed scenes.

Images and the curve are drawn with block characters.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress import MofNCompleteColumn
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from zoo.cli.screen import make_progress, stderr_console

if TYPE_CHECKING:
    from zoo.evaluation.images import Sheet
    from zoo.figures.sheets import ImageGroup

REFRESH_SECONDS = 1.0
CURVE_WIDTH, CURVE_HEIGHT = 60, 3  # characters
LINES_BESIDE_IMAGES = 11  # of the terminal, one of them between two scenes
MAX_SCENES = 2
MAX_COLUMNS = 2  # of a group: of context views, of samples
MIN_TILE, MAX_TILE = 8, 32  # pixels; a character is one wide and two high
# Metric of training, its label, its format and its unit.
METRICS = (
    ("train/nelbo_excess", "excess NELBO", ".2f", " nats/target"),
    ("train/kl", "KL", ".2f", " nats/target"),
    ("perf/scenes_per_second", "speed", ".1f", " scenes/s"),
    ("train/learning_rate", "learning rate", ".2e", ""),
    ("train/sigma", "sigma", ".3f", ""),
)
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


def can_be_live() -> bool:
    """Returns whether stderr is a terminal in which text can be replaced."""
    console = stderr_console()
    return console.is_terminal and not console.is_dumb_terminal


class LiveDisplay:
    """What is shown of a run of so many updates; a renderable of rich."""

    def __init__(self, label: str, *, steps: int, console: Console) -> None:
        self.console = console
        self._progress = make_progress(MofNCompleteColumn(), console=console)
        self._task = self._progress.add_task(label, total=steps)
        self._metrics: Mapping[str, float] = {}
        self._excess: list[float] = []
        self._predictions: tuple[int, Sheet] | None = None
        self._images: tuple[tuple[int, int], list[Text | HalfBlocks]] | None = None  # for a size of the terminal
        self._live = Live(get_renderable=lambda: self, console=console, auto_refresh=False)
        self._refreshed = 0.0

    @contextmanager
    def shown(self) -> Iterator[LiveDisplay]:
        """Shows the display while the block runs; its last state stays in the terminal."""
        with self._live:
            yield self

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows a step and its metrics, which may be empty, at most every :data:`REFRESH_SECONDS`."""
        self._progress.update(self._task, completed=step)
        if metrics:
            self._metrics = metrics
            self._excess.append(metrics["train/nelbo_excess"])
        if time.monotonic() >= self._refreshed + REFRESH_SECONDS:
            self._refresh()

    def show_predictions(self, step: int, sheet: Sheet) -> None:
        """Shows the predictions of a step in place of earlier ones."""
        self._predictions, self._images = (step, sheet), None
        self._refresh()

    def _refresh(self) -> None:
        self._live.refresh()
        self._refreshed = time.monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._progress
        if self._metrics:
            shown = [each for each in METRICS if each[0] in self._metrics]
            table = Table.grid(padding=(0, 3))
            table.add_row(*(Text(label, style="dim") for _, label, _, _ in shown))
            table.add_row(*(Text(f"{self._metrics[name]:{form}}{unit}", style="bold") for name, _, form, unit in shown))
            yield table
            lines = curve_lines(self._excess, width=CURVE_WIDTH, height=CURVE_HEIGHT)
            highest, lowest = max(self._excess), min(self._excess)
            scale = f"excess NELBO, logarithmic\nhighest {highest:.2f}\nlowest {lowest:.2f}"
            curve = Table.grid(padding=(0, 2))
            curve.add_row(Text("\n".join(lines), style="cyan", no_wrap=True), Text(scale, style="dim"))
            yield curve
        size = (options.max_width, options.size.height)
        # Rich replaces true colour by the nearest of 256; fewer are not enough for images.
        if self._predictions is not None and not console.no_color and console.color_system in ("truecolor", "256"):
            if self._images is None or self._images[0] != size:
                self._images = size, list(draw_predictions(*self._predictions, width=size[0], height=size[1]))
            yield from self._images[1]


def draw_predictions(step: int, sheet: Sheet, *, width: int, height: int) -> Iterator[Text | HalfBlocks]:
    """Draws predictions for a terminal of ``width`` times ``height`` characters; yields nothing if they do not fit."""
    from zoo.figures.sheets import prediction_groups

    groups = [_first_columns(group) for group in prediction_groups(**sheet._asdict())]
    columns = sum(group.images.shape[1] for group in groups)
    scenes = min(MAX_SCENES, len(sheet.truth))
    room = (width - columns - len(groups)) // columns  # one character after every image, another after every group
    lines = max(0, height - LINES_BESIDE_IMAGES)
    if lines * 2 // scenes < min(room, MAX_TILE):
        scenes = 1
    tile = tile_size(sheet.truth.shape[1], room=min(room, lines * 2 // scenes))
    if tile < MIN_TILE:
        return
    yield Text(f"\npredictions from the prior at step {step}, validation", style="dim")
    widths = [group.images.shape[1] * (tile + 1) for group in groups]
    captions = (f"{each.caption[:width]:<{width + 1}}" for each, width in zip(groups, widths, strict=True))
    yield Text("".join(captions), no_wrap=True)
    gaps = [
        1 + (last == number) for group in groups for last in [group.images.shape[1]] for number in range(1, last + 1)
    ]
    for scene in range(scenes):
        if scene:
            yield Text("")
        tiles = [resized(image, tile) for group in groups for image in group.images[scene]]
        yield HalfBlocks(tiles, gaps=gaps)


def tile_size(size: int, *, room: int) -> int:
    """Returns the even width in pixels at which an image of ``size`` pixels is drawn in ``room``; small ones are enlarged."""
    most = min(room, MAX_TILE)
    return (size * (most // size) if most >= size else most) // 2 * 2


def _first_columns(group: ImageGroup) -> ImageGroup:
    """Returns the first columns [R, columns, H, W, 3] of a group, with their number in the caption if some are left out."""
    images = group.images[:, None] if group.images.ndim == 4 else group.images
    count = images.shape[1]
    if count <= MAX_COLUMNS:
        return group._replace(images=images)
    caption = f"{MAX_COLUMNS} of {count} {group.caption.removeprefix(f'{count} ')}"
    return group._replace(caption=caption, images=images[:, :MAX_COLUMNS])
