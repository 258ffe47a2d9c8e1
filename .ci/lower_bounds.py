"""Prints the lowest versions that pyproject.toml allows, as constraints of pip: ``lower_bounds.py EXTRA...``."""

import re
import sys
import tomllib
from pathlib import Path


def lower_bounds(project: dict, extras: list[str]) -> list[str]:
    """Returns a constraint ``name==version`` for every requirement of a project and of the named extras."""
    requirements = [
        *project["dependencies"],
        *(each for extra in extras for each in project["optional-dependencies"][extra]),
    ]
    found = (re.match(r"([\w.-]+)>=([\w.]+)", requirement) for requirement in requirements)
    return sorted({f"{match[1]}=={match[2]}" for match in found if match})


if __name__ == "__main__":
    file = Path(__file__).resolve().parent.parent / "pyproject.toml"
    print(*lower_bounds(tomllib.loads(file.read_text(encoding="utf-8"))["project"], sys.argv[1:]), sep="\n")
