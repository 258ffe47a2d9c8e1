"""The trained model and the scenes that ``evaluate`` and ``localise`` measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from zoo.cli import screen
from zoo.cli.options import Checkpoint, Contexts, Cpu, Data, Run, parse_contexts
from zoo.config.settings import LARGEST_SEED

if TYPE_CHECKING:
    from zoo.data.opening import Source
    from zoo.data.source import Split
    from zoo.registry.variant import Variant
    from zoo.training.trained_model import TrainedModel


class TrainedRun(NamedTuple):
    """Options of commands that measure a trained model."""

    path: Run
    data: Data
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="Split of the scenes.")] = "test"
    checkpoint: Checkpoint = "best"
    contexts: Contexts = None
    sigma: Annotated[
        float | None,
        typer.Option(help="Standard deviation of the annealed Gaussian; default: the last one of training."),
    ] = None
    episodes_seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the choice of context and target views.")
    ] = 0
    cpu: Cpu = False

    @property
    def device(self) -> str:
        """Where the model runs."""
        from zoo.training.run import device_of

        return device_of(cpu=self.cpu)

    @property
    def sizes(self) -> list[int | None]:
        """Numbers of context views; None is the default of training."""
        return [*parse_contexts(self.contexts)] or [None]

    def load(self) -> TrainedModel:
        """Loads the model."""
        from zoo.training.trained_model import load_trained

        return load_trained(self.path, device=self.device, which=self.checkpoint)

    def open_splits(self, variant: Variant, *required: Split) -> Mapping[Split, Source]:
        """Opens the splits of the folder after checking that the variant can read its scenes."""
        from zoo.training.run import open_splits_for

        return open_splits_for(variant, self.data, self.split, *required)

    def warn_of_untrained_contexts(self, variant: Variant) -> None:
        """Prints a warning for every context size outside of the range of training."""
        trained = variant.training.contexts
        for size in self.sizes:
            if size is not None and not trained.minimum <= size <= trained.maximum:
                screen.log(
                    f"Warning: {variant.name!r} was trained with {trained.minimum} to {trained.maximum} context views; "
                    f"its results with {size} are an extrapolation"
                )
