"""``gqn-zoo push``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Endpoint = Annotated[
    str | None, typer.Option(metavar="URL", help="Address of the hub; default: HF_ENDPOINT or huggingface.co.")
]


def run(
    path: Annotated[
        Path,
        typer.Argument(metavar="WEIGHTS", help="A folder that export wrote, or a shipped name (list --pretrained)."),
    ],
    to: Annotated[str, typer.Option(metavar="OWNER/REPOSITORY", help="Repository on the hub; made if there is none.")],
    private: Annotated[bool, typer.Option("--private", help="A new repository is private.")] = False,
    endpoint: Endpoint = None,
) -> None:
    """Upload weights with their card to a Hugging Face hub; needs the extra hub and a token with write access."""
    from zoo.results.hub import push

    typer.echo(push(path, repository=to, endpoint=endpoint, private=private))
