"""Runs below the paths of a report: their settings and logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.config.settings import load_yaml
from zoo.errors import ResultError
from zoo.figures.training_log import LOG
from zoo.provenance import hash_config
from zoo.registry.variant import FULL

CONFIG = "config.yaml"


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        folder: with its files.
        config: its resolved settings, with ``seed`` and ``data``.
        label: the name of its variant in tables.
        config_hash: of the settings without the seed, as in its rows.
        seed: of its random numbers.
    """

    folder: Path
    config: Mapping[str, Any]
    label: str
    config_hash: str
    seed: int

    @property
    def log(self) -> Path:
        """The file of its learning curves."""
        return self.folder / LOG

    def setting(self, path: str) -> Any:
        """Returns one setting, such as ``training.sigma.end``.

        Raises:
            ResultError: if the run does not have it.
        """
        return _setting(self.config, path, folder=self.folder)


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
    runs = [read_run(folder) for folder in folders.values()]
    return sorted(runs, key=lambda run: (run.label, run.config_hash, run.seed, str(run.folder)))


def read_run(folder: Path) -> Run:
    """Reads the settings of a run.

    Raises:
        ConfigError: if they are damaged or missing.
        ResultError: if they lack the variant, its size or the seed.
    """
    config = load_yaml(folder / CONFIG)
    name, size, seed = (_setting(config, key, folder=folder) for key in ("variant", "size", "seed"))
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ResultError(f"{folder / CONFIG}: seed: expected a whole number, found {seed!r}")
    label = str(name) if size == FULL else f"{name}@{size}"
    return Run(folder=folder, config=config, label=label, config_hash=hash_config(config), seed=seed)


def _setting(config: Mapping[str, Any], path: str, *, folder: Path) -> Any:
    value: Any = config
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise ResultError(f"{folder / CONFIG}: {path}: missing, so this is not the folder of a run")
        value = value[key]
    return value
