"""``gqn-zoo pull``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import screen
from zoo.cli.push import Endpoint


def run(
    repository: Annotated[str, typer.Argument(metavar="OWNER/REPOSITORY", help="Repository on the hub.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder that gets a new one with the repository's name.")
    ] = Path(),
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; default: the main branch.")] = None,
    endpoint: Endpoint = None,
) -> None:
    """Download weights with their card from a Hugging Face hub and check their SHA-256; needs the extra hub."""
    from zoo.results.hub import pull

    target = output / Path(repository).name
    pull(repository, target=target, revision=revision, endpoint=endpoint)
    screen.log(f"wrote {target}. Next: gqn-zoo evaluate {target} --data FOLDER")
