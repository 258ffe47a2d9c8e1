"""Data types of all levels: scenes, episodes, schedule values and the terms of the ELBO.

Shape legend of all files:

====  ==============================================================================================================
B     scenes in a batch
N     context views of a scene (0 is allowed)
Q     queries of a scene, K in the papers; every query has one target
V     views of a scene in a batch: context views, then target views, V = N + Q
S     samples per query
L     groups of latents (steps of a recurrent core)
C     channels; H, W height and width in pixels; h, w height and width of a feature map
P     width of a pose, a query or an input: 7 for (x, y, z, cos yaw, sin yaw, cos pitch, sin pitch)
====  ==============================================================================================================

All types are NamedTuples because data loaders, DistributedDataParallel, mixed precision and ``accelerate.gather`` look
inside of tuples, but not of dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor


class SceneBatch(NamedTuple):
    """Images of B scenes as stored on disk, with their cameras."""

    frames: Tensor  # [B, V, H, W, 3] uint8; H = W = 0 for data without images
    cameras: Tensor  # [B, V, 5] float32: x, y, z, yaw, pitch (see zoo.data.camera)
    scene: Tensor  # [B] int64: index of the scene in its split
    key: Tensor  # [B] int64: seed of all random numbers of this scene (see zoo.nn.noise)
    extras: Mapping[str, Tensor] = {}  # name -> [B, V, ...] per view or [B, ...] per scene; never changed in place

    def apply(self, change: Callable[[Tensor], Tensor]) -> SceneBatch:
        """Returns the batch with a function applied to every tensor, for example a move to a device."""
        frames, cameras, scene, key = (change(field) for field in self[:4])
        return SceneBatch(frames, cameras, scene, key, {name: change(extra) for name, extra in self.extras.items()})


class Views(NamedTuple):
    """A set of observations per scene. N and widths may be 0; a field is never None."""

    values: Tensor  # [B, N, ...]: images (float, 0 to 1), UTF-8 bytes of captions, or values
    poses: Tensor  # [B, N, P]: poses or inputs
    mask: Tensor  # [B, N] bool: False is padding


class Episode(NamedTuple):
    """One conditional prediction problem per scene: the targets at the queries, given the context."""

    context: Views
    query: Tensor  # [B, Q, ...]: poses [P], inputs [P] or images [C, H, W]
    target: Tensor  # [B, Q, C, H, W]; H = W = 1 for poses and values
    target_views: Views  # the targets as views, for q(z | context, targets)
    key: Tensor  # [B] int64: seed of the latent noise


class ScheduleValues(NamedTuple):
    """Scheduled values as 0-d tensors, so that annealing does not recompile a graph."""

    beta: Tensor  # weight of the KL in the loss; 1 at evaluation
    sigma: Tensor  # standard deviation of a pixel under the annealed Gaussian likelihood, in units of the 0-to-1 range
    temperature: Tensor  # scale of the prior's standard deviation when sampling; 1 in training and evaluation


class CoreOutput(NamedTuple):
    """The output of a latent core."""

    prediction: Tensor  # [B, Q, C', H, W]: parameters of the likelihood
    kl: Tensor  # [B, ...]: analytic KL(q || p), nats; the model sums all axes after B
    log_ratio: Tensor  # [B]: log q(z) - log p(z) at the sampled z, nats


class ElboTerms(NamedTuple):
    """The terms of the ELBO of every scene, before averages. Every field is [B]; nats."""

    log_likelihood: Tensor  # log p(targets | z, ...), summed over the targets of the scene
    kl: Tensor  # KL(q || p), summed over the latents of the scene
    log_ratio: Tensor  # log q(z) - log p(z) at the sample, for importance-weighted bounds
    num_targets: Tensor  # Q
    target_dims: Tensor  # numbers in one target, 3 * 64 * 64 for example
    floor: Tensor  # least NELBO that the likelihood allows, summed over the targets
    training_loss: Tensor  # what training minimises, summed over the targets: NELBO(beta), or another objective's bound

    def nelbo(self) -> Tensor:
        """Returns -(log-likelihood) + KL, [B], nats for all targets of a scene together."""
        return self.kl - self.log_likelihood

    def loss(self) -> Tensor:
        """Returns the training loss per target averaged over scenes: a 0-d tensor, nats."""
        return (self.training_loss / self.num_targets).mean()

    def excess(self) -> Tensor:
        """Returns the NELBO at beta 1 above its floor, [B], nats for all targets of a scene together."""
        return self.nelbo() - self.floor
