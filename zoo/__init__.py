"""GQN zoo: Generative Query Network variants under one ELBO trainer.

Imports are made inside the functions, so that ``import zoo`` needs neither torch nor timm.

>>> import zoo
>>> "gqn-tower" in zoo.list_variants("gqn-*")
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

    from zoo.data.scene import Scene
    from zoo.model.scene_model import SceneModel
    from zoo.training.trained_model import TrainedModel

__all__ = ["Scene", "create_model", "describe", "list_variants", "load_model", "load_run", "render_scene"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Imports ``zoo.Scene`` when it is first asked for."""
    if name == "Scene":
        from zoo.data.scene import Scene

        return Scene
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


Files = Sequence[str | Path]  # registry files beside the shipped one, ./registry.yaml and those of GQN_ZOO_REGISTRY


def list_variants(pattern: str = "*", *, exclude: str | None = None, registry: Files = ()) -> list[str]:
    """Returns the names of the registered variants that match a shell pattern, for example ``gqn-*``."""
    from zoo.registry.registry import default_registry

    return default_registry(registry).names(pattern, exclude=exclude)


def describe(name: str, *, size: str = "full", registry: Files = ()) -> dict[str, Any]:
    """Returns every setting of a variant as plain values.

    Raises:
        zoo.errors.RegistryError: if there is no such variant or size.
    """
    from zoo.registry.registry import default_registry

    return default_registry(registry).variant(name, size=size).config()


def create_model(
    name: str,
    *,
    size: str = "full",
    overrides: Sequence[str] = (),
    seed: int = 0,
    registry: Files = (),
    pretrained: bool = False,
) -> SceneModel:
    """Makes a model with fresh or pretrained weights.

    Args:
        name: a registered variant; of pretrained weights a name of ``gqn-zoo list --pretrained`` or a folder.
        size: ``full``, or a key of the variant's ``sizes``.
        overrides: ``key=value`` changes, for example ``core.steps=8``.
        seed: decides the initial weights.
        registry: further registry files.
        pretrained: loads weights, whose card decides size and settings; the model is in evaluation mode.

    Raises:
        zoo.errors.RegistryError, zoo.errors.ConfigError: if a name or a setting is not valid.
        zoo.errors.CheckpointError: if the weights are missing or damaged.
    """
    from zoo.registry.registry import default_registry
    from zoo.registry.variant import build

    if pretrained:
        from zoo.errors import ConfigError

        trained = load_run(name, registry=registry)
        if overrides or size not in ("full", trained.variant.size):
            raise ConfigError(
                f"{name}: pretrained at size {trained.variant.size!r}, which has no other settings; leave out size and overrides"
            )
        return trained.model
    return build(default_registry(registry).variant(name, size=size, overrides=overrides), seed=seed)


def load_run(path: str | Path, *, device: str | torch.device = "cpu", registry: Files = ()) -> TrainedModel:
    """Loads the best checkpoint of a run's folder, or the checkpoint or the shipped weights that ``path`` names.

    The returned object has the ``model`` in evaluation mode, its ``variant``, and ``schedule``: the schedule values of
    evaluation (sigma, beta, temperature) that ``model(batch, run.schedule, num_context)`` takes. Its
    ``predict(scene, cameras)`` predicts views of a ``zoo.Scene``.

    Args:
        path: folder of a run, of a checkpoint or of weights with a card; or a name of ``gqn-zoo list --pretrained``.
        device: where the model goes.
        registry: further registry files, for a variant whose components lie beside its registry file.

    Raises:
        zoo.errors.CheckpointError, zoo.errors.ConfigError: if something is missing or damaged.
    """
    from zoo.registry.registry import default_registry
    from zoo.training.trained_model import load_trained

    return load_trained(Path(path), device=device, registry=default_registry(registry))


def load_model(path: str | Path, *, device: str | torch.device = "cpu", registry: Files = ()) -> SceneModel:
    """Loads the model of a run, ready for evaluation; as ``load_run(path).model``."""
    return load_run(path, device=device, registry=registry).model


def render_scene(
    factors: Mapping[str, Any], cameras: np.ndarray, *, image_size: int = 64, device: str | torch.device = "cpu"
) -> np.ndarray:
    """Renders a scene of a built-in data set from its factors.

    Args:
        factors: a factor document; :meth:`zoo.data.store.SceneStore.read_factors` reads those of a store.
        cameras: [V, 5]: x, y, z in scene units, yaw and pitch in radians.
        image_size: height and width, pixels.
        device: where to render.

    Returns:
        frames [V, H, W, 3] uint8; with the cameras of a store its images, bit for bit.

    Raises:
        zoo.errors.DataError: if factors, cameras or size are not valid.
    """
    from zoo.data.scene import render_scene as render

    return render(factors, cameras, image_size=image_size, device=device)
