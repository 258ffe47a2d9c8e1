"""Options that several commands share, and their parsers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from zoo.config.settings import LARGEST_SEED
from zoo.errors import ConfigError
from zoo.registry.sources import add_registry_files


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Returns a command for typer: a parameter whose type is a NamedTuple of options becomes one option per field."""
    bundles: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        bundle = parameter.annotation
        if not hasattr(bundle, "_field_defaults"):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        bundles[name] = bundle
        for field, annotation in get_type_hints(bundle, include_extras=True).items():
            default = bundle._field_defaults.get(field, inspect.Parameter.empty)
            parameters.append(
                inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            )

    @functools.wraps(function)
    def run(**given: Any) -> None:
        made = {name: bundle(*map(given.pop, bundle._fields)) for name, bundle in bundles.items()}
        function(**given, **made)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _use_registry_files(paths: list[Path]) -> list[Path]:
    """Makes this process, and those that it starts, read further registry files."""
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


def complete_variants(incomplete: str) -> list[str]:
    """Returns the registered variants that begin with what was typed, for the shell."""
    from zoo.registry.registry import default_registry

    return default_registry().names(f"{incomplete}*")


Name = Annotated[str, typer.Argument(help="A registered variant.", autocompletion=complete_variants)]
Size = Annotated[str, typer.Option(help="full, or another size of the variant: smoke, small.")]
Data = Annotated[Path, typer.Option(help="Folder of scenes: a scene store, or a folder with train/*.tfrecord.")]
Run = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="Folder of a run or a checkpoint, or a shipped name (list --pretrained)."),
]
Checkpoint = Annotated[
    Literal["best", "last"],
    typer.Option(help="Checkpoint of a run: the best on its validation scenes, or the last."),
]
Cpu = Annotated[bool, typer.Option("--cpu", help="Do not use GPUs.")]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of every random number.")]
OnBadRecord = Annotated[Literal["raise", "skip"], typer.Option(help="Damaged TFRecords: stop, or skip and count them.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Contexts = Annotated[
    str | None,
    typer.Option(help="Numbers of context views to evaluate at, for example 1,3,5; default: the largest of training."),
]
ImportanceSamples = Annotated[
    str | None,
    typer.Option(
        "-K", "--importance-samples", metavar="K,K", help="K of the importance-weighted bounds, for example 10,100."
    ),
]


def parse_contexts(text: str | None) -> list[int]:
    """Parses ``1,3,5``; None is an empty list.

    Raises:
        ConfigError: if a part is not a whole number of 0 or more, or occurs twice.
    """
    return [] if text is None else parse_numbers(text, option="--contexts")


def parse_importance_samples(text: str | None) -> tuple[int, ...]:
    """Parses ``10,100`` in ascending order; None is no bound.

    Raises:
        ConfigError: if a part is not a whole number of at least 1, or occurs twice.
    """
    return () if text is None else tuple(sorted(parse_numbers(text, option="--importance-samples", minimum=1)))


def parse_numbers(text: str, *, option: str, minimum: int = 0) -> list[int]:
    """Parses different whole numbers separated by commas.

    Raises:
        ConfigError: if a part is not a whole number of at least ``minimum``, or occurs twice.
    """
    parts = [part.strip() for part in text.split(",")]
    # No number of views, samples or seeds is longer; isdecimal also accepts digits of other scripts.
    if not all(part.isdecimal() and part.isascii() and len(part) < 20 for part in parts):
        raise ConfigError(f"{option}: found {text!r}, expected whole numbers separated by commas, for example 1,3,5")
    numbers = [int(part) for part in parts]
    if min(numbers) < minimum:
        raise ConfigError(f"{option}: found {min(numbers)}, expected at least {minimum}")
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"{option}: found {text!r}, expected different numbers")
    return numbers
