"""Runs beside the rows: whatever folders of trained models lie below the paths that were given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.config.settings import load_yaml
from zoo.errors import ResultError
from zoo.provenance import hash_config
from zoo.registry.variant import FULL

METRICS = "metrics.jsonl"
CONFIG = "config.yaml"


@dataclass(frozen=True)
class Run:
    """One training run, as its folder describes it.

    Attributes:
        folder: where it lies.
        config: its resolved settings, with ``seed`` and ``data``.
        label: the name under which its variant stands in tables.
        config_hash: digest of the settings without the seed, the one that its rows bear.
        seed: what decided its random numbers.
    """

    folder: Path
    config: Mapping[str, Any]
    label: str
    config_hash: str
    seed: int

    @property
    def log(self) -> Path:
        """The file of its learning curves."""
        return self.folder / METRICS

    def setting(self, path: str) -> Any:
        """Returns one setting, such as ``training.sigma.end``.

        Raises:
            ResultError: if the run's settings do not have it.
        """
        value: Any = self.config
        for key in path.split("."):
            if not isinstance(value, Mapping) or key not in value:
                raise ResultError(f"{self.folder / CONFIG}: {path}: missing, so this is not the folder of a run")
            value = value[key]
        return value


def find_runs(paths: Iterable[Path]) -> list[Run]:
    """Returns every run at or below the folders among ``paths``, once, by label, settings and seed.

    A run is a folder with ``metrics.jsonl`` and ``config.yaml``; files among the paths are passed over.

    Raises:
        ConfigError: if the settings of a run are damaged.
        ResultError: if they lack the variant, its size or the seed.
    """
    folders = {
        log.parent.resolve(): log.parent
        for path in map(Path, paths)
        if path.is_dir()
        for log in sorted(path.rglob(METRICS))
        if (log.parent / CONFIG).is_file()
    }
    runs = [read_run(folder) for folder in folders.values()]
    return sorted(runs, key=lambda run: (run.label, run.config_hash, run.seed, str(run.folder)))


def read_run(folder: Path) -> Run:
    """Reads what a run says of itself.

    Raises:
        ConfigError: if its settings are damaged or missing.
        ResultError: if they lack the variant, its size or the seed.
    """
    config = load_yaml(folder / CONFIG)
    named = Run(folder=folder, config=config, label="", config_hash=hash_config(config), seed=0)
    name, size, seed = (named.setting(key) for key in ("variant", "size", "seed"))
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ResultError(f"{folder / CONFIG}: seed: expected a whole number, found {seed!r}")
    label = str(name) if size == FULL else f"{name}@{size}"
    return Run(folder=folder, config=config, label=label, config_hash=named.config_hash, seed=seed)
