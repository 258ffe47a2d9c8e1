"""What flows through the house: scenes, episodes, schedule values and the terms of the ELBO.

Shape legend, used in every file:

====  ==============================================================================================================
B     scenes in a batch
N     context views of a scene (0 is allowed)
Q     queries of a scene, K in the papers; a target belongs to every query
V     views of a scene in a batch: the context views come first, then the queried ones, V = N + Q
S     samples drawn for one query
L     groups of latents (steps of a recurrent core)
C     channels; H, W height and width in pixels; h, w height and width of a feature map
P     width of a pose, a query or an input: 7 for (x, y, z, cos yaw, sin yaw, cos pitch, sin pitch)
====  ==============================================================================================================

Everything is a NamedTuple: those pass through data loaders, DistributedDataParallel, mixed precision and
``accelerate.gather`` unchanged, which dataclasses do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor


class SceneBatch(NamedTuple):
    """Images of B scenes as they lie on disk, with the cameras that took them."""

    frames: Tensor  # [B, V, H, W, 3] uint8; H = W = 0 for data without images
    cameras: Tensor  # [B, V, 5] float32: x, y, z, yaw, pitch (see zoo.data.camera)
    scene: Tensor  # [B] int64: which scene of the split
    key: Tensor  # [B] int64: the seed of every random number drawn for this scene (see zoo.nn.noise)
    extras: Mapping[str, Tensor] = {}  # name -> [B, V, ...] of views or [B, ...] of scenes; never changed in place

    def apply(self, change: Callable[[Tensor], Tensor]) -> SceneBatch:
        """Returns the batch with every tensor changed, for example moved to a device."""
        frames, cameras, scene, key = (change(field) for field in self[:4])
        return SceneBatch(frames, cameras, scene, key, {name: change(extra) for name, extra in self.extras.items()})


class Views(NamedTuple):
    """A set of observations of every scene. N may be 0; widths may be 0; a field is never None."""

    values: Tensor  # [B, N, ...]: a image (float, 0 to 1), the UTF-8 bytes of a caption, a value
    poses: Tensor  # [B, N, P]: pose or input
    mask: Tensor  # [B, N] bool: False is padding


class Episode(NamedTuple):
    """One conditional modelling problem a scene: predict the targets at the queries from the context."""

    context: Views
    query: Tensor  # [B, Q, ...]: what a target is conditioned on: a pose [P], an input [P], a image [C, H, W]
    target: Tensor  # [B, Q, C, H, W]: what is scored; H = W = 1 for poses and values
    target_views: Views  # the targets as views, for q(z | context, targets)
    key: Tensor  # [B] int64: the seed of the latent noise of every scene


class ScheduleValues(NamedTuple):
    """The values that schedules turn, as 0-d tensors, so that annealing does not recompile a graph."""

    beta: Tensor  # weight of the KL in the loss; 1 at evaluation
    sigma: Tensor  # standard deviation of a pixel under the annealed Gaussian likelihood, in units of the 0-to-1 range
    temperature: Tensor  # scale of the prior's standard deviation when sampling; 1 in training and evaluation


class CoreOutput(NamedTuple):
    """What a latent core returns from its forward pass."""

    prediction: Tensor  # [B, Q, ...]: parameters of the likelihood
    kl: Tensor  # [B, ...]: analytic KL(q || p), nats; everything after B is summed by the model
    log_ratio: Tensor  # [B]: log q(z) - log p(z) at the sampled z, nats


class ElboTerms(NamedTuple):
    """The ELBO of every scene in its parts, before beta and before any average. Every field is [B], nats."""

    log_likelihood: Tensor  # log p(targets | z, ...), summed over the targets of the scene
    kl: Tensor  # KL(q || p), summed over all latents of the scene
    log_ratio: Tensor  # log q(z) - log p(z) at the sample: the summand of the importance-weighted bound
    num_targets: Tensor  # Q
    target_dims: Tensor  # numbers in one target, for example 3 * 64 * 64
    floor: Tensor  # the least NELBO that the likelihood allows, summed over the targets

    def nelbo(self, beta: Tensor | float = 1.0) -> Tensor:
        """Returns -(log-likelihood) + beta * KL, [B], nats for all targets of a scene together."""
        return beta * self.kl - self.log_likelihood

    def loss(self, beta: Tensor | float = 1.0) -> Tensor:
        """Returns the training loss, the NELBO per target averaged over scenes: a 0-d tensor, nats."""
        return (self.nelbo(beta) / self.num_targets).mean()

    def excess(self) -> Tensor:
        """Returns the NELBO at beta 1 above its floor, [B], nats for all targets of a scene together."""
        return self.nelbo() - self.floor
