"""GQN zoo: Generative Query Network variants under one ELBO trainer.

The front door; nothing is imported before it is asked for, so that ``import zoo`` needs neither torch nor timm.

>>> import zoo
>>> "gqn-tower" in zoo.list_variants("gqn-*")
True
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from zoo.model.scene_model import SceneModel

__all__ = ["create_model", "describe", "list_variants", "load_model"]
__version__ = "0.1.0"


def list_variants(pattern: str = "*", *, exclude: str | None = None) -> list[str]:
    """Returns the names of the registered variants that match a shell pattern, for example ``gqn-*``."""
    from zoo.registry.registry import default_registry

    return default_registry().names(pattern, exclude=exclude)


def describe(name: str, *, size: str = "full") -> dict[str, Any]:
    """Returns every setting of a variant as plain values.

    Raises:
        zoo.errors.RegistryError: if there is no such variant or size.
    """
    from zoo.registry.registry import default_registry

    return default_registry().variant(name, size=size).config()


def create_model(name: str, *, size: str = "full", overrides: tuple[str, ...] = (), seed: int = 0) -> SceneModel:
    """Makes a model with fresh weights.

    Args:
        name: a registered variant.
        size: ``full``, or a key of the variant's ``sizes``.
        overrides: ``key=value`` changes, for example ``core.steps=8``.
        seed: decides the initial weights.

    Raises:
        zoo.errors.RegistryError, zoo.errors.ConfigError: if something is not known or not valid.
    """
    from zoo.registry.registry import default_registry
    from zoo.registry.variant import build

    return build(default_registry().variant(name, size=size, overrides=overrides), seed=seed)


def load_model(path: str | Path, *, device: str | torch.device = "cpu") -> SceneModel:
    """Loads the best checkpoint of a run's folder, or the checkpoint that ``path`` names, ready for evaluation.

    Raises:
        zoo.errors.CheckpointError, zoo.errors.ConfigError: if something is missing or damaged.
    """
    from zoo.training.trained_model import load_trained

    return load_trained(Path(path), device=device).model
