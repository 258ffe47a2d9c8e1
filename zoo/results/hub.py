"""Weights with a card on a Hugging Face hub: four files, whose SHA-256 is checked, and no code or pickle.

Needs the extra ``hub``. Tokens and the endpoint are those of ``huggingface_hub`` (``HF_TOKEN``, ``HF_ENDPOINT``).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zoo
from zoo.errors import CheckpointError
from zoo.files import writing_directory
from zoo.results.weights import CARD, README, SAMPLE, WEIGHTS, find_weights, read_card

FILES = [WEIGHTS, CARD, README, SAMPLE]


def push(path: Path, *, repository: str, endpoint: str | None = None, private: bool = False) -> str:
    """Uploads the weights that ``path`` is or names as one commit, makes the repository if needed, and returns its URL.

    Raises:
        CheckpointError: if the weights are missing or damaged, or the hub cannot be used, reached or refuses.
    """
    folder = find_weights(path)
    if folder is None:
        raise CheckpointError(f"{path}: holds no {CARD}; gqn-zoo export makes such a folder of a run")
    read_card(folder)  # which checks the weights
    with _hub_errors(repository):
        from huggingface_hub import HfApi

        api = HfApi(endpoint=endpoint, library_name="gqn-zoo", library_version=zoo.__version__)
        url = api.create_repo(repository, private=private or None, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=FILES, commit_message=f"Weights of {folder.name}"
        )
    return str(url)


def pull(repository: str, *, target: Path, revision: str | None = None, endpoint: str | None = None) -> None:
    """Downloads weights of one revision into the folder ``target``, whole or not at all.

    Raises:
        CheckpointError: if the hub cannot be used, reached or refuses, or the weights there are missing or damaged.
        DiskFullError: if ``target`` exists or cannot be written.
    """
    with writing_directory(target) as folder:
        with _hub_errors(repository):
            from huggingface_hub import snapshot_download

            snapshot_download(repository, revision=revision, local_dir=folder, allow_patterns=FILES, endpoint=endpoint)
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # notes of huggingface_hub
        try:
            read_card(folder)
        except CheckpointError as error:
            raise CheckpointError(str(error).replace(str(folder), repository)) from None


@contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    """Turns errors of the hub into a CheckpointError of one sentence."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise CheckpointError(
            "push and pull need huggingface_hub, which is not installed; pip install 'gqn-zoo[hub]'"
        ) from None
    try:
        yield
    except (OSError, ValueError, errors.HTTPError) as error:  # HTTPError of its HTTP library
        reason = next(iter(str(error.__cause__ or error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(f"{repository}: the hub cannot be reached or refuses: {reason}") from error
