"""How a training run is carried out, apart from what decides its weights."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.data.loader import Residence, Workers
from zoo.errors import ConfigError
from zoo.model.scene_model import CompileMode


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a run is carried out: nothing here changes which weights it ends with (but for rounding).

    Attributes:
        compile: trains a model that is compiled as one graph.
        compile_mode: what the compiler takes its time for: nothing but fused kernels (``default``), CUDA graphs as well,
            so that a step costs the host a few launches (``reduce-overhead``), the choice of every kernel by trial too
            (``max-autotune``).
        recompute: computes activations again in the backward pass instead of keeping them: less memory, more time.
        workers: processes that read scenes; 0 reads in the training process, ``auto`` goes by device and cores.
        residence: where scenes lie.
        log_interval: steps between figures.
        validation_interval: steps between validations.
        validation_scenes: scenes of a validation.
        save_interval: steps between checkpoints.
        keep_last: newest checkpoints that are kept.
        keep_every: the checkpoint of every so many steps is kept too; 0: none of those.
    """

    compile: bool = False
    compile_mode: CompileMode = "default"
    recompute: bool = False
    workers: Workers = "auto"
    residence: Residence = "auto"
    log_interval: int = 50
    validation_interval: int = 1000
    validation_scenes: int = 256
    save_interval: int = 1000
    keep_last: int = 2
    keep_every: int = 0

    def __post_init__(self) -> None:
        for name in ("log_interval", "validation_interval", "validation_scenes", "save_interval", "keep_last"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: found {getattr(self, name)}, expected at least 1")
        if self.keep_every < 0:
            raise ConfigError(f"keep_every: found {self.keep_every}, expected 0 or more")

    @property
    def records_graphs(self) -> bool:
        """Whether gradients lie in memory that the next pass writes to again, as those of CUDA graphs do."""
        return self.compile and self.compile_mode != "default"
