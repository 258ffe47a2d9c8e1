"""The trained model and the scenes that ``evaluate`` and ``localise`` measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.data.opening import Source
    from zoo.data.source import Split
    from zoo.registry.variant import Variant


def open_splits_for(variant: Variant, data: Path, *required: Split) -> Mapping[Split, Source]:
    """Opens the splits of a folder after checking that the variant can read its scenes.

    Raises:
        DataError: if the folder lacks a required split.
        ConfigError: if the scenes have another image size or lack what the variant's task reads.
    """
    from zoo.data.opening import open_scenes, open_splits
    from zoo.registry.variant import data_requirements

    found = open_splits(data, requirements=data_requirements(variant))
    for split in required:
        if split not in found:
            found[split] = open_scenes(data, split)
    return found


def warn_of_untrained_contexts(variant: Variant, sizes: Iterable[int | None]) -> None:
    """Prints a warning for every context size outside of the range of training."""
    from zoo.cli import screen

    trained = variant.training.contexts
    for size in sizes:
        if size is not None and not trained.minimum <= size <= trained.maximum:
            screen.log(
                f"Warning: {variant.name!r} was trained with {trained.minimum} to {trained.maximum} context views; "
                f"its results with {size} are an extrapolation"
            )
