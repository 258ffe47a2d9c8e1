"""Options of a training run that do not decide its weights, and how it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.data.loader import Residence
from zoo.data.worker_batches import Workers
from zoo.errors import ConfigError
from zoo.model.scene_model import CompileMode
from zoo.training.trackers import TENSORBOARD, check_trackers


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a run is executed; except for rounding, nothing here changes the weights it ends with. Intervals are in steps."""

    compile: bool = False  # as one graph
    compile_mode: CompileMode = "default"  # of ``torch.compile``; the others use CUDA graphs
    recompute: bool = False  # activations in the backward pass: less memory, more time
    workers: Workers = "auto"  # processes that read scenes; 0 reads in the training process
    residence: Residence = "auto"  # where the scenes are kept
    log_interval: int = 50
    validation_interval: int = 1000
    validation_scenes: int = 256
    prediction_scenes: int = 4  # whose predictions are drawn at every validation, if they are images; 0: none
    save_interval: int = 1000
    keep_last: int = 2  # newest checkpoints
    keep_every: int = 0  # also keeps the checkpoint of every multiple of this step; 0: none
    log_with: tuple[str, ...] = (TENSORBOARD,)  # names of accelerate's trackers, beside ``metrics.jsonl``

    def __post_init__(self) -> None:
        positive = ("log_interval", "validation_interval", "validation_scenes", "save_interval", "keep_last")
        for name in (*positive, "keep_every", "prediction_scenes"):
            if getattr(self, name) < (name in positive):
                least = "at least 1" if name in positive else "0 or more"
                raise ConfigError(f"{name}: found {getattr(self, name)}, expected {least}")
        check_trackers(self.log_with)

    @property
    def uses_cuda_graphs(self) -> bool:
        """Whether the next pass overwrites the memory of the gradients, as CUDA graphs do."""
        return self.compile and self.compile_mode != "default"


@dataclass(frozen=True, kw_only=True)
class ResumeOptions:
    """Where a run starts."""

    mode: str = "never"  # an existing run is an error; "auto": its newest intact checkpoint, if any; or a path
    init_from: Path | None = None  # a run, checkpoint or shipped name: the new run starts with its weights alone
    allow_config_change: bool = False  # resumes although the configuration differs from that of the checkpoint
