"""Whether an update was made: found out on the device, read on the host when that no longer keeps anybody waiting."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zoo.episode import ElboTerms
from zoo.errors import NonFiniteError


class NonFiniteCheck:
    """What is known of one update as soon as its gradient is, on a device that may not have got so far."""

    def __init__(self, *, step: int, fault: Tensor, norm: Tensor, terms: Tensor, scenes: Tensor) -> None:
        """Sends the verdict on its way to the host.

        Args:
            step: of the update; 0 is the first.
            fault: 0-d, 0 if the update is made, anything else if something is not finite and it is not.
            norm: 0-d, of the whole gradient.
            terms: the terms of the ELBO, [6, B].
            scenes: [B] int64.
        """
        self.step, self.norm, self.scenes = step, norm, scenes
        self._terms = terms
        self._fault = fault.to("cpu", non_blocking=fault.is_cuda)  # into pinned memory then
        self._arrived = torch.cuda.Event() if fault.is_cuda else None
        if self._arrived is not None:
            self._arrived.record()

    @property
    def terms(self) -> ElboTerms:
        """The terms of the ELBO of all scenes of the update."""
        return ElboTerms(*self._terms)

    def raise_if_set(self, *, checkpoints: Path) -> None:
        """Waits until the verdict is there.

        Raises:
            NonFiniteError: if the update was not made, naming step and scenes.
        """
        if self._arrived is not None:
            self._arrived.synchronize()
        if float(self._fault) == 0:
            return
        terms = self.terms
        bad = ~torch.isfinite(terms.nelbo())
        where = (
            f"scenes {self.scenes[bad].tolist()[:8]}"
            if bool(bad.any())
            else "no scene of this process (only the gradient)"
        )
        raise NonFiniteError(
            f"step {self.step}: the loss or its gradient is not finite; the update was not made. Not finite: {where}; "
            f"log-likelihood {terms.log_likelihood.mean().item():.6g}, KL {terms.kl.mean().item():.6g} nats, gradient norm "
            f"{float(self.norm):.6g}. Look at training.learning_rate, training.gradient_clip (try 100), "
            f"training.mixed_precision (try no) and at the images of those scenes; the checkpoints in {checkpoints} are "
            "untouched"
        )
