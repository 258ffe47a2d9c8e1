"""Options that several commands share, and their parsers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

LARGEST_SEED = 2**63 - 1


def _use_registry_files(paths: list[Path]) -> list[Path]:
    """Makes this process, and those that it starts, read further registry files."""
    if paths:
        from zoo.registry.sources import add_registry_files

        add_registry_files(paths)
    return paths


RegistryFiles = Annotated[
    list[Path],
    typer.Option(
        "--registry",
        metavar="FILE",
        callback=_use_registry_files,
        help="Read variants from this registry file as well; may be given several times.",
    ),
]
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
Cpu = Annotated[bool, typer.Option("--cpu", help="Do not use GPUs.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of every random number.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# Of commands that measure a trained model.
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or of a checkpoint.")]
Split = Annotated[Literal["train", "validation", "test"], typer.Option("--split", help="Split of the scenes.")]
Which = Annotated[
    Literal["best", "last"],
    typer.Option("--checkpoint", help="Checkpoint of a run: the best on its validation scenes, or the last."),
]
Contexts = Annotated[
    str | None,
    typer.Option(
        "--contexts",
        help="Numbers of context views to evaluate at, for example 1,3,5; default: the largest of training.",
    ),
]
Sigma = Annotated[
    float | None,
    typer.Option("--sigma", help="Standard deviation of the annealed Gaussian; default: the last one of training."),
]
ImportanceSamples = Annotated[
    str | None,
    typer.Option(
        "-K", "--importance-samples", metavar="K,K", help="K of the importance-weighted bounds, for example 10,100."
    ),
]
EpisodesSeed = Annotated[
    int,
    typer.Option("--episodes-seed", min=0, max=LARGEST_SEED, help="Seed of the choice of context and target views."),
]


def parse_contexts(text: str | None) -> list[int | None]:
    """Parses ``1,3,5``; nothing given is the default of training, [None].

    Raises:
        ConfigError: if a part is not a whole number of 0 or more.
    """
    return [None] if text is None else [*parse_numbers(text, option="--contexts")]


def parse_importance_samples(text: str | None) -> tuple[int, ...]:
    """Parses ``10,100`` in ascending order; None is no bound.

    Raises:
        ConfigError: if a part is not a whole number of at least 1.
    """
    return () if text is None else tuple(sorted(parse_numbers(text, option="--importance-samples", minimum=1)))


def parse_numbers(text: str, *, option: str, minimum: int = 0) -> list[int]:
    """Parses whole numbers separated by commas.

    Raises:
        ConfigError: if a part is not a whole number of at least ``minimum``.
    """
    from zoo.errors import ConfigError

    parts = [part.strip() for part in text.split(",")]
    # No number of views, samples or seeds is longer; isdecimal also accepts digits of other scripts.
    if not all(part.isdecimal() and part.isascii() and len(part) < 20 for part in parts):
        raise ConfigError(f"{option}: found {text!r}, expected whole numbers separated by commas, for example 1,3,5")
    numbers = [int(part) for part in parts]
    if min(numbers) < minimum:
        raise ConfigError(f"{option}: found {min(numbers)}, expected at least {minimum}")
    return numbers
