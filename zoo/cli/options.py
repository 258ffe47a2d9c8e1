"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting, for example --set core.steps=8; may be given several times.",
    ),
]
Size = Annotated[str, typer.Option("--size", help="full, or another size of the variant: smoke, quickstart.")]
Data = Annotated[
    Path, typer.Option("--data", help="Folder of scenes: a scene store, or a folder with train/*.tfrecord.")
]
Cpu = Annotated[bool, typer.Option("--cpu", help="Leave GPUs alone.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Decides every random number.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Contexts = Annotated[
    str | None,
    typer.Option(
        "--contexts",
        help="Numbers of context views to evaluate at, for example 1,3,5; default: the largest of training.",
    ),
]
ImportanceSamples = Annotated[
    str | None,
    typer.Option(
        "-K", "--importance-samples", metavar="K,K", help="K of the importance-weighted bounds, for example 10,100."
    ),
]


def bound_samples(text: str | None) -> tuple[int, ...]:
    """Parses ``10,100``; nothing given, or 0, is no bound.

    Raises:
        ConfigError: if a part is not a whole number of 0 or more.
    """
    found = [] if text is None else numbers(text, option="--importance-samples")
    return tuple(sorted(number for number in found if number))


def numbers(text: str | None, *, option: str) -> list[int | None]:
    """Parses ``1,3,5``; nothing given is the default, [None].

    Raises:
        ConfigError: if a part is not a whole number of 0 or more.
    """
    from zoo.errors import ConfigError

    if text is None:
        return [None]
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"{option}: found {text!r}, expected whole numbers separated by commas, for example 1,3,5")
    return [int(part) for part in parts]
