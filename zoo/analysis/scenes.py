"""The scenes of an analysis: a folder of the user's, or scenes of a built-in data set that are drawn when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zoo.data.make import make_dataset
from zoo.data.opening import Source, open_scenes
from zoo.data.source import Split


@dataclass(frozen=True, kw_only=True)
class AnalysisScenes:
    """Where the scenes of an analysis come from.

    Attributes:
        given: the folder that was named; None: ``recipe`` is drawn into ``made``.
        recipe: name of a built-in data set.
        image_size: pixels; 0 for data without images.
        seed: of the scenes that are drawn.
        made: folder in which scenes are made once.
        log: called before scenes are made.
    """

    given: Path | None
    recipe: str
    image_size: int
    seed: int
    made: Path
    log: Callable[[str], None]

    def folder(self, split: Split, *, num_scenes: int) -> Path:
        """Returns the folder with a split, which is made first if no folder was given."""
        if self.given is not None:
            return self.given
        size = f"-{self.image_size}" if self.image_size else ""
        folder = self.made / f"{self.recipe}{size}-{num_scenes}-{split}-seed-{self.seed}"
        if not folder.exists():
            self.log(f"making {num_scenes} scenes of {self.recipe}, split {split}")
            make_dataset(
                self.recipe,
                folder=folder,
                num_scenes={split: num_scenes},
                image_size=self.image_size,
                seed=self.seed,
                workers=0,
            )
        return folder

    def open(self, split: Split, *, num_scenes: int) -> Source:
        """Opens a split, with ``num_scenes`` scenes if it is drawn; raises DataError if a given folder lacks it."""
        return open_scenes(self.folder(split, num_scenes=num_scenes), split)
