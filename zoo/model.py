"""One model = task + encoder + core + likelihood behind one ``forward``: all that trainer and evaluation know."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.contract import Encoder, LatentCore, Likelihood, Task
from zoo.episode import ElboTerms, Episode, Knobs, SceneBatch
from zoo.nn.noise import fold, standard_normal


class Prediction(NamedTuple):
    """What a model expects to see at the queries, drawn from the prior: the targets were not looked at."""

    parameters: Tensor  # [S, B, Q, C', H, W]: parameters of the likelihood
    expected: Tensor  # [S, B, Q, C, H, W]: the expected target of each sample; pictures are within [0, 1]
    target: Tensor  # [B, Q, C, H, W]: the truth


class SceneModel(nn.Module):
    """log p(targets | context, queries) >= ELBO, for whatever task, encoder, core and likelihood.

    Everything that is trained goes through ``forward``, so that DistributedDataParallel sees it.
    """

    def __init__(self, *, task: Task, encoder: Encoder, core: LatentCore, likelihood: Likelihood) -> None:
        super().__init__()
        self.task = task
        self.encoder = encoder
        self.core = core
        self.likelihood = likelihood

    @property
    def num_parameters(self) -> int:
        """The number of weights, trained or not."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, batch: SceneBatch, knobs: Knobs, num_context: int) -> ElboTerms:
        """Scores the views after the first ``num_context`` given those before.

        Args:
            batch: B scenes of V views.
            knobs: beta is not applied here; sigma and temperature are.
            num_context: N; the other V - N views are the targets.

        Returns:
            The terms of each scene's ELBO, [B], nats.
        """
        return self.score(self.task(batch, num_context=num_context), knobs)

    def score(self, episode: Episode, knobs: Knobs) -> ElboTerms:
        """Scores episodes that were cut already; see ``forward``."""
        output = self.core(episode, self.encoder, knobs)
        num_targets = episode.target.shape[1]
        target_dims = math.prod(episode.target.shape[2:])
        log_likelihood = self.likelihood.log_prob(output.prediction, episode.target, knobs).sum(1)
        ones = torch.ones_like(log_likelihood)
        return ElboTerms(
            log_likelihood=log_likelihood,
            kl=output.kl.flatten(1).sum(1),
            log_ratio=output.log_ratio,
            num_targets=ones * num_targets,
            target_dims=ones * target_dims,
            floor=ones * num_targets * self.likelihood.floor(target_dims, knobs),
        )

    @torch.no_grad()
    def predict(self, batch: SceneBatch, knobs: Knobs, num_context: int, *, num_samples: int = 1) -> Prediction:
        """Predicts the queried views from the prior, ``num_samples`` times."""
        episode = self.task(batch, num_context=num_context)
        parameters = self.core.predict(
            episode.context, episode.query, episode.key, encode=self.encoder, knobs=knobs, num_samples=num_samples
        )
        expected = self.likelihood.mean(parameters)
        if self.task.target_kind == "images":
            expected = expected.clamp(0.0, 1.0)
        return Prediction(parameters=parameters, expected=expected, target=episode.target)

    @torch.no_grad()
    def sample(self, batch: SceneBatch, knobs: Knobs, num_context: int, *, num_samples: int = 1) -> Tensor:
        """Draws pictures [S, B, Q, C, H, W] with the likelihood's own noise, which ``predict`` leaves out."""
        parameters = self.predict(batch, knobs, num_context, num_samples=num_samples).parameters
        shape = (*parameters.shape[1:3], *self.task.target_shape)
        # Latents use the first streams of a key; the pixels' noise takes one that no core reaches.
        noise = torch.stack(
            [standard_normal(fold(fold(batch.key, -1), index), shape[1:]) for index in range(num_samples)]
        )
        return self.likelihood.sample(parameters, noise, knobs)
