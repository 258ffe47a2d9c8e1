"""Bounds on the log-likelihood of a scene's targets, the ELBO and importance-weighted bounds, at fixed sigma and beta 1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from zoo.episode import ElboTerms, Episode, ScheduleValues, Views
from zoo.errors import ConfigError
from zoo.evaluation.images import image_errors
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.likelihoods.discretised_logistic import bits_per_dim
from zoo.model.interfaces import Encode
from zoo.model.objectives import training_terms
from zoo.model.scene_model import SceneModel, cached_encoder
from zoo.nn.noise import fold


class ElboScores(NamedTuple):
    """The ELBO and its parts, nats per target; every field is [B] float64."""

    nelbo: Tensor
    nelbo_excess: Tensor
    log_likelihood: Tensor
    kl: Tensor
    floor: Tensor


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is scored beside the ELBO.

    Attributes:
        importance_samples: the K of every importance-weighted bound (Burda et al. 2016).
        separate: also scores the targets of a scene one by one, if there are several.
        reconstruction: compares the images of the posterior with the targets.
        objective: also scores what the model is trained by, if that is not the ELBO.
        code_schedule: schedule values with a fitted sigma, at which the code length of 8-bit images is measured.
    """

    importance_samples: tuple[int, ...] = ()
    separate: bool = False
    reconstruction: bool = False
    objective: bool = False
    code_schedule: ScheduleValues | None = None

    def __post_init__(self) -> None:
        for number in self.importance_samples:
            if number < 1:
                raise ConfigError(f"importance samples: found {number}, expected 1 or more")


ELBO_ALONE = Bounds()


def score_scenes(
    model: SceneModel, evaluation: Evaluation, *, bounds: Bounds = ELBO_ALONE, accelerator: Accelerator | None = None
) -> dict[str, np.ndarray]:
    """Scores every scene once, with a model that is not wrapped.

    The accelerator divides the scenes among its processes and gathers the numbers; the progress is that of this process.

    Returns:
        Arrays [num_scenes] float64 in the order of the scenes: ``scene``, and the names of :func:`score_episode`.
    """

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        episode = model.episode(part.batch, num_context=part.num_context)
        scores = score_episode(model, episode, evaluation.schedule, bounds=bounds)
        return {"scene": torch.from_numpy(part.scenes).double()} | scores

    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    scenes = evaluation.chosen_scenes
    # Every process scores equally many scenes; the first ones are scored twice if their number does not divide.
    even = np.resize(scenes, math.ceil(len(scenes) / world) * world)
    found = replace(evaluation, scenes=even[rank::world]).score(score, model=model)
    if accelerator:
        own = {name: torch.from_numpy(values).to(accelerator.device) for name, values in found.items()}
        gathered = {name: values.view(world, -1).T.flatten() for name, values in accelerator.gather(own).items()}
        found = {name: values[: len(scenes)].cpu().numpy() for name, values in gathered.items()}
    # A scene counted twice or not at all would bias every mean without a trace.
    assert np.array_equal(found["scene"], scenes), "every scene must be scored exactly once"
    return found


def score_episode(
    model: SceneModel, episode: Episode, schedule: ScheduleValues, *, bounds: Bounds = ELBO_ALONE
) -> dict[str, Tensor]:
    """Scores episodes of B scenes.

    Returns:
        [B] float64 each, nats per target unless stated otherwise: the fields of :class:`ElboScores`; for every K
        ``iwae_<K>``, ``iwae_<K>_excess`` and ``iwae_<K>_gap``, the NELBO minus that bound; ``separate_nelbo_excess``, the
        mean excess NELBO of the targets one by one, each with its own latents; ``reconstruction_<error>`` with the names
        of :data:`zoo.results.metrics.IMAGE_METRICS`; ``bits_per_dim``; ``objective``, the loss of training.
    """
    encode = cached_encoder(model.encoder, episode)
    terms, parameters = model.score_and_reconstruct(episode, schedule, encode=encode)
    scores = _per_target(terms)
    columns = scores._asdict()
    if bounds.importance_samples:
        found = importance_weighted(model, episode, schedule, numbers=bounds.importance_samples, encode=encode)
        for number, bound in found.items():
            value = bound / terms.num_targets
            columns |= {
                f"iwae_{number}": value,
                f"iwae_{number}_excess": value - scores.floor,
                f"iwae_{number}_gap": scores.nelbo - value,
            }
    if bounds.separate and episode.target.shape[1] > 1:
        # With latents of each query the sum over the targets is the joint bound itself.
        columns["separate_nelbo_excess"] = scores.nelbo_excess
        if model.core.latents == "scene":
            each = [_per_target(model.score(one, schedule, encode=encode)).nelbo_excess for one in _alone(episode)]
            columns["separate_nelbo_excess"] = torch.stack(each).mean(0)
    if bounds.reconstruction:
        errors = image_errors(model.expected_image(parameters), episode.target)
        columns |= {f"reconstruction_{name}": values for name, values in errors.items()}
    if bounds.objective and model.objective.kind != "elbo":
        columns["objective"] = training_terms(model, episode, schedule).training_loss.double() / terms.num_targets
    if bounds.code_schedule is not None:
        mass = model.likelihood.log_mass(parameters, episode.target, bounds.code_schedule).double().sum(1)
        length = (terms.kl.double() - mass) / terms.num_targets
        columns["bits_per_dim"] = bits_per_dim(length, terms.target_dims.double())
    return columns


def _per_target(terms: ElboTerms) -> ElboScores:
    # In float32 a few thousand nats are rounded to half a millinat in every sum and difference.
    terms = ElboTerms(*(field.double() for field in terms))
    values = (terms.nelbo(), terms.excess(), terms.log_likelihood, terms.kl, terms.floor)
    return ElboScores(*(value / terms.num_targets for value in values))


def _alone(episode: Episode) -> Iterator[Episode]:
    """Yields episodes with each of their targets by itself, and latent noise of its own."""
    for index in range(episode.target.shape[1]):
        yield select_targets(episode, slice(index, index + 1))._replace(key=fold(episode.key, index))


def select_targets(episode: Episode, chosen: slice) -> Episode:
    """Returns episodes with some of their targets."""
    return episode._replace(
        query=episode.query[:, chosen],
        target=episode.target[:, chosen],
        target_views=Views(*(field[:, chosen] for field in episode.target_views)),
    )


def importance_weighted(
    model: SceneModel, episode: Episode, schedule: ScheduleValues, *, numbers: tuple[int, ...], encode: Encode
) -> dict[int, Tensor]:
    """Returns -log (1/K sum_k p(x, z_k) / q(z_k)) with z_k from the posterior, for every number K.

    The bound of Burda et al. 2016 (equation 8) on the joint log-likelihood of a scene's targets, [B] float64, nats for all
    targets of a scene. The weights use the sampled log-ratio, not the analytic KL. The samples of a smaller number are the
    first of those of a larger one, drawn one after the other: the memory needed does not grow with K.

    With latents of each query, targets are independent given the context: the bound is the sum of those of single targets,
    which is tighter than one weight for all of them.
    """
    if model.core.latents == "query" and episode.target.shape[1] > 1:
        each = [importance_weighted(model, one, schedule, numbers=numbers, encode=encode) for one in _alone(episode)]
        return {number: torch.stack([bounds[number] for bounds in each]).sum(0) for number in numbers}
    weights = []
    for sample in range(max(numbers) if model.core.latents != "none" else 1):  # without latents all samples are equal
        terms = model.score(episode._replace(key=fold(episode.key, sample)), schedule, encode=encode)
        weights.append(terms.log_likelihood.double() - terms.log_ratio.double())
    stacked = torch.stack(weights)
    return {number: math.log(len(stacked[:number])) - torch.logsumexp(stacked[:number], dim=0) for number in numbers}
