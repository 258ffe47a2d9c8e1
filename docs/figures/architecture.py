"""Draws the levels of the package and which folder imports which: python docs/figures/architecture.py [FILE].

Imports are read from the code, levels from the table of ``tests/test_levels.py``. A folder imports from levels below it.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from vector_drawing import FRAME, INK, PALE, Drawing

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("architecture.svg")
NOT_DRAWN = ("__main__", "__init__")  # both import the command line alone, or lazily
ROW, BOX_WIDTH, BOX_HEIGHT, LEFT, TOP = 62.0, 118.0, 34.0, 26.0, 20.0
USED = "errors", "files", "episode", "provenance", "config"  # by nearly every folder: no lines are drawn to them


def read_levels() -> list[tuple[str, ...]]:
    """Returns the table LEVELS of tests/test_levels.py, from the bottom to the top."""
    tree = ast.parse((ROOT / "tests" / "test_levels.py").read_text(encoding="utf-8"))
    (value,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LEVELS"
    )
    levels = [tuple(name for name in level if name not in NOT_DRAWN) for level in ast.literal_eval(value)]
    return [level for level in levels if level]


def read_imports() -> dict[str, set[str]]:
    """Returns which folders, or modules beside them, of the package each one imports, itself left out."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "zoo").rglob("*.py")):
        here = path.relative_to(ROOT / "zoo").with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            found[here] |= {name.split(".")[1] for name in names if name.startswith("zoo.")} - {here}
    return {here: {name for name in names if name in found} for here, names in found.items() if here not in NOT_DRAWN}


def direct(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Returns the imports without those that another import implies, so that few lines say everything."""

    def reached(start: str) -> set[str]:
        below = set(imports[start])
        for name in imports[start]:
            below |= reached(name)
        return below

    return {
        here: {name for name in names if not any(name in reached(other) for other in names - {name})}
        for here, names in imports.items()
    }


def draw(levels: Sequence[tuple[str, ...]], imports: dict[str, set[str]]) -> str:
    """Returns the SVG text: a row for each level, the top one first; a line where a folder imports another directly."""
    widest = max(map(len, levels))
    width, height = 2 * LEFT + 60 + widest * (BOX_WIDTH + 150), TOP * 2 + len(levels) * ROW
    drawing = Drawing(width, height)
    middles: dict[str, tuple[float, float]] = {}
    for number, level in enumerate(levels):
        y = TOP + (len(levels) - 1 - number) * ROW + BOX_HEIGHT / 2
        drawing.text(LEFT, y + 4, str(number + 1), size=11, anchor="start", colour=FRAME)
        step = (width - LEFT - 60) / (len(level) + 1)
        # Neighbouring levels with one folder are moved apart, so that lines that pass a level do not cross its folder.
        aside = (-1.0, 1.0, 0.0)[number % 3] * 170.0 if len(level) == 1 else 0.0
        for place, name in enumerate(level, start=1):
            middles[name] = (LEFT + 60 + step * place + aside - 30, y)
    for here, names in direct(imports).items():
        for name in sorted(names - set(USED)):
            (x, y), (below_x, below_y) = middles[here], middles[name]
            first, last = y + BOX_HEIGHT / 2, below_y - BOX_HEIGHT / 2 - 2
            bend = (last - first) * 0.5
            drawing.arrow([(x, first), (x, first + bend), (below_x, last - bend), (below_x, last)], colour=INK)
    for name, (x, y) in middles.items():
        drawing.box(
            x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2, BOX_WIDTH, BOX_HEIGHT, fill=PALE if name in USED else "#ffffff"
        )
        drawing.text(x, y + 5, name, size=13)
    return drawing.svg()


def main(file: Path) -> None:
    """Writes the image."""
    file.write_text(draw(read_levels(), read_imports()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
