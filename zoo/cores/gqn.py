"""The latent core of the Generative Query Network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from einops import rearrange, repeat
from pydantic import Field
from torch import Tensor, nn

from zoo.config import Settings
from zoo.contract import CoreShapes, Encode, LatentCore
from zoo.episode import CoreOutput, Episode, Knobs, Views
from zoo.nn.blocks import match_size, spread
from zoo.nn.convlstm import ConvLSTMCell, LSTMState
from zoo.nn.gaussian import DiagonalGaussian, kl_divergence
from zoo.nn.noise import fold, query_keys, sample_keys, standard_normal

Source = Literal["posterior", "prior"] | Sequence[Tensor]


class Rollout(NamedTuple):
    """L steps of the generator for n = B * Q queries, in whichever way the latents were found."""

    prediction: Tensor  # [n, C', H, W]
    latents: list[Tensor]  # L times [n, z, h, w]
    priors: list[DiagonalGaussian]  # L times [n, z, h, w]
    posteriors: list[DiagonalGaussian]  # the same; empty if no target was looked at


class Gqn(LatentCore):
    """p(x^q | v^q, r) = int prod_l pi(z_l | z_<l, v^q, r) N(x^q; eta_g(u_L), sigma^2) dz  (Eslami et al. 2018).

    Every step l: prior N(eta_pi(h^g_l)) -> inference cell (x^q, v^q, r, h^g_l, u_l) -> posterior N(eta_q(h^e_{l+1}))
    -> z_l -> generator cell (v^q, r, z_l) -> canvas u_{l+1} = u_l + Delta(h^g_{l+1}). The picture is eta_g(u_L).
    The latents belong to a query.
    """

    class Config(Settings):
        """Sizes; the defaults are those of the paper's public reimplementations at 64x64 pixels."""

        steps: int = Field(default=12, ge=1, description="L, groups of latents")
        shared: bool = Field(default=False, description="one set of weights for all steps; false: one set a step")
        z_channels: int = Field(
            default=3, ge=1, description="channels of a group of latents (3 in the paper, 64 in much public code)"
        )
        hidden_channels: int = Field(default=128, ge=1, description="channels of the states h and c of both ConvLSTMs")
        canvas_channels: int = Field(default=128, ge=1, description="channels of the canvas u")
        read_channels: int = Field(
            default=128, ge=1, description="channels to which the target and the canvas are each brought for inference"
        )
        canvas_scale: int = Field(default=4, ge=1, description="pixels of the canvas along one cell of the states")
        kernel_size: int = Field(
            default=5, ge=1, description="of the ConvLSTMs and of the heads of prior and posterior; odd"
        )

    needs = frozenset({"pooled"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        height, width = shapes.target[1:]
        if height % config.canvas_scale or width % config.canvas_scale:
            raise ValueError(
                f"pictures of {height}x{width} pixels: canvas_scale {config.canvas_scale} does not divide them"
            )
        if config.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {config.kernel_size}: must be odd, so that the states keep their size")
        self.config = config
        self.state_size = (height // config.canvas_scale, width // config.canvas_scale)
        self.canvas_size = (height, width)
        self.steps = nn.ModuleList(
            Step(config, shapes=shapes, first=not config.shared and index == 0)
            for index in range(1 if config.shared else config.steps)
        )
        padding = config.kernel_size // 2
        heads = (config.hidden_channels, 2 * config.z_channels, config.kernel_size)
        self.eta_pi = nn.Conv2d(*heads, padding=padding)
        self.eta_q = nn.Conv2d(*heads, padding=padding)
        self.eta_g = nn.Conv2d(config.canvas_channels, shapes.prediction_channels, 1)

    def forward(self, episode: Episode, encode: Encode, knobs: Knobs) -> CoreOutput:
        batch, queries = episode.target.shape[:2]
        pooled = encode(episode.context).pooled
        keys = query_keys(episode.key, num_queries=queries).flatten()
        rollout = self.rollout(
            pooled,
            episode.query.flatten(0, 1),
            keys,
            target=episode.target.flatten(0, 1),
            source="posterior",
            knobs=knobs,
        )
        kl = torch.stack(
            [kl_divergence(q, p).flatten(1).sum(1) for q, p in zip(rollout.posteriors, rollout.priors, strict=True)],
            dim=1,
        )
        log_ratio = sum(
            (q.log_prob(z) - p.log_prob(z)).flatten(1).sum(1)
            for q, p, z in zip(rollout.posteriors, rollout.priors, rollout.latents, strict=True)
        )
        assert isinstance(log_ratio, Tensor)
        return CoreOutput(
            prediction=rollout.prediction.unflatten(0, (batch, queries)),
            kl=kl.unflatten(0, (batch, queries)),
            log_ratio=log_ratio.unflatten(0, (batch, queries)).sum(1),
        )

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, knobs: Knobs, num_samples: int
    ) -> Tensor:
        batch, queries = query.shape[:2]
        # Samples are further queries of the same scene: the representation and its convolutions are shared by all.
        keys = sample_keys(key, num_samples=num_samples, num_queries=queries).flatten()
        repeated = repeat(query, "b q p -> (b s q) p", s=num_samples)
        rollout = self.rollout(encode(context).pooled, repeated, keys, target=None, source="prior", knobs=knobs)
        return rearrange(rollout.prediction, "(b s q) c h w -> s b q c h w", b=batch, s=num_samples)

    def rollout(
        self, pooled: Tensor, query: Tensor, keys: Tensor, *, target: Tensor | None, source: Source, knobs: Knobs
    ) -> Rollout:
        """Runs the L steps; the only place where they are written down.

        Args:
            pooled: the scenes' representations, [B, C, h, w].
            query: [n, P] with n = B * Q, all queries of a scene beside each other.
            keys: [n] int64, seeds of the latent noise.
            target: [n, C, H, W]; needed by the posterior, and never seen when latents come from the prior.
            source: where z_l comes from: the posterior, the prior, or L given tensors.
            knobs: the temperature scales the prior's standard deviation when sampling.
        """
        height, width = self.state_size
        count = len(query)
        num_queries = count // len(pooled)
        scene = match_size(pooled, height=height, width=width)
        pose = spread(query, height=height, width=width).to(pooled.dtype)
        sets = [cast("Step", step) for step in self.steps]  # of weights: one, or one a step
        sets_with_constants = [(step, step.constants(scene, pose, target, num_queries)) for step in sets]
        zeros = pooled.new_zeros(count, self.config.hidden_channels, height, width)
        generator = inference = LSTMState(hidden=zeros, cell=zeros)
        canvas = pooled.new_zeros(count, self.config.canvas_channels, *self.canvas_size)
        latents: list[Tensor] = []
        priors: list[DiagonalGaussian] = []
        posteriors: list[DiagonalGaussian] = []
        for index in range(self.config.steps):
            step, constant = sets_with_constants[min(index, len(sets) - 1)]
            prior = DiagonalGaussian.from_parameters(self.eta_pi(generator.hidden), dim=1)
            priors.append(prior)
            if constant.inference is not None:
                inference = step.infer(generator.hidden, canvas, inference, constant.inference)
                posteriors.append(DiagonalGaussian.from_parameters(self.eta_q(inference.hidden), dim=1))
            if source == "posterior":
                z = posteriors[-1].sample(standard_normal(fold(keys, index), prior.mean.shape[1:]))
            elif source == "prior":
                z = prior.sample(
                    standard_normal(fold(keys, index), prior.mean.shape[1:]), temperature=knobs.temperature
                )
            else:
                z = source[index]
            latents.append(z)
            generator, canvas = step.generate(z.to(pooled.dtype), canvas, generator, constant.generator)
        return Rollout(prediction=self.eta_g(canvas), latents=latents, priors=priors, posteriors=posteriors)


class Constants(NamedTuple):
    """What the cells of a step take in that does not change over the steps, convolved."""

    generator: Tensor
    inference: Tensor | None  # None: there is no target to look at


class Step(nn.Module):
    """The weights of one step (or of all, when they are shared): both ConvLSTM cells and their ways to the canvas."""

    def __init__(self, config: Gqn.Config, *, shapes: CoreShapes, first: bool) -> None:
        super().__init__()
        scale = config.canvas_scale
        self.first = first
        self.generator = ConvLSTMCell(
            scene_channels=shapes.representation.channels,
            query_channels=shapes.query_width,
            step_channels=config.z_channels,
            hidden_channels=config.hidden_channels,
            kernel_size=config.kernel_size,
            first=first,
        )
        self.inference = ConvLSTMCell(
            scene_channels=shapes.representation.channels,
            query_channels=shapes.query_width + config.read_channels,
            # In the first step the generator's state and the canvas are zero and have nothing to say.
            step_channels=0 if first else config.hidden_channels + config.read_channels,
            hidden_channels=config.hidden_channels,
            kernel_size=config.kernel_size,
            first=first,
        )
        self.delta = nn.ConvTranspose2d(config.hidden_channels, config.canvas_channels, scale, stride=scale)
        self.read_target = nn.Conv2d(shapes.target[0], config.read_channels, scale, stride=scale)
        self.read_canvas = (
            None if first else nn.Conv2d(config.canvas_channels, config.read_channels, scale, stride=scale)
        )

    def constants(self, scene: Tensor, pose: Tensor, target: Tensor | None, num_queries: int) -> Constants:
        """Convolves representation [B, C, h, w], pose [n, P, h, w] and, if there is one, target [n, C, H, W]."""
        inference = None
        if target is not None:
            read = self.read_target(target)
            inference = self.inference.constant(
                scene=scene, query=torch.cat([pose.to(read.dtype), read], dim=1), num_queries=num_queries
            )
        return Constants(
            generator=self.generator.constant(scene=scene, query=pose, num_queries=num_queries), inference=inference
        )

    def infer(self, hidden: Tensor, canvas: Tensor, state: LSTMState, constant: Tensor) -> LSTMState:
        """Advances the inference cell on the generator's hidden state [n, C, h, w] and the canvas [n, C, H, W]."""
        if self.read_canvas is None:
            return self.inference([], None, constant)
        return self.inference([hidden, self.read_canvas(canvas)], state, constant)

    def generate(self, z: Tensor, canvas: Tensor, state: LSTMState, constant: Tensor) -> tuple[LSTMState, Tensor]:
        """Advances the generator cell on z [n, C, h, w] and writes to the canvas [n, C, H, W]."""
        state = self.generator([z], None if self.first else state, constant)
        return state, canvas + self.delta(state.hidden)
