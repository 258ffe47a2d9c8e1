"""The core of the Consistent Generative Query Network, also called JUMP."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Depth, Size
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore
from zoo.model.pose_inputs import PoseEncoding, PoseInputs
from zoo.nn.blocks import broadcast_conv, divide_size, match_size, set_bias
from zoo.nn.canvas import composed_reading
from zoo.nn.convlstm import ConvLSTMCell, LSTMState, PreparedCell
from zoo.nn.gaussian import LatentSource, Rollout, at_least_float32, draw_group, given_groups, stacked
from zoo.nn.noise import scene_sample_keys

INITIAL_LOG_SCALE = -2.0  # of prior and posterior


class Cgqn(LatentCore):
    """Consistent Generative Query Network core, JUMP (Kumar et al. 2018), latents of a scene:

        p(x^{1..K} | v^{1..K}, r) = int prod_l pi(z_l | z_<l, r) prod_q N(x^q; g(z, v^q), sigma^2) dz.

    The posterior is prod_l q(z_l | z_<l, r, r') with the representation r' of all K targets and their poses. The prior
    does not depend on the queries, and the renderer g depends on z and one pose v^q, not on r. Predictions of one z are
    therefore consistent, the KL counts once per scene, and the ELBO bounds the joint log-likelihood of the K targets.

    Step l: prior cell (r, z_{l-1}) -> N(eta_pi(h_l)); posterior cell (r, r', z_{l-1}) -> N(eta_q(h_l)) -> z_l. Then, per
    query and l: renderer cell (z_l, v^q, canvas) -> canvas + Delta(h_l). The image is eta_g(canvas).
    """

    class Config(PoseInputs):
        """Sizes; defaults follow a public implementation for cubes with digits at 64x64 pixels (torch-jump)."""

        steps: Depth = Field(default=6, description="L, groups of latents (4 for videos in public code)")
        z_channels: Size = Field(default=3, description="channels of a group of latents")
        hidden_channels: Size = Field(default=128, description="channels of the states h and c of all ConvLSTMs")
        scene_channels: Size = Field(default=128, description="channels of r as input of prior and posterior")
        canvas_channels: Size = Field(default=128, description="channels of the renderer's canvas")
        read_channels: Size = Field(default=128, description="channels of the canvas as input of the renderer's cell")
        canvas_scale: Size = Field(default=4, description="pixels per cell of the canvas")
        stride: Size = Field(default=2, description="cells of the canvas per cell of states and latents")
        kernel_size: Size = Field(default=5, description="of the ConvLSTMs and the heads of prior and posterior; odd")

    required_features = frozenset({"pooled"})
    encodes_targets = True
    latents = "scene"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config = config
        self.canvas_size = divide_size(shapes.target[1:], config.canvas_scale, name="canvas_scale")
        self.state_size = divide_size(self.canvas_size, config.stride, name="stride", kind="canvases")
        channels = shapes.representation.channels
        self.prior = LatentNet(config, channels_in=channels)
        self.posterior = LatentNet(config, channels_in=2 * channels)
        self.renderer = Renderer(config, shapes=shapes)

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        rollout = self.rollout(
            encode(episode.context).pooled,
            episode.query,
            episode.key,
            targets=encode(episode.target_views).pooled,
            source="posterior",
            schedule=schedule,
        )
        terms = rollout.terms()
        prediction = rollout.prediction.unflatten(0, tuple(episode.target.shape[:2]))
        return CoreOutput(prediction=prediction, kl=terms.kl, log_ratio=terms.log_ratio)

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        keys = scene_sample_keys(key, num_samples=num_samples).flatten()
        rollout = self.rollout(encode(context).pooled, query, keys, targets=None, source="prior", schedule=schedule)
        batch, queries = query.shape[:2]
        return rearrange(rollout.prediction, "(b s q) c h w -> s b q c h w", b=batch, s=num_samples, q=queries)

    def rollout(
        self,
        pooled: Tensor,
        query: Tensor,
        keys: Tensor,
        *,
        targets: Tensor | None,
        source: LatentSource,
        schedule: ScheduleValues,
    ) -> Rollout:
        """Draws the latents of scenes and renders them, [n * Q, C', H, W] with n = B * S, the samples of a scene adjacent.

        Args:
            pooled: representations r, [B, C, h, w].
            query: [B, Q, P], an input of the renderer only.
            keys: [n] int64, seeds of the latent noise.
            targets: r' [B, C, h, w], needed by the posterior; None for latents from the prior.
            source: where z_l comes from: the posterior, the prior, or L given tensors.
            schedule: the temperature scales the prior's standard deviation.
        """
        count, num_samples = len(keys), len(keys) // len(pooled)
        scene = self._at_canvas_size(pooled)
        shape = (self.config.z_channels, *self.state_size)
        positions = count * self.state_size[0] * self.state_size[1] * self.config.steps
        prior = self.prior.prepare(scene, num_samples=num_samples, positions=positions)
        posterior = None
        if targets is not None:
            both = torch.cat([scene, self._at_canvas_size(targets)], dim=1)
            posterior = self.posterior.prepare(both, num_samples=num_samples, positions=positions)
        given = given_groups(source, keys, groups=self.config.steps, shape=shape)
        # The zero state, which needs no convolution.
        prior_state: LSTMState | None = None
        posterior_state: LSTMState | None = None
        z = pooled.new_zeros(count, *shape)
        latents: list[Tensor] = []
        states: list[Tensor] = []  # of the prior
        priors: list[Tensor] = []
        posteriors: list[Tensor] = []
        for index in range(self.config.steps):
            prior_state = prior.advance([z], prior_state)
            states.append(prior_state.hidden)
            if posterior is not None:
                posterior_state = posterior.advance([z], posterior_state)
                posteriors.append(self.posterior.eta(posterior_state.hidden))
            if source == "prior":
                priors.append(self.prior.eta(prior_state.hidden))
                group = draw_group(given[index], priors[-1], dim=1, temperature=schedule.temperature)
            else:
                group = draw_group(given[index], posteriors[-1] if source == "posterior" else None, dim=1)
            latents.append(group)
            z = group.to(pooled.dtype)
        # Priors that are not sampled are computed for all groups at once.
        priors = priors or list(self.prior.eta(torch.cat(states)).split(count))
        return Rollout(
            prediction=self.renderer(latents, query.to(pooled.dtype)),
            latents=torch.stack(latents),
            priors=stacked(priors, dim=1),
            posteriors=stacked(posteriors, dim=1) if posteriors else None,
        )

    def _at_canvas_size(self, features: Tensor) -> Tensor:
        return match_size(features, height=self.canvas_size[0], width=self.canvas_size[1])


class LatentNet(nn.Module):
    """prod_l N(z_l | eta(h_l)), h_l = ConvLSTM(representation, z_{l-1}), h_0 = z_0 = 0: the prior's or the posterior's."""

    def __init__(self, config: Cgqn.Config, *, channels_in: int) -> None:
        super().__init__()
        self.read = nn.Conv2d(channels_in, config.scene_channels, config.stride, stride=config.stride)
        self.cell = ConvLSTMCell(
            scene_channels=config.scene_channels,
            step_channels=config.z_channels,
            hidden_channels=config.hidden_channels,
            kernel_size=config.kernel_size,
        )
        self.eta = nn.Conv2d(config.hidden_channels, 2 * config.z_channels, config.kernel_size, padding="same")
        # The signal must exceed the noise of the latents from the start, or the renderer learns to ignore them.
        for layer in (self.read, self.eta):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        assert self.eta.bias is not None
        nn.init.zeros_(self.eta.bias[: config.z_channels])
        nn.init.constant_(self.eta.bias[config.z_channels :], INITIAL_LOG_SCALE)

    def prepare(self, representation: Tensor, *, num_samples: int, positions: int) -> PreparedCell:
        """Convolves [B, channels_in, stride * h, stride * w] once for all steps and samples, n = B * S."""
        return self.cell.prepare(scene=self.read(representation), num_queries=num_samples, positions=positions)


class Renderer(nn.Module):
    """g(z, v^q): renders the scene of one z from one pose on a canvas."""

    def __init__(self, config: Cgqn.Config, *, shapes: CoreShapes) -> None:
        super().__init__()
        self.config = config
        self.encoding = PoseEncoding(config, pose_width=shapes.query_width)
        self.cell = ConvLSTMCell(
            query_channels=self.encoding.width,
            step_channels=config.z_channels + config.read_channels,
            hidden_channels=config.hidden_channels,
            kernel_size=config.kernel_size,
        )
        self.read = nn.Conv2d(config.canvas_channels, config.read_channels, config.stride, stride=config.stride)
        self.delta = nn.ConvTranspose2d(
            config.hidden_channels, config.canvas_channels, config.stride, stride=config.stride
        )
        self.eta_g = nn.ConvTranspose2d(
            config.canvas_channels, shapes.prediction_channels, config.canvas_scale, stride=config.canvas_scale
        )
        set_bias(self.eta_g, shapes.initial_prediction)

    def forward(self, latents: Sequence[Tensor], query: Tensor) -> Tensor:
        """Renders L groups of latents [n, z, h, w], n = B * S, at poses [B, Q, P] as [n * Q, C', H, W]."""
        batch, queries = query.shape[:2]
        samples, size = len(latents[0]) // batch, (latents[0].shape[2], latents[0].shape[3])
        positions = batch * samples * queries * size[0] * size[1] * len(latents)
        pose = self.encoding(query.flatten(0, 1), height=size[0], width=size[1])
        cell = self.cell.prepare(query=pose.maps, pose=pose.vector, size=size, positions=positions)
        constant = repeat(cell.constant, "(b q) c h w -> (b s q) c h w", b=batch, s=samples, q=queries)
        assert self.read.bias is not None and self.delta.bias is not None
        # Writing and reading the canvas are linear: what is read is a 1x1 convolution of the sum of the states.
        reading, reading_bias = composed_reading(self.read.weight.flatten(1), self.delta)
        total: Tensor | None = None
        for index, group in enumerate(latents):
            z = group.to(query.dtype).repeat_interleave(queries, dim=0)
            if total is None:
                state = self.cell([z], None, constant + self._blank(size))
                total = at_least_float32(state.hidden)
            else:
                read = F.conv2d(total, reading, self.read.bias + index * reading_bias)
                state = self.cell([z, read], state, constant, cell.filters)
                total = total + state.hidden
        assert total is not None
        bias = len(latents) * self.delta.bias
        return self.eta_g(F.conv_transpose2d(total, self.delta.weight, bias, stride=self.config.stride))

    def _blank(self, size: tuple[int, int]) -> Tensor:
        """Convolves the bias that is read from a canvas of zeros, [1, gates, h, w]."""
        assert self.cell.from_step is not None and self.read.bias is not None
        weight = self.cell.from_step.weight[:, self.config.z_channels :][:, : self.read.out_channels]
        return broadcast_conv(self.read.bias[None], weight, size=size, padding=self.cell.padding)
