"""One model = task + encoder + core + likelihood behind one ``forward``: all that trainer and evaluation know."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from zoo.episode import ElboTerms, Episode, SceneBatch, ScheduleValues, Views
from zoo.errors import ConfigError
from zoo.model.interfaces import Encode, Encoder, LatentCore, Likelihood, Representation, Task
from zoo.nn.noise import fold, sample_keys, scene_sample_keys, standard_normal

CompileMode = Literal["default", "reduce-overhead", "max-autotune"]
# Predictions of more numbers than these, 256 images of 64 x 64 pixels, are made one part after the other.
NUMBERS_AT_ONCE = 256 * 3 * 64 * 64


class Prediction(NamedTuple):
    """What a model expects to see at the queries, drawn from the prior: the targets were not looked at."""

    parameters: Tensor  # [S, B, Q, C', H, W]: parameters of the likelihood
    expected: Tensor  # [S, B, Q, C, H, W]: the expected target of each sample; images are within [0, 1]
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
        self._compiled: Callable[[SceneModel, Episode, ScheduleValues], ElboTerms] | None = None

    @property
    def num_parameters(self) -> int:
        """The number of weights, trained or not."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, batch: SceneBatch, schedule: ScheduleValues, num_context: int) -> ElboTerms:
        """Scores the views after the first ``num_context`` given those before.

        Args:
            batch: B scenes of V views.
            schedule: beta is not applied here; sigma and temperature are.
            num_context: N; the other V - N views are the targets.

        Returns:
            The terms of each scene's ELBO, [B], nats.

        Raises:
            ConfigError: if it is to be compiled and cannot be.
        """
        episode = self.episode(batch, num_context=num_context)
        if self._compiled is None or not torch.is_grad_enabled():
            return self.score(episode, schedule)
        return self._score_compiled(episode, schedule)

    def episode(self, batch: SceneBatch, *, num_context: int) -> Episode:
        """Cuts a batch after its first ``num_context`` views and lays the images out as convolutions read them fastest.

        What comes out is contiguous, so that nothing about it depends on how many views it was cut from.
        """
        episode = self.task(batch, num_context=num_context)
        memory_format = fastest_memory_format(batch.frames.device)

        def laid_out(field: Tensor) -> Tensor:
            if field.ndim != 5 or memory_format is torch.contiguous_format:
                return field.contiguous()
            return field.movedim(2, -1).contiguous().movedim(-1, 2)

        return Episode(
            context=Views(*map(laid_out, episode.context)),
            query=laid_out(episode.query),
            target=laid_out(episode.target),
            target_views=Views(*map(laid_out, episode.target_views)),
            key=episode.key,
        )

    def score(self, episode: Episode, schedule: ScheduleValues, *, encode: Encode | None = None) -> ElboTerms:
        """Scores episodes that were cut already; see ``forward``.

        Args:
            episode: of B scenes.
            schedule: as of ``forward``.
            encode: takes the encoder's place, for example ``cached_encoder``.
        """
        return self.score_and_reconstruct(episode, schedule, encode=encode)[0]

    def score_and_reconstruct(
        self, episode: Episode, schedule: ScheduleValues, *, encode: Encode | None = None
    ) -> tuple[ElboTerms, Tensor]:
        """Does the same as ``score``, and returns what the posterior's latents predict as well.

        Returns:
            The terms, and the likelihood's parameters [B, Q, C', H, W] that were scored.
        """
        output = self.core(episode, encode or self.encoder, schedule)
        num_targets = episode.target.shape[1]
        target_dims = math.prod(episode.target.shape[2:])
        log_likelihood = self.likelihood.log_prob(output.prediction, episode.target, schedule).sum(1)
        ones = torch.ones_like(log_likelihood)
        terms = ElboTerms(
            log_likelihood=log_likelihood,
            kl=output.kl.flatten(1).sum(1) if output.kl.ndim > 1 else output.kl,
            log_ratio=output.log_ratio,
            num_targets=ones * num_targets,
            target_dims=ones * target_dims,
            floor=ones * num_targets * self.likelihood.floor(target_dims, schedule),
        )
        return terms, output.prediction

    def to_device(self, device: torch.device | str) -> SceneModel:
        """Moves the model to a device, with weights in the memory format that is the fastest there."""
        return self.to(device=device, memory_format=fastest_memory_format(device))  # type: ignore[call-overload]

    def recompute_activations(self, recompute: bool) -> int:
        """Sets whether activations are computed again in the backward pass instead of being kept.

        Modules that can do so have a class attribute ``recompute``. Noise is a function of its key, so that what is
        computed again is what it was.

        Returns:
            How many modules can.
        """
        able = [module for module in self.modules() if isinstance(getattr(type(module), "recompute", None), bool)]
        for module in able:
            module.recompute = recompute  # type: ignore[assignment]
        return len(able)

    def compile_training(self, mode: CompileMode) -> None:
        """Compiles what is trained, as one graph; scoring without gradients and predictions stay as they are.

        Neither the schedule values nor the number of context views make for another compilation, but for one each that contexts of
        no view, of one view and of several take; on a CPU, where torch chooses between convolutions by the number of
        images, several views of fewer than 16 images in a batch and of more count as two. Whatever else was compiled
        in this process is forgotten.

        Args:
            mode: of ``torch.compile``; all but ``default`` record CUDA graphs on a GPU.
        """
        # The compiler counts what it made of this function for all models together, and gives up after a few.
        torch.compiler.reset()
        self._compiled = torch.compile(SceneModel.score, fullgraph=True, mode=mode)

    def _score_compiled(self, episode: Episode, schedule: ScheduleValues) -> ElboTerms:
        from torch._dynamo import maybe_mark_dynamic
        from torch._dynamo.exc import TorchDynamoException

        assert self._compiled is not None
        for field in episode.context:
            if field.shape[1] > 1:  # sizes of 0 and 1 are always compiled by themselves
                maybe_mark_dynamic(field, 1)
        # A graph on a GPU writes to the same memory every time; from here on what the last one left there is not needed.
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
        """Predicts the queried views from the prior, ``num_samples`` times."""
        episode = self.episode(batch, num_context=num_context)
        parameters = self.predict_parameters(episode, schedule, num_samples=num_samples)
        return Prediction(parameters=parameters, expected=self.expected_image(parameters), target=episode.target)

    def expected_image(self, parameters: Tensor) -> Tensor:
        """Returns what is shown for parameters [..., C', H, W] of the likelihood: [..., C, H, W], images in [0, 1]."""
        expected = self.likelihood.mean(parameters)
        return expected.clamp(0.0, 1.0) if self.task.target_kind == "images" else expected

    @torch.no_grad()
    def predict_parameters(
        self, episode: Episode, schedule: ScheduleValues, *, num_samples: int, at_once: int = NUMBERS_AT_ONCE
    ) -> Tensor:
        """Predicts the likelihood's parameters, [S, B, Q, C', H, W], at the queries of episodes that were cut already.

        Args:
            episode: of B scenes, whose targets are not looked at.
            schedule: the temperature scales the prior's standard deviation.
            num_samples: S.
            at_once: numbers, of images or whatever else is asked or predicted, at a time. Where there are more, the
                queries and samples of the scenes are answered in parts, which changes the memory needed, not the numbers.
        """
        batch, queries = episode.query.shape[:2]
        each = batch * max(math.prod(episode.query.shape[2:]), math.prod(self.task.target_shape))
        queries_at_once = max(1, min(queries, at_once // each))
        samples_at_once = max(1, at_once // (each * queries_at_once))
        if self.core.latents == "none":
            samples_at_once = num_samples  # all are one and the same
        if queries_at_once == queries and samples_at_once >= num_samples:
            key = episode.key
        else:
            key = scene_sample_keys(episode.key, num_samples=num_samples)
            if self.core.latents == "query":
                key = sample_keys(key, num_samples=num_samples, num_queries=queries)

        encode = cached_encoder(self.encoder, episode)

        def part(first_sample: int, first_query: int) -> Tensor:
            keys = key if key.ndim == 1 else key[:, first_sample : first_sample + samples_at_once]
            if key.ndim == 3:
                keys = keys[:, :, first_query : first_query + queries_at_once]
            return self.core.predict(
                episode.context,
                episode.query[:, first_query : first_query + queries_at_once],
                keys,
                encode=encode,
                schedule=schedule,
                num_samples=min(samples_at_once, num_samples - first_sample),
            )

        parts = [
            _joined([part(sample, query) for query in range(0, queries, queries_at_once)], dim=2)
            for sample in range(0, num_samples, samples_at_once)
        ]
        return _joined(parts, dim=0)

    @torch.no_grad()
    def sample(self, batch: SceneBatch, schedule: ScheduleValues, num_context: int, *, num_samples: int = 1) -> Tensor:
        """Draws images [S, B, Q, C, H, W] with the likelihood's own noise, which ``predict`` leaves out."""
        parameters = self.predict(batch, schedule, num_context, num_samples=num_samples).parameters
        return self.with_noise(parameters, batch.key, schedule)

    @torch.no_grad()
    def with_noise(self, parameters: Tensor, key: Tensor, schedule: ScheduleValues) -> Tensor:
        """Draws targets [S, B, Q, C, H, W] from the likelihood.

        Args:
            parameters: of predictions, [S, B, Q, C', H, W].
            key: [B] int64, of the scenes.
            schedule: those of the predictions.
        """
        shape = (parameters.shape[2], *self.task.target_shape)
        # Latents use the first streams of a key; the pixels' noise takes one that no core reaches.
        noise = torch.stack([standard_normal(fold(fold(key, -1), index), shape) for index in range(len(parameters))])
        return self.likelihood.sample(parameters, noise, schedule)


def fastest_memory_format(device: torch.device | str) -> torch.memory_format:
    """Returns how images and weights of convolutions lie: channels last on a GPU; on a CPU that took 1.2 times as long."""
    return torch.channels_last if torch.device(device).type == "cuda" else torch.contiguous_format


def cached_encoder(encoder: Encode, episode: Episode) -> Encode:
    """Returns an encoder that looks at an episode's context, and at its evidence, once at most, however often it is asked.

    For several scores or predictions from one representation. Other views are encoded as ever.
    """
    known = {id(views): views for views in (episode.context, episode.target_views)}
    found: dict[int, Representation] = {}

    def encode(views: Views) -> Representation:
        place = id(views)
        if place not in known:
            return encoder(views)
        if place not in found:
            found[place] = encoder(views)
        return found[place]

    return encode


def _joined(parts: list[Tensor], *, dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)
