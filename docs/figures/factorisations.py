"""Draws the graphical model of every system of the zoo: python docs/figures/factorisations.py [FOLDER].

The left part of an image is what the model generates (p), the right part its posterior (q). Grey circles are given, white ones are latent
variables, boxes are computed from what points at them. Frames are repeated as often as they say.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import NamedTuple

from vector_drawing import FRAME, INFERENCE, INK, PALE, Drawing, between

FOLDER = Path(__file__).parent / "factorisations"
UNIT, RADIUS, MARGIN, TITLE, BELOW = 92.0, 23.0, 52.0, 26.0, 14.0
APART = 5.0  # pixels from the line between two centres, of arrows in both directions


class Node(NamedTuple):
    """A variable at a place, in units of the grid."""

    label: str
    x: float
    y: float
    kind: str = "given"  # given, latent, target (given in the posterior, white in the model) or computed


class Plate(NamedTuple):
    """A frame round some nodes."""

    label: str
    nodes: str  # their keys
    level: int = 0  # frames of level 1 lie within those of level 0


class Panel(NamedTuple):
    """One graph. ``edges`` are pairs of keys, such as ``rz xz``; a key twice is a loop: the variable's earlier steps."""

    title: str
    edges: str
    hidden: str = ""  # keys of nodes that are left out


class Model(NamedTuple):
    """The graphs of a system."""

    nodes: dict[str, Node]
    plates: tuple[Plate, ...]
    panels: tuple[Panel, ...]


CONTEXT = {"x": Node("x^i", 0, 0), "v": Node("v^i", 0, 1.1), "r": Node("r", 0.95, 0.55, "computed")}
QUERY = {
    "z": Node("z_l", 1.95, 0, "latent"),
    "X": Node("x^q", 3.0, 0, "target"),
    "V": Node("v^q", 2.5, 1.1),
}
VIEWS = Plate("context views i", "xv")
STEPS, QUERIES = Plate("steps l", "z", 1), Plate("queries q", "zXV")
GENERATES, INFERS = "p: prior and likelihood", "q: posterior"
ONE_GROUP = {**QUERY, "z": QUERY["z"]._replace(label="z")}

MODELS = {
    "gqn": Model(
        {**CONTEXT, **QUERY},
        (VIEWS, QUERIES, STEPS),
        (Panel(GENERATES, "xr vr rz Vz zz zX rX VX"), Panel(INFERS, "xr vr rz Vz zz Xz")),
    ),
    "attention-gqn": Model(
        {
            **CONTEXT,
            "r": Node("D", 0.95, 0.0, "computed"),
            "a": Node("r_l", 1.95, 1.1, "computed"),
            **QUERY,
            "V": Node("v^q", 3.0, 1.1),
        },
        (VIEWS, Plate("queries q", "zXVa"), Plate("steps l", "za", 1)),
        (Panel(GENERATES, "xr vr ra va Va za az zz zX aX"), Panel(INFERS, "xr vr ra va Va za az zz Xz Vz")),
    ),
    "draw": Model(
        {**CONTEXT, **QUERY, "c": Node("canvas_l", 1.95, 1.1, "computed"), "V": Node("v^q", 3.0, 1.1)},
        (VIEWS, Plate("queries q", "zXVc"), Plate("steps l", "zc", 1)),
        (Panel(GENERATES, "xr vr rz rc Vz Vc zz zc cc cX"), Panel(INFERS, "xr vr rz Vz zz cz Xz")),
    ),
    "cgqn": Model(
        {**CONTEXT, **QUERY, "X": Node("x^q", 3.15, 0, "target"), "V": Node("v^q", 3.15, 1.1)},
        (VIEWS, Plate("steps l", "z"), Plate("queries q", "XV")),
        (Panel(GENERATES, "xr vr rz zz zX VX"), Panel(INFERS, "xr vr rz zz Xz Vz")),
    ),
    "neural-process": Model(
        {
            "x": Node("x^i", 0, 0),
            "v": Node("y^i", 0, 1.1),
            "r": Node("d", 1.5, 1.1, "computed"),
            "z": Node("z", 1.5, 0, "latent"),
            "X": Node("y^q", 2.8, 0, "target"),
            "V": Node("x^q", 2.8, 1.1),
        },
        (Plate("context pairs i", "xv"), Plate("queries q", "XV")),
        (Panel("p: prior and likelihood (d: path both)", "xz vz xr vr zX VX rX"), Panel(INFERS, "xz vz Xz Vz", "r")),
    ),
    "reversed-gqn": Model(
        {
            **CONTEXT,
            "z": Node("z", 1.95, 0, "latent"),
            "X": Node("v^q", 3.0, 0, "target"),
            "V": Node("x^q", 2.5, 1.1),
        },
        (VIEWS, QUERIES),
        (
            Panel("reversed GQN", "xr vr rX VX", "z"),
            Panel("with latents, p", "xr vr rz Vz zX VX rX"),
            Panel("with latents, q", "xr vr rz Vz Xz"),
        ),
    ),
    "slim": Model(
        {**CONTEXT, "x": Node("c^i", 0, 0), **QUERY},
        (Plate("captions i", "xv"), QUERIES, STEPS),
        (Panel(GENERATES, "xr vr zX rX VX"), Panel(INFERS, "Xz Vz zz", "xvr")),
    ),
    "cvae": Model(
        {**CONTEXT, **ONE_GROUP},
        (VIEWS, QUERIES),
        (Panel("p (CVAE of Kingma et al.: z has no parents)", "xr vr rz Vz zX rX VX"), Panel(INFERS, "xr vr rz Vz Xz")),
    ),
    "vae": Model(
        {"z": Node("z", 0, 0, "latent"), "X": Node("x^q", 1.3, 0, "target")},
        (Plate("images q", "zX"),),
        (Panel("p", "zX"), Panel("q", "Xz")),
    ),
}


def draw(model: Model) -> str:
    """Returns the SVG text of a system's graphs, side by side."""
    right = max(node.x for node in model.nodes.values()) * UNIT
    bottom = max(node.y for node in model.nodes.values()) * UNIT
    panel_width = right + 2 * MARGIN
    drawing = Drawing(len(model.panels) * panel_width, bottom + 2 * MARGIN + TITLE + BELOW)
    for number, panel in enumerate(model.panels):
        _draw_panel(drawing, model, panel, left=number * panel_width + MARGIN)
    return drawing.svg()


def _draw_panel(drawing: Drawing, model: Model, panel: Panel, *, left: float) -> None:
    is_posterior = panel.title.startswith("q") or panel.title.endswith(", q")
    colour = INFERENCE if is_posterior else INK
    nodes = {key: node for key, node in model.nodes.items() if key not in panel.hidden}
    places = {key: (left + node.x * UNIT, TITLE + MARGIN + node.y * UNIT) for key, node in nodes.items()}
    drawing.text(left - RADIUS, 20, panel.title, anchor="start", colour=colour)
    for plate in model.plates:
        inside = [places[key] for key in plate.nodes if key in places]
        if inside:
            space = RADIUS + (20 if plate.level == 0 else 9)
            x, y = min(place[0] for place in inside) - space, min(place[1] for place in inside) - space
            width = max(place[0] for place in inside) + space - x
            height = max(place[1] for place in inside) + space - y + (BELOW if plate.level else 0)
            drawing.box(x, y, width, height, colour=FRAME)
            below = y + height + (-4 if plate.level else 13)
            drawing.text(x + width - 4, below, plate.label, size=11, anchor="end", colour=FRAME)
    for key, node in nodes.items():
        x, y = places[key]
        if node.kind == "computed":
            drawing.box(x - RADIUS, y - RADIUS + 4, 2 * RADIUS, 2 * RADIUS - 8, fill="#ffffff", rounding=4)
            size = 18 if len(node.label) < 6 else 11
            drawing.text(x, y + 6, node.label, size=size)
        else:
            given = node.kind == "given" or (node.kind == "target" and is_posterior)
            drawing.circle(x, y, radius=RADIUS, fill=PALE if given else "#ffffff", label=node.label)
    edges = panel.edges.split()
    for edge in edges:
        aside = APART if edge[::-1] in edges and edge[0] != edge[1] else 0.0
        inferred = is_posterior and edge[1] == "z"
        _draw_edge(
            drawing, places[edge[0]], places[edge[1]], aside=aside, dashed=inferred, colour=colour if inferred else INK
        )


def _draw_edge(
    drawing: Drawing, start: tuple[float, float], end: tuple[float, float], *, aside: float, dashed: bool, colour: str
) -> None:
    if start == end:
        x, y = start
        loop = [(x - 9, y - RADIUS), (x - 20, y - RADIUS - 22), (x + 20, y - RADIUS - 22), (x + 9, y - RADIUS - 2)]
        drawing.arrow(loop, colour=colour, dashed=dashed)
        return
    line = between(start, end, radius=RADIUS)
    length = math.dist(*line)
    across = ((line[1][1] - line[0][1]) / length * aside, (line[0][0] - line[1][0]) / length * aside)
    drawing.arrow([(x + across[0], y + across[1]) for x, y in line], colour=colour, dashed=dashed)


def main(folder: Path) -> None:
    """Writes the image of every system into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in MODELS.items():
        (folder / f"{name}.svg").write_text(draw(model), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
