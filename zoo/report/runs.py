"""Runs below the paths of a report: their settings and logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.config.settings import load_yaml
from zoo.errors import ResultError
from zoo.figures.curves import LOG
from zoo.provenance import hash_config
from zoo.registry.variant import FULL

CONFIG = "config.yaml"


@dataclass(frozen=True)
class Run:
    """One training run."""

    folder: Path
    config: Mapping[str, Any]  # its resolved settings, with ``seed`` and ``data``

    @property
    def log(self) -> Path:
        """The file of its learning curves."""
        return self.folder / LOG

    @cached_property
    def label(self) -> str:
        """The name of its variant in tables."""
        name, size = self.setting("variant"), self.setting("size")
        return str(name) if size == FULL else f"{name}@{size}"

    @cached_property
    def config_hash(self) -> str:
        """The hash of the settings without the seed, as in its rows."""
        return hash_config(self.config)

    @property
    def seed(self) -> int:
        """The seed of its random numbers."""
        seed = self.setting("seed")
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise ResultError(f"{self.folder / CONFIG}: seed: expected a whole number, found {seed!r}")
        return seed

    def setting(self, path: str) -> Any:
        """Returns one setting, such as ``training.sigma.end``.

        Raises:
            ResultError: if the run does not have it.
        """
        value: Any = self.config
        for key in path.split("."):
            if not isinstance(value, Mapping) or key not in value:
                raise ResultError(f"{self.folder / CONFIG}: {path}: missing, so this is not the folder of a run")
            value = value[key]
        return value


def find_runs(paths: Iterable[Path]) -> list[Run]:
    """Returns every run at or below the folders among ``paths``, once, by label, settings and seed.

    A run is a folder with ``metrics.jsonl`` and ``config.yaml``.

    Raises:
        ConfigError: if the settings of a run are damaged.
        ResultError: if they lack the variant, its size or the seed.
    """
    folders = {
        log.parent.resolve(): log.parent
        for path in map(Path, paths)
        if path.is_dir()
        for log in sorted(path.rglob(LOG))
        if (log.parent / CONFIG).is_file()
    }
    runs = [Run(folder, load_yaml(folder / CONFIG)) for folder in folders.values()]
    return sorted(runs, key=lambda run: (run.label, run.config_hash, run.seed, str(run.folder)))
