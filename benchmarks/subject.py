"""The subject of a benchmark: one variant at one size, with the conditions of a sweep."""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple

import torch

from zoo.bench.measurement import label_of
from zoo.config.recipe import TrainingRecipe
from zoo.episode import SceneBatch
from zoo.evaluation.throughput import noise_for
from zoo.model.scene_model import SceneModel
from zoo.provenance import hash_config
from zoo.registry.registry import default_registry
from zoo.registry.variant import Variant, build

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIZES = ("smoke", "full")
CPU_BATCH = 2  # scenes a step of a full-size model on a CPU, where 36 would take minutes
SEED = 0
Precision = Literal["no", "bf16"]


class Case(NamedTuple):
    """A variant at a size, with differences from its recipe.

    Attributes:
        name: of the variant in the registry.
        size: in the registry.
        varied: the condition of a sweep for tables, for example ``batch 4``; empty outside of sweeps.
        batch_size: None is the recipe's, or ``CPU_BATCH`` for a full-size model on a CPU.
        mixed_precision: None is the recipe's.
        compiled: whether the training step is compiled.
        processes: that share the batch; None is this process.
    """

    name: str
    size: str
    varied: str = ""
    batch_size: int | None = None
    mixed_precision: Precision | None = None
    compiled: bool = False
    processes: int | None = None

    @property
    def id(self) -> str:
        """The case in pytest's names."""
        return "-".join([self.size, self.name, *self.varied.split()])

    @property
    def label(self) -> str:
        """The case in tables of results."""
        variant = self.variant
        batch = variant.training.batch_size
        smaller = self.batch_size is None and batch != self._registered.training.batch_size
        conditions = ", ".join(filter(None, [self.varied, f"batch {batch}" if smaller else ""]))
        return f"{label_of(variant)} ({conditions})" if conditions else label_of(variant)

    @property
    def _registered(self) -> Variant:
        return default_registry().variant(self.name, size=self.size)

    @property
    def variant(self) -> Variant:
        """The variant with the case's batch size and precision."""
        variant = self._registered
        recipe = variant.training
        changes = {
            "batch_size": self.batch_size or standard_batch(recipe, size=self.size),
            "mixed_precision": self.mixed_precision or recipe.mixed_precision,
        }
        return variant.model_copy(update={"training": recipe.model_copy(update=changes)})


def standard_batch(recipe: TrainingRecipe, *, size: str) -> int:
    """Returns the batch size of a benchmark outside of sweeps."""
    return CPU_BATCH if DEVICE.type == "cpu" and size == "full" else recipe.batch_size


class Subject(NamedTuple):
    """A model with a batch of noise of its recipe's size."""

    case: Case
    variant: Variant
    model: SceneModel
    batch: SceneBatch

    @property
    def recipe(self) -> TrainingRecipe:
        """The recipe with the case's changes."""
        return self.variant.training

    @property
    def num_scenes(self) -> int:
        """The number of scenes in the batch."""
        return len(self.batch.scene)

    @property
    def num_images(self) -> int:
        """The number of queries in the batch, which is that of predicted images."""
        return self.num_scenes * self.recipe.most_targets

    def facts(self) -> dict[str, Any]:
        """Returns the fields of :class:`zoo.results.pytest_benchmark.BenchmarkFacts` that describe the subject."""
        case, variant = self.case, self.variant
        config = variant.config()
        # Without them it is the configuration in the rows of `gqn-zoo bench` for the same model, batch and precision.
        config |= {"compiled": True} if case.compiled else {}
        config |= {"processes": case.processes} if case.processes else {}
        return {
            "label": case.label,
            "variant": case.name,
            "size": case.size,
            "encoder": variant.encoder.use,
            "core": variant.core.use,
            "batch_size": self.num_scenes,
            "num_context": self.recipe.contexts.maximum,
            "mixed_precision": self.recipe.mixed_precision,
            "compiled": case.compiled,
            "processes": case.processes,
            "device": DEVICE.type,
            "seed": SEED,
            "config_hash": hash_config(config),
            "parameters": self.model.num_parameters,
        }


def subject_of(case: Case) -> Subject:
    """Builds the model of a case on the device and makes its batch."""
    variant = case.variant
    model = build(variant, seed=SEED).to_device(DEVICE)
    batch = noise_for(model, recipe=variant.training, image_size=variant.image_size, device=DEVICE)
    return Subject(case=case, variant=variant, model=model, batch=batch)


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Returns every registered variant at every size, the smallest size first."""
    return tuple(Case(name, size) for size in SIZES for name in default_registry().names())
