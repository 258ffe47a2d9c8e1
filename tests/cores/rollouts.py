"""Rollouts of cores with latents of a query, for tests that give one argument after the other."""

import torch

from zoo.model.interfaces import Representation
from zoo.model.query_latents import RolloutInputs


def rollout(core, scene, query, keys, *, target, source, schedule, poses=None):
    """Runs the core for encoded scenes, or for pooled representations [B, C, h, w]."""
    if isinstance(scene, torch.Tensor):
        scene = Representation(pooled=scene, per_view=scene[:, None], mask=torch.ones(len(scene), 1, dtype=torch.bool))
    return core.rollout(
        RolloutInputs(
            scene=scene,
            poses=poses,
            query=query,
            keys=keys,
            target=target,
            source=source,
            temperature=schedule.temperature,
        )
    )
