"""Costs that were counted and measured once, kept beside the results: a budget gives the same steps for ever after."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from zoo.bench.suite.cost import TRIED_ON_A_CPU, Cost, cost_of
from zoo.bench.suite.settings import Budget
from zoo.config.settings import Settings, load_yaml, parse
from zoo.files import write_json
from zoo.provenance import hash_config
from zoo.registry.variant import Variant

NAME = "costs.json"


class _Entry(Settings):
    """A cost as it stands in the file."""

    variant: str
    flops: int = Field(ge=0)
    seconds: float = Field(gt=0)
    source: Literal["measured", "flops"]


class CostBook:
    """The costs of one folder of results.

    Without it a wall-clock budget would be another number of steps whenever the same command is given again, and no
    finished job would be known again.
    """

    def __init__(self, folder: Path, *, device: str, keep: bool) -> None:
        """Reads what is known.

        Args:
            folder: of the results.
            device: on which the jobs run.
            keep: writes down what is new, at once.

        Raises:
            ConfigError: if the file is damaged.
        """
        self.path, self.device, self.keep = folder / NAME, device, keep
        self._entries: dict[str, _Entry] = {}
        if self.path.is_file():
            for key, value in load_yaml(self.path).items():
                self._entries[key] = parse(_Entry, value, file=str(self.path), path=key)

    def cost(self, variant: Variant, *, budget: Budget | None) -> Cost:
        """Returns what an update of a variant costs, and remembers it.

        A budget in seconds needs a step that was really measured; for all others a long one is told by its operations.
        """
        measured = budget is not None and budget.seconds is not None
        key = self._key(variant)
        known = self._entries.get(key)
        if known is None or (measured and known.source != "measured"):
            cost = cost_of(variant, device=self.device, longest=math.inf if measured else TRIED_ON_A_CPU)
            known = _Entry(variant=f"{variant.name}@{variant.size}", **cost._asdict())
            self._entries[key] = known
            if self.keep:
                write_json(self.path, {name: entry.model_dump() for name, entry in self._entries.items()})
        return Cost(flops=known.flops, seconds=known.seconds, source=known.source)

    def _key(self, variant: Variant) -> str:
        config = variant.config()
        training = config["training"]
        for name in ("steps", "learning_rate", "sigma", "beta"):  # of no matter for one step
            training = {key: value for key, value in training.items() if key != name}
        machine = torch.cuda.get_device_name() if self.device == "cuda" else self.device
        return hash_config({**config, "training": training, "device": machine})
