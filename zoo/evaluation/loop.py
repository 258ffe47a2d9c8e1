"""The evaluation loop: the scenes of a plan once, in order, in evaluation mode, one number per scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data.plan import BatchPlan, assemble, to_device
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch, ScheduleValues
from zoo.nn.noise import scene_keys

Progress = Callable[[int, int], None]  # scenes done, scenes in all
NOISE_SEED = 0x5EED  # the noise of a scene depends neither on the batch size nor on the number of processes


class EpisodePlan(Protocol):
    """The episodes of ``num_scenes`` scenes; ``zoo.data.plan.EvaluationPlan`` is one."""

    @property
    def num_scenes(self) -> int:
        """Returns how many scenes there are."""

    def __call__(self, scenes: np.ndarray) -> BatchPlan:
        """Returns the episodes of some scenes, [B] int64 below ``num_scenes``."""


class EvaluationBatch(NamedTuple):
    """One batch of an evaluation."""

    scenes: np.ndarray  # [B] int64
    batch: SceneBatch
    num_context: int


Score = Callable[[EvaluationBatch], Mapping[str, Tensor]]


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts a model into evaluation mode without gradients, and restores its mode at the end of the block."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def batch_of(
    frames: np.ndarray,
    cameras: np.ndarray,
    *,
    device: torch.device | str,
    seed: int = 0,
    extras: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> SceneBatch:
    """Returns views as a batch: frames [B, V, H, W, 3] uint8, cameras [B, V, 5]; ``seed`` is that of the latents' noise."""
    places = torch.arange(len(frames))
    batch = SceneBatch(
        frames=torch.from_numpy(np.ascontiguousarray(frames)),
        cameras=torch.from_numpy(np.ascontiguousarray(cameras, np.float32)),
        scene=places,
        key=scene_keys(seed=seed, step=0, places=places),
        extras={name: torch.from_numpy(values) for name, values in extras.items()},
    )
    return to_device(batch, device)


@dataclass(frozen=True)
class Evaluation:
    """The episodes on which models are scored, and the conditions.

    Attributes:
        source: where the images are.
        plan: which views are context and targets.
        schedule: the values of evaluation (``zoo.config.schedules.evaluation_schedule_values``), on the model's device.
        batch_size: scenes at once; changes the memory needed, not the numbers. The last batch may be shorter.
        scenes: [n] int64, which scenes; None: all of the plan.
        shift: 0 gives every scene its own context; k gives it the context views of the scene k places later.
        progress: called with the scenes done and the scenes in all.
    """

    source: SceneSource
    plan: EpisodePlan
    _: KW_ONLY
    schedule: ScheduleValues
    batch_size: int
    scenes: np.ndarray | None = None
    shift: int = 0
    progress: Progress | None = None

    @property
    def device(self) -> torch.device:
        """The device of the schedule values, to which batches are moved."""
        return self.schedule.sigma.device

    @property
    def chosen_scenes(self) -> np.ndarray:
        """The scenes that are scored, in order, [n] int64."""
        return np.arange(self.plan.num_scenes) if self.scenes is None else self.scenes

    def batches(self) -> Iterator[EvaluationBatch]:
        """Yields the episodes of the scenes in order, and reports the progress after each batch."""
        scenes = self.chosen_scenes
        for start in range(0, len(scenes), self.batch_size):
            chosen = scenes[start : start + self.batch_size]
            plan = self.plan(chosen)
            batch = assemble(self.source, plan, seed=NOISE_SEED, step=0)
            if self.shift:
                elsewhere = self.plan((chosen + self.shift) % self.plan.num_scenes)
                other = assemble(self.source, elsewhere, seed=NOISE_SEED, step=0)
                batch = self._with_context(batch, other, num_context=plan.num_context)
            yield EvaluationBatch(chosen, to_device(batch, self.device), plan.num_context)
            if self.progress:
                self.progress(start + len(chosen), len(scenes))

    def score(self, score: Score, *, model: nn.Module | None) -> dict[str, np.ndarray]:
        """Scores batches of B scenes by tensors [B, ...], with ``model``, if there is one, in evaluation mode.

        Returns:
            Arrays [n, ...] in the order of the scenes; empty if there is no scene.
        """
        found: dict[str, list[np.ndarray]] = {}
        with nullcontext() if model is None else evaluation_mode(model):
            for part in self.batches():
                for name, values in score(part).items():
                    found.setdefault(name, []).append(values.cpu().numpy())
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _with_context(self, batch: SceneBatch, other: SceneBatch, *, num_context: int) -> SceneBatch:
        """Replaces the context views of a batch by those of another one."""

        def swapped(own: Tensor, others: Tensor) -> Tensor:
            return torch.cat([others[:, :num_context], own[:, num_context:]], dim=1)

        extras = {
            name: swapped(batch.extras[name], other.extras[name]) if extra.per_view else batch.extras[name]
            for name, extra in self.source.extras.items()
        }
        return batch._replace(
            frames=swapped(batch.frames, other.frames), cameras=swapped(batch.cameras, other.cameras), extras=extras
        )
