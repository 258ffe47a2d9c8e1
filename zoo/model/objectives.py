"""Objectives of training: the ELBO with free bits, the importance-weighted bound, maximum likelihood under the prior."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from zoo.episode import CoreOutput, ElboTerms, Episode, ScheduleValues, Views
from zoo.model.interfaces import Encode, Representation
from zoo.nn.noise import sample_keys, scene_sample_keys

if TYPE_CHECKING:
    from zoo.model.scene_model import SceneModel


class Objective(NamedTuple):
    """What training maximises; the settings of :class:`zoo.config.recipe.TrainingRecipe`."""

    kind: Literal["elbo", "importance_weighted", "maximum_likelihood"] = "elbo"
    num_samples: int = 1  # K, of the posterior or of the prior
    free_bits: float = 0.0  # nats per target, of the ELBO


ELBO = Objective()


def training_terms(model: SceneModel, episode: Episode, schedule: ScheduleValues) -> ElboTerms:
    """Returns the terms of episodes, [B], whose ``training_loss`` is that of the model's objective."""
    terms_of = {"elbo": _elbo, "importance_weighted": _importance_weighted, "maximum_likelihood": _maximum_likelihood}
    return terms_of[model.objective.kind](model, episode, schedule)


def _elbo(model: SceneModel, episode: Episode, schedule: ScheduleValues) -> ElboTerms:
    """The ELBO, with max(KL, free bits) of the latents of every query, or of those of the scene, in the loss.

    Equation 15 of Kingma et al. 2016 takes the maximum of the KL's mean over a minibatch; here every scene has its own,
    so that the loss does not depend on how a batch is divided among processes and accumulations.
    """
    output = model.core(episode, model.encoder, schedule)
    terms = model.elbo_terms(output, episode, schedule)
    if not model.objective.free_bits:
        return terms
    batch, targets = episode.target.shape[:2]
    sets = targets if model.core.latents == "query" else 1
    kl = output.kl.reshape(batch, sets, -1).sum(2).clamp(min=model.objective.free_bits * targets / sets)
    return terms._replace(training_loss=schedule.beta * kl.sum(1) - terms.log_likelihood)


def _importance_weighted(model: SceneModel, episode: Episode, schedule: ScheduleValues) -> ElboTerms:
    """The bound of Burda et al. 2016 (equation 8): log (1/K sum_k w_k), log w_k = log p(x | z_k) - beta log q(z_k) / p(z_k).

    With latents of each query the targets are independent given the context, and every one has weights of its own. The
    other terms are means over the samples. K = 1 is the ELBO with the sampled log-ratio.

    The gradient is that of this expression. The doubly reparameterised one (Tucker et al. 2018) would need log q with
    the posterior's weights held fixed but not the latents that it depends on, which the posteriors of most cores here do
    from group to group, and the latents' gradients scaled by weights that are known only after the likelihood.
    """
    repeated, encode = _repeat(model, episode, count=model.objective.num_samples)
    terms = model.score(repeated, schedule, encode=encode)
    # [B, Q, K] with latents of each query, [B, 1, K] with those of a scene.
    grouped = ElboTerms(*(field.view(len(episode.key), -1, model.objective.num_samples) for field in terms))
    bounds = _log_mean_exp(grouped.log_likelihood - schedule.beta * grouped.log_ratio, dim=2)
    means = ElboTerms(*(field.mean(2).sum(1) for field in grouped))
    return means._replace(target_dims=grouped.target_dims[:, 0, 0], training_loss=-bounds.sum(1))


def _repeat(model: SceneModel, episode: Episode, *, count: int) -> tuple[Episode, Encode]:
    """Returns episodes with ``count`` adjacent copies of every scene, and an encoder that encodes equal views once.

    With latents of each query every target becomes a scene of its own. Every copy has its own latent noise.
    """
    batch, targets = episode.target.shape[:2]
    scenes, keys = batch, scene_sample_keys(episode.key, num_samples=count)
    if model.core.latents == "query":
        scenes, keys = batch * targets, sample_keys(keys, num_samples=count, num_queries=targets).transpose(1, 2)

    def copied(field: Tensor) -> Tensor:
        return field.repeat_interleave(count, dim=0)

    def shared(field: Tensor) -> Tensor:
        return field.repeat_interleave(scenes // batch * count, dim=0)

    def own(field: Tensor) -> Tensor:
        return copied(field.reshape(scenes, -1, *field.shape[2:]))

    repeated = Episode(
        context=Views(*map(shared, episode.context)),
        query=own(episode.query),
        target=own(episode.target),
        target_views=Views(*map(own, episode.target_views)),
        key=keys.reshape(-1),
    )

    def encode(views: Views) -> Representation:
        if views.values is repeated.context.values:
            return Representation(*map(shared, model.encoder(episode.context)))
        return Representation(*map(copied, model.encoder(Views(*(field[::count] for field in views)))))

    return repeated, encode


def _maximum_likelihood(model: SceneModel, episode: Episode, schedule: ScheduleValues) -> ElboTerms:
    """Log (1/K sum_k p(targets | z_k)), z_k ~ p(z | context) (Foong et al. 2020, the objective of the ConvNP).

    The terms have this as their log-likelihood and no KL: the posterior is not used.
    """
    samples, (batch, targets) = model.objective.num_samples, episode.target.shape[:2]
    parameters = model.core.predict(
        episode.context, episode.query, episode.key, encode=model.encoder, schedule=schedule, num_samples=samples
    )
    truth = episode.target.expand(samples, *episode.target.shape).flatten(0, 1)
    each = model.likelihood.log_prob(parameters.flatten(0, 1), truth, schedule).view(samples, batch, targets)
    # Latents of a scene are shared by its targets, which are independent only given those.
    joint = each.sum(2, keepdim=True) if model.core.latents == "scene" else each
    nothing = each.new_zeros(batch)
    output = CoreOutput(prediction=parameters[0], kl=nothing, log_ratio=nothing)
    log_likelihood = _log_mean_exp(joint, dim=0).sum(1)
    return model.elbo_terms(output, episode, schedule)._replace(
        log_likelihood=log_likelihood, training_loss=-log_likelihood
    )


def _log_mean_exp(values: Tensor, *, dim: int) -> Tensor:
    return torch.logsumexp(values, dim=dim) - math.log(values.shape[dim])
