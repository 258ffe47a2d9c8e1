"""One training step: forward and backward passes, gradient norm, Adam, weight average."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from zoo.config.recipe import TrainingRecipe
from zoo.config.schedules import schedule_values_at, value_at
from zoo.data.plan import LoadedBatch
from zoo.episode import ElboTerms
from zoo.errors import ConfigError, NonFiniteError
from zoo.model.scene_model import SceneModel
from zoo.training.options import TrainingOptions


class NonFiniteCheck:
    """Whether the loss and the gradient of a step were finite: computed on the device, read on the host later."""

    def __init__(self, *, step: int, fault: Tensor, norm: Tensor, terms: Tensor, scenes: Tensor) -> None:
        """Starts the copy of ``fault`` (0-d, 0 if the update is made) to the host.

        ``norm`` (0-d) is that of the whole gradient, ``terms`` [7, B] are those of the ELBO of ``scenes`` [B].
        """
        self.step, self.norm, self.terms, self.scenes = step, norm, ElboTerms(*terms), scenes
        self._fault = fault.to("cpu", non_blocking=fault.is_cuda)  # into pinned memory then
        self._arrived = torch.cuda.Event() if fault.is_cuda else None
        if self._arrived is not None:
            self._arrived.record()

    def raise_if_set(self, *, checkpoints: Path) -> None:
        """Waits for the copy; raises NonFiniteError with step and scenes if the update was skipped."""
        if self._arrived is not None:
            self._arrived.synchronize()
        if float(self._fault) == 0:
            return
        terms = self.terms
        bad = self.scenes[~torch.isfinite(terms.training_loss)].tolist()
        where = f"scenes {bad[:8]}" if bad else "no scene of this process (only the gradient)"
        raise NonFiniteError(
            f"step {self.step}: the loss or its gradient is not finite; the update was not made. Not finite: {where}; "
            f"log-likelihood {terms.log_likelihood.mean().item():.6g}, KL {terms.kl.mean().item():.6g} nats, gradient norm "
            f"{float(self.norm):.6g}. Look at training.learning_rate, training.gradient_clip (try 100), "
            f"training.mixed_precision (try no) and at the images of those scenes; the checkpoints in {checkpoints} are "
            "unchanged"
        )


class TrainStep:
    """Minimises the mean over scenes of the recipe's objective per target by Adam, distributed over processes by accelerate.

    A step whose loss or gradient is not finite changes neither weights nor moments: the device itself skips the update.
    On a CPU the error is raised at once; on other devices with the next step, before that one's update, so that the host
    can launch the next passes while the device works.
    """

    def __init__(
        self,
        model: SceneModel,
        *,
        recipe: TrainingRecipe,
        seed: int,
        accelerator: Accelerator,
        options: TrainingOptions,
        checkpoints: Path,
    ) -> None:
        """Raises ConfigError if activations are to be recomputed by a model that does not support it."""
        self.recipe, self.seed, self.accelerator = recipe, seed, accelerator
        self.checkpoints = checkpoints
        self.deferred = accelerator.device.type != "cpu"  # whether a step's check is read with the next one
        if not model.recompute_activations(options.recompute) and options.recompute:
            raise ConfigError(
                f"--recompute: {type(model.core).__name__} with {type(model.encoder).__name__} has no steps whose "
                "activations could be recomputed; train without it"
            )
        model.to_device(accelerator.device)
        # The averaged copy is made before DistributedDataParallel wraps the model.
        self.average = AveragedModel(model) if recipe.ema_decay else None
        self.model = model
        self.evaluated_model = model if self.average is None else cast(SceneModel, self.average.module)
        self.wrapped, self.optimizer = accelerator.prepare(model, make_optimizer(model, recipe))
        if options.compile:
            self.model.compile_training(options.compile_mode)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        # CUDA graphs overwrite their gradients in the next pass; those of several passes are accumulated in own memory.
        self._keeps_gradients = options.uses_cuda_graphs and recipe.gradient_accumulation > 1
        if self._keeps_gradients:
            for parameter in self._parameters:
                parameter.grad = torch.zeros_like(parameter)
        self._pending: NonFiniteCheck | None = None

    def run(self, step: int, batches: Iterator[LoadedBatch]) -> Callable[[], dict[str, float]]:
        """Runs one step and returns a function that returns its metrics, which waits for the device.

        Raises:
            NonFiniteError: if something is not finite in this step (on a CPU) or was in the one before.
        """
        learning_rate = value_at(self.recipe.learning_rate, step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        # What still draws from torch's own generator (dropout in a backbone) follows from seed and step as well.
        torch.manual_seed(hash((self.seed, step, self.accelerator.process_index)) % 2**63)
        terms, scenes = self._backward(step, batches)
        if self.recipe.gradient_clip is None:
            self.accelerator.unscale_gradients(self.optimizer)
            norm = nn.utils.get_total_norm([each.grad for each in self._parameters if each.grad is not None])
        else:
            norm = self.accelerator.clip_grad_norm_(self._parameters, self.recipe.gradient_clip)
        fault = self._fault(terms, norm)
        self.synchronize()
        if self.recipe.mixed_precision != "fp16":
            # Fused Adam reads on the device whether to skip the update.
            self.optimizer.optimizer.found_inf = fault
        self.optimizer.step()
        check = self._pending = NonFiniteCheck(step=step, fault=fault, norm=norm, terms=terms, scenes=scenes)
        if not self.deferred:
            self.synchronize()
        self.optimizer.zero_grad(set_to_none=not self._keeps_gradients)

        def metrics() -> dict[str, float]:
            terms = check.terms
            per_scene = torch.stack([terms.nelbo(), terms.excess(), terms.kl, terms.log_likelihood]) / terms.num_targets
            means = self.accelerator.reduce(per_scene.double().mean(dim=1), reduction="mean").tolist()
            names = ("train/nelbo", "train/nelbo_excess", "train/kl", "train/log_likelihood")
            return {
                **dict(zip(names, means, strict=True)),
                "train/gradient_norm": float(norm),
                "train/learning_rate": learning_rate,
                "train/sigma": value_at(self.recipe.sigma, step),
                "train/beta": value_at(self.recipe.beta, step),
            }

        return metrics

    def synchronize(self) -> None:
        """Reads the check of the last step and updates the average; raises NonFiniteError if it was skipped."""
        if self._pending is None:
            return
        check, self._pending = self._pending, None
        check.raise_if_set(checkpoints=self.checkpoints)
        if self.average is not None:
            move_average(self.average, self.model, decay=self.recipe.ema_decay, step=check.step)

    def _backward(self, step: int, batches: Iterator[LoadedBatch]) -> tuple[Tensor, Tensor]:
        """Accumulates the gradient of a step; returns the terms of the ELBO [7, B] and the scenes [B]."""
        schedule = schedule_values_at(self.recipe, step, device=self.accelerator.device)
        count = self.recipe.gradient_accumulation
        terms: list[Tensor] = []
        scenes: list[Tensor] = []
        for index, (batch, num_context) in enumerate(islice(batches, count)):
            with nullcontext() if index == count - 1 else self.accelerator.no_sync(self.wrapped):
                with self.accelerator.autocast():
                    found = self.wrapped(batch, schedule, num_context)
                loss = found.loss()
                self.accelerator.backward(loss / count)
            # A copy: a CUDA graph writes its next terms over these.
            terms.append(torch.stack([field.detach() for field in found]))
            scenes.append(batch.scene)
        return (terms[0], scenes[0]) if count == 1 else (torch.cat(terms, dim=1), torch.cat(scenes))

    def _fault(self, terms: Tensor, norm: Tensor) -> Tensor:
        """Returns 0 if everything is finite on all processes, else 1, 0-d float32."""
        # A clamped or masked density can be infinite although its gradient is finite.
        fault = (~torch.isfinite(ElboTerms(*terms).training_loss)).any().float()
        # Under fp16 single overflowing gradients are expected; accelerate's scaler skips those updates by itself.
        if self.recipe.mixed_precision != "fp16":
            fault = torch.maximum(fault, (~torch.isfinite(norm)).float())
        found: Tensor = self.accelerator.reduce(fault, reduction="sum")
        return found.clamp(max=1.0)


def make_optimizer(model: nn.Module, recipe: TrainingRecipe) -> torch.optim.Adam:
    """Makes a fused Adam, or AdamW if there is weight decay, over the trainable parameters of a model."""
    settings = recipe.optimizer
    return (torch.optim.AdamW if settings.weight_decay else torch.optim.Adam)(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=recipe.learning_rate.start,
        betas=(settings.betas[0], settings.betas[1]),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        # On a CPU too: 17 against 109 ms for 15 million weights on one core.
        fused=True,
    )


@torch.no_grad()
def move_average(average: AveragedModel, model: nn.Module, *, decay: float, step: int) -> None:
    """Updates an exponential moving average of weights: average = decay * average + (1 - decay) * weights.

    Step 0 copies the weights. The decay is at most (1 + step) / (10 + step): an average over more steps than there were
    would hold the initial weights. (``AveragedModel`` counts by itself, and reading its counter waits for the device.)
    """
    kept = min(decay, (1 + step) / (10 + step)) if step else 0.0
    ours, theirs = ([parameter.detach() for parameter in each.parameters()] for each in (average.module, model))
    torch._foreach_lerp_(ours, theirs, 1.0 - kept)
    for held, current in zip(average.module.buffers(), model.buffers(), strict=True):
        held.copy_(current)
    average.n_averaged.add_(1)
