"""The model of a variant, task + encoder + core + likelihood: the only interface of trainer and evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from zoo.episode import CoreOutput, ElboTerms, Episode, SceneBatch, ScheduleValues, Views
from zoo.errors import ConfigError
from zoo.model.interfaces import Encode, Encoder, LatentCore, Likelihood, Representation, Task
from zoo.model.objectives import ELBO, Objective, training_terms
from zoo.nn.noise import fold, sample_keys, scene_sample_keys, standard_normal

CompileMode = Literal["default", "reduce-overhead", "max-autotune"]
# Larger predictions are computed in chunks; 256 images of 64 x 64 pixels.
CHUNK_NUMBERS = 256 * 3 * 64 * 64


class Prediction(NamedTuple):
    """Predictions at the queries with latents from the prior, independent of the targets."""

    parameters: Tensor  # [S, B, Q, C', H, W]: parameters of the likelihood
    expected: Tensor  # [S, B, Q, C, H, W]: mean target of each sample; images within [0, 1]
    target: Tensor  # [B, Q, C, H, W]: ground truth


class SceneModel(nn.Module):
    """log p(targets | context, queries) >= ELBO, for any task, encoder, core and likelihood.

    All trained computation goes through ``forward``, which DistributedDataParallel requires.
    """

    def __init__(
        self,
        *,
        task: Task,
        encoder: Encoder,
        core: LatentCore,
        likelihood: Likelihood,
        objective: Objective = ELBO,
    ) -> None:
        super().__init__()
        self.objective = objective
        self.task = task
        self.encoder = encoder
        self.core = core
        self.likelihood = likelihood
        self._compiled: Callable[[SceneModel, Episode, ScheduleValues], ElboTerms] | None = None

    @property
    def num_parameters(self) -> int:
        """The number of parameters, including frozen ones."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, batch: SceneBatch, schedule: ScheduleValues, num_context: int) -> ElboTerms:
        """Returns the terms of training of every scene, [B], nats: of the views after the first N = ``num_context``.

        They are those of ``score``, given the first N views, with the loss of the objective that the model is trained by.

        Raises:
            ConfigError: if ``compile_training`` was called and the model cannot be compiled.
        """
        episode = self.episode(batch, num_context=num_context)
        if self._compiled is None or not torch.is_grad_enabled():
            return training_terms(self, episode, schedule)
        return self._score_compiled(episode, schedule)

    def episode(self, batch: SceneBatch, *, num_context: int) -> Episode:
        """Splits a batch after its first ``num_context`` views, with images in the fastest memory format.

        All fields are contiguous, so that strides do not depend on the number of views in the batch.
        """
        episode = self.task(batch, num_context=num_context)
        memory_format = fastest_memory_format(batch.frames.device)

        def to_format(field: Tensor) -> Tensor:
            if field.ndim != 5 or memory_format is torch.contiguous_format:
                return field.contiguous()
            return field.movedim(2, -1).contiguous().movedim(-1, 2)

        return Episode(
            context=Views(*map(to_format, episode.context)),
            query=to_format(episode.query),
            target=to_format(episode.target),
            target_views=Views(*map(to_format, episode.target_views)),
            key=episode.key,
        )

    def score(self, episode: Episode, schedule: ScheduleValues, *, encode: Encode | None = None) -> ElboTerms:
        """Returns the ELBO terms of episodes, whatever the objective of training is.

        ``encode`` replaces the encoder, for example by ``cached_encoder``. The schedule's sigma and temperature are applied;
        beta only in the loss.
        """
        return self.score_and_reconstruct(episode, schedule, encode=encode)[0]

    def score_and_reconstruct(
        self, episode: Episode, schedule: ScheduleValues, *, encode: Encode | None = None
    ) -> tuple[ElboTerms, Tensor]:
        """Returns the terms of ``score`` and the scored parameters of the likelihood, [B, Q, C', H, W]."""
        output = self.core(episode, encode or self.encoder, schedule)
        return self.elbo_terms(output, episode, schedule), output.prediction

    def elbo_terms(self, output: CoreOutput, episode: Episode, schedule: ScheduleValues) -> ElboTerms:
        """Returns the ELBO terms of a core's output for episodes."""
        num_targets = episode.target.shape[1]
        target_dims = math.prod(episode.target.shape[2:])
        log_likelihood = self.likelihood.log_prob(output.prediction, episode.target, schedule).sum(1)
        ones = torch.ones_like(log_likelihood)
        kl = output.kl.flatten(1).sum(1) if output.kl.ndim > 1 else output.kl
        return ElboTerms(
            log_likelihood=log_likelihood,
            kl=kl,
            log_ratio=output.log_ratio,
            num_targets=ones * num_targets,
            target_dims=ones * target_dims,
            floor=ones * num_targets * self.likelihood.floor(target_dims, schedule),
            training_loss=schedule.beta * kl - log_likelihood,
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def to_device(self, device: torch.device | str) -> SceneModel:
        """Moves the model to a device, with weights in the fastest memory format of the device."""
        return self.to(device=device, memory_format=fastest_memory_format(device))  # type: ignore[call-overload]

    def recompute_activations(self, recompute: bool) -> int:
        """Sets whether modules with an attribute ``recompute`` do so in the backward pass; returns their number."""
        modules = [module for module in self.modules() if isinstance(getattr(type(module), "recompute", None), bool)]
        for module in modules:
            module.recompute = recompute  # type: ignore[assignment]
        return len(modules)

    def compile_training(self, mode: CompileMode) -> None:
        """Compiles scoring with gradients as one graph; scoring without gradients and predictions are not compiled.

        Schedule values do not cause recompilation. Contexts of no view, of one view and of several views have one graph
        each; on a CPU, where torch chooses convolutions by the number of images, several views have two graphs, for
        fewer than 16 images in a batch and for more. Other compiled functions of this process are discarded. All modes
        but ``default`` record CUDA graphs on a GPU.
        """
        # The compiler counts the graphs of this function over all models, up to a small limit.
        torch.compiler.reset()
        self._compiled = torch.compile(training_terms, fullgraph=True, mode=mode)

    def _score_compiled(self, episode: Episode, schedule: ScheduleValues) -> ElboTerms:
        from torch._dynamo import maybe_mark_dynamic
        from torch._dynamo.exc import TorchDynamoException

        assert self._compiled is not None
        for field in episode.context:
            if field.shape[1] > 1:  # sizes of 0 and 1 are always compiled by themselves
                maybe_mark_dynamic(field, 1)
        # A CUDA graph always writes to the same memory; the results of the last step are no longer needed.
        torch.compiler.cudagraph_mark_step_begin()
        try:
            return self._compiled(self, episode, schedule)
        except TorchDynamoException as error:
            raise ConfigError(
                f"{type(self.core).__name__} with {type(self.encoder).__name__} and {type(self.likelihood).__name__} cannot "
                f"be compiled ({type(error).__name__}: {str(error).strip().splitlines()[0]}); train without --compile"
            ) from error

    @torch.no_grad()
    def predict(
        self, batch: SceneBatch, schedule: ScheduleValues, num_context: int, *, num_samples: int = 1
    ) -> Prediction:
        """Predicts the target views from the prior, S = ``num_samples`` times."""
        episode = self.episode(batch, num_context=num_context)
        parameters = self.predict_parameters(episode, schedule, num_samples=num_samples)
        return Prediction(parameters=parameters, expected=self.expected_image(parameters), target=episode.target)

    def expected_image(self, parameters: Tensor) -> Tensor:
        """Returns the mean targets [..., C, H, W] of parameters [..., C', H, W]; images are clamped to [0, 1]."""
        expected = self.likelihood.mean(parameters)
        return expected.clamp(0.0, 1.0) if self.task.target_kind == "images" else expected

    @torch.no_grad()
    def predict_parameters(
        self, episode: Episode, schedule: ScheduleValues, *, num_samples: int, chunk_numbers: int = CHUNK_NUMBERS
    ) -> Tensor:
        """Predicts the likelihood's parameters, [S, B, Q, C', H, W], at the queries of episodes.

        Args:
            episode: of B scenes; its targets are not used.
            schedule: the temperature scales the prior's standard deviation.
            num_samples: S.
            chunk_numbers: numbers in the queries or targets of one chunk. Larger predictions are computed in chunks of
                queries and samples, which changes the memory needed, not the result.
        """
        batch, queries = episode.query.shape[:2]
        each = batch * max(math.prod(episode.query.shape[2:]), math.prod(self.task.target_shape))
        chunk_queries = max(1, min(queries, chunk_numbers // each))
        chunk_samples = max(1, chunk_numbers // (each * chunk_queries))
        if self.core.latents == "none":
            chunk_samples = num_samples  # all samples are equal
        if chunk_queries == queries and chunk_samples >= num_samples:
            key = episode.key
        else:
            key = scene_sample_keys(episode.key, num_samples=num_samples)
            if self.core.latents == "query":
                key = sample_keys(key, num_samples=num_samples, num_queries=queries)

        encode = cached_encoder(self.encoder, episode)

        def predict_chunk(first_sample: int, first_query: int) -> Tensor:
            keys = key if key.ndim == 1 else key[:, first_sample : first_sample + chunk_samples]
            if key.ndim == 3:
                keys = keys[:, :, first_query : first_query + chunk_queries]
            return self.core.predict(
                episode.context,
                episode.query[:, first_query : first_query + chunk_queries],
                keys,
                encode=encode,
                schedule=schedule,
                num_samples=min(chunk_samples, num_samples - first_sample),
            )

        chunks = [
            _concatenate([predict_chunk(sample, query) for query in range(0, queries, chunk_queries)], dim=2)
            for sample in range(0, num_samples, chunk_samples)
        ]
        return _concatenate(chunks, dim=0)

    @torch.no_grad()
    def with_noise(self, parameters: Tensor, key: Tensor, schedule: ScheduleValues) -> Tensor:
        """Draws targets [S, B, Q, C, H, W] from the likelihood with parameters [S, B, Q, C', H, W], by keys [B] of scenes."""
        shape = (parameters.shape[2], *self.task.target_shape)
        # Cores use streams from 0 upwards; the noise of pixels has stream -1.
        noise = torch.stack([standard_normal(fold(fold(key, -1), index), shape) for index in range(len(parameters))])
        return self.likelihood.sample(parameters, noise, schedule)


def fastest_memory_format(device: torch.device | str) -> torch.memory_format:
    """Returns the fastest memory format of convolutions: channels last on a GPU; on a CPU it takes 1.2 times as long."""
    return torch.channels_last if torch.device(device).type == "cuda" else torch.contiguous_format


def cached_encoder(encoder: Encode, episode: Episode) -> Encode:
    """Returns an encoder that encodes the context and the target views of an episode at most once.

    For several scores or predictions from one representation. Other views are not cached.
    """
    cacheable = {id(views): views for views in (episode.context, episode.target_views)}
    cache: dict[int, Representation] = {}

    def encode(views: Views) -> Representation:
        if id(views) not in cacheable:
            return encoder(views)
        if id(views) not in cache:
            cache[id(views)] = encoder(views)
        return cache[id(views)]

    return encode


def _concatenate(chunks: list[Tensor], *, dim: int) -> Tensor:
    return chunks[0] if len(chunks) == 1 else torch.cat(chunks, dim=dim)
