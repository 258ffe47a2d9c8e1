"""Shipped weights: one folder per model with ``model.safetensors`` (fp16) and ``card.json``, found by its name.

They lie in ``results/weights`` of a checkout and inside an installed package. ``gqn-zoo export`` writes such folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from zoo.config.settings import first_problem
from zoo.errors import CheckpointError, did_you_mean
from zoo.files import sha256_of
from zoo.provenance import Provenance, Record
from zoo.results.row import ResultRow

WEIGHTS, CARD, README, SAMPLE = "model.safetensors", "card.json", "README.md", "sample.png"
KIND: Final = "gqn-zoo-weights"


class Card(Record):
    """``card.json``: where weights come from and what they score."""

    kind: Literal["gqn-zoo-weights"] = KIND
    schema_version: Literal[1] = 1
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # of model.safetensors
    bytes: Annotated[int, Field(ge=1)]  # of model.safetensors
    step: Annotated[int, Field(ge=0)]  # of the checkpoint
    seconds: Annotated[float, Field(ge=0)]  # of training until that step
    config: dict[str, Any]  # everything that decided the weights: variant, size, settings, recipe, seed, data
    training: Provenance  # command, commit and machine of the run
    evaluation: Annotated[list[ResultRow], Field(min_length=1)]  # of these weights, then of baselines on their episodes
    limits: list[str]  # sentences


def weights_folder() -> Path:
    """Returns the folder of the shipped weights: ``results/weights`` of a checkout, inside an installed package."""
    package = Path(__file__).resolve().parent.parent
    beside = package.parent / "results" / "weights"
    return beside if beside.is_dir() else package / "weights"


def shipped_names() -> list[str]:
    """Returns the names of the shipped weights, sorted."""
    return sorted(path.parent.name for path in weights_folder().glob(f"*/{CARD}"))


def find_weights(path: Path) -> Path | None:
    """Returns the folder of weights with a card that ``path`` is or names; None for another folder.

    Raises:
        CheckpointError: with similar names, if ``path`` is neither a folder nor the name of shipped weights.
    """
    if path.exists() or len(path.parts) > 1:
        return path if (path / CARD).is_file() else None
    if str(path) not in shipped_names():
        hint = did_you_mean(str(path), shipped_names())
        raise CheckpointError(f"{path}: there is no such folder, and no weights of this name are shipped{hint}")
    return weights_folder() / path


def read_card(folder: Path) -> Card:
    """Reads the card of a folder of weights; raises CheckpointError if it or the weights are missing or damaged."""
    file = folder / CARD
    try:
        card = Card.model_validate_json(file.read_bytes())
        file = folder / WEIGHTS
        if sha256_of(file) != card.sha256:
            raise CheckpointError(f"{file}: is damaged: its SHA-256 is not that of {CARD}")
        return card
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise CheckpointError(f"{file}: {first_problem(error)}") from None
