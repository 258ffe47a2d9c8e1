"""Vector images of nodes, arrows and frames, written as SVG text: the same drawing gives the same bytes everywhere."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

FONT = "font-family='DejaVu Serif, Georgia, serif'"
SANS = "font-family='DejaVu Sans, Helvetica, Arial, sans-serif'"
INK, PALE, FRAME, INFERENCE = "#1f2933", "#d9dee4", "#8694a4", "#1f6fb2"
INDEX = re.compile(r"(?P<base>[^_^]+)(?:(?P<sign>[_^])(?P<index>.+))?")


def label_spans(text: str) -> str:
    """Returns a label, ``x^q`` and ``z_l`` with a raised or lowered end, as the contents of an SVG text."""
    found = INDEX.fullmatch(text)
    if found is None or found["sign"] is None:
        return html.escape(text)
    shift = 5 if found["sign"] == "_" else -7
    return f"{html.escape(found['base'])}<tspan dy='{shift}' font-size='68%'>{html.escape(found['index'])}</tspan>"


@dataclass
class Drawing:
    """An SVG image; lengths are in pixels, y grows downwards."""

    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 13,
        anchor: str = "middle",
        font: str = SANS,
        colour: str = INK,
    ) -> None:
        """Writes a label with its baseline at y."""
        self.parts.append(
            f"<text x='{x:g}' y='{y:g}' font-size='{size:g}' text-anchor='{anchor}' fill='{colour}' {font}>"
            f"{label_spans(text)}</text>"
        )

    def circle(self, x: float, y: float, *, radius: float, fill: str, label: str) -> None:
        """Draws a node with its label."""
        self.parts.append(
            f"<circle cx='{x:g}' cy='{y:g}' r='{radius:g}' fill='{fill}' stroke='{INK}' stroke-width='1.4'/>"
        )
        self.text(x, y + 6, label, size=18, font=f"{FONT} font-style='italic'")

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "none",
        colour: str = INK,
        rounding: float = 8,
    ) -> None:
        """Draws a rectangle from its upper left corner."""
        self.parts.append(
            f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='{rounding:g}' fill='{fill}' "
            f"stroke='{colour}' stroke-width='1.2'/>"
        )

    def arrow(self, points: Sequence[tuple[float, float]], *, colour: str = INK, dashed: bool = False) -> None:
        """Draws an arrow through two points, or along the quadratic or cubic curve of three or four."""
        (x, y), *rest = points
        curve = {1: "L", 2: "Q", 3: "C"}[len(rest)]
        path = f"M{x:.1f},{y:.1f} {curve}" + " ".join(f"{px:.1f},{py:.1f}" for px, py in rest)
        dash = " stroke-dasharray='5 4'" if dashed else ""
        head = "inference" if colour == INFERENCE else "ink"
        self.parts.append(
            f"<path d='{path}' fill='none' stroke='{colour}' stroke-width='1.4'{dash} marker-end='url(#{head})'/>"
        )

    def svg(self) -> str:
        """Returns the image as text."""
        heads = "".join(
            f"<marker id='{name}' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='7' markerHeight='7' orient='auto'>"
            f"<path d='M0,1 L10,5 L0,9 z' fill='{colour}'/></marker>"
            for name, colour in (("ink", INK), ("inference", INFERENCE))
        )
        size = f"{self.width:g} {self.height:g}"
        return "\n".join(
            [
                f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {size}' width='{self.width:g}' height='{self.height:g}'>",
                f"<defs>{heads}</defs>",
                f"<rect width='{self.width:g}' height='{self.height:g}' fill='#ffffff'/>",
                *self.parts,
                "</svg>\n",
            ]
        )


def between(start: tuple[float, float], end: tuple[float, float], *, radius: float) -> list[tuple[float, float]]:
    """Returns the part of the line between two centres that is outside of their circles."""
    distance = math.dist(start, end)
    along = ((end[0] - start[0]) / distance, (end[1] - start[1]) / distance)
    first = (start[0] + along[0] * radius, start[1] + along[1] * radius)
    last = (end[0] - along[0] * (radius + 2), end[1] - along[1] * (radius + 2))
    return [first, last]
