"""The core of convolutional DRAW, conditional or unconditional."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Depth, Settings, Size
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore
from zoo.model.query_latents import sample_queries, score_queries
from zoo.nn.blocks import divide_size, match_size
from zoo.nn.convlstm import LSTMState
from zoo.nn.filterbank import WindowHead
from zoo.nn.latent_groups import Rollout, Source, draw_group, given_groups, stacked
from zoo.nn.steps import DrawStep, StepSizes


class Draw(LatentCore):
    """Convolutional DRAW core (Gregor et al. 2016, conv-DRAW), latents of a query:

        p(x^q | v^q, r) = int prod_l p(z_l | z_<l, v^q, r) p(x^q; canvas_L) dz.

    Step l: error e = x^q - canvas_l; encoder h^enc_{l+1} = ConvLSTM(x^q, e, h^dec_l) -> posterior N(eta_q(h^enc_{l+1}));
    prior N(eta_pi(h^dec_l)), or N(0, 1) as in DRAW (Gregor et al. 2015); z_l -> decoder h^dec_{l+1} =
    ConvLSTM(z_l, r, v^q) -> canvas_{l+1} = canvas_l + W h^dec_{l+1}. The first canvas is zero, the last one is the
    prediction. With encoder ``none`` and task ``unconditional``: p(x) = int prod_l p(z_l | z_<l) p(x; canvas_L) dz.

    The canvas has the channels of the likelihood's parameters; the error uses its first C channels, the mean.

    ``attention: filterbank`` (Gregor et al. 2015, section 3.2): a step reads target and error through N x N Gaussian
    filters placed by h^dec_l, and writes an N x N patch placed by h^dec_{l+1}; the states have the size of a glimpse.
    """

    class Config(Settings):
        steps: Depth = Field(default=8, description="L, groups of latents")
        shared: bool = Field(default=True, description="one set of weights for all steps; false: one set per step")
        prior: Literal["learned", "standard"] = Field(
            default="learned", description="learned: from the decoder's state; standard: N(0, 1)"
        )
        attention: Literal["none", "filterbank"] = Field(
            default="none", description="none: every step reads and writes the whole image; filterbank: a window of it"
        )
        glimpse_size: Size = Field(default=12, ge=2, description="N, filters per side of a window of attention")
        z_channels: Size = Field(default=12, description="channels of a group of latents")
        hidden_channels: Size = Field(default=128, description="channels of the states h and c of both ConvLSTMs")
        read_channels: Size = Field(default=64, description="channels of target and error as inputs of the encoder")
        canvas_scale: Size = Field(default=4, description="pixels of the canvas or of a glimpse per cell of the states")
        kernel_size: Size = Field(default=5, description="of the ConvLSTMs and the heads of prior and posterior; odd")

    required_features = frozenset()
    optional_features = frozenset({"pooled"})
    query_kinds = frozenset({"poses", "nothing"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        height, width = shapes.target[1:]
        attends = config.attention == "filterbank"
        area = (config.glimpse_size, config.glimpse_size) if attends else (height, width)
        if area[0] > height or area[1] > width:
            raise ValueError(f"images of {height}x{width} pixels: smaller than glimpse_size {config.glimpse_size}")
        self.config = config
        kind = "glimpses" if attends else "images"
        self.state_size = divide_size(area, config.canvas_scale, name="canvas_scale", kind=kind)
        self.canvas_shape = (shapes.prediction_channels, height, width)
        sizes = StepSizes(
            z_channels=config.z_channels,
            hidden_channels=config.hidden_channels,
            canvas_channels=shapes.prediction_channels,
            read_channels=config.read_channels,
            canvas_scale=config.canvas_scale,
            kernel_size=config.kernel_size,
            target_channels=shapes.target[0],
            query_width=shapes.query_width,
            scene_channels=shapes.representation.channels,
        )
        self.steps = nn.ModuleList(
            DrawStep(sizes, first=not config.shared and index == 0)
            for index in range(1 if config.shared else config.steps)
        )
        heads = (config.hidden_channels, 2 * config.z_channels, config.kernel_size)
        padding = config.kernel_size // 2
        self.eta_pi = nn.Conv2d(*heads, padding=padding) if config.prior == "learned" else None
        self.eta_q = nn.Conv2d(*heads, padding=padding)

        def window_head() -> WindowHead | None:
            if not attends:
                return None
            features = config.hidden_channels * self.state_size[0] * self.state_size[1]
            return WindowHead(state_features=features, number=config.glimpse_size, height=height, width=width)

        self.read_window = window_head()
        self.write_window = window_head()

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        pooled = encode(episode.context).pooled
        return score_queries(partial(self.rollout, pooled, schedule=schedule), episode)

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        rollout = partial(self.rollout, encode(context).pooled, schedule=schedule)
        return sample_queries(rollout, query, key, num_samples=num_samples)

    def rollout(
        self,
        pooled: Tensor,
        query: Tensor,
        keys: Tensor,
        *,
        target: Tensor | None,
        source: Source,
        schedule: ScheduleValues,
    ) -> Rollout:
        """Runs the L steps for representations [B, C, h, w], C may be 0; see ``zoo.model.query_latents``."""
        height, width = self.state_size
        count = len(query)
        scene = match_size(pooled, height=height, width=width)
        pose = query.to(pooled.dtype)
        sets = [cast("DrawStep", step) for step in self.steps]  # of weights: one, or one per step
        sets_with_constants = [(step, step.decoder_constant(scene, pose)) for step in sets]
        positions = count * height * width * (self.config.steps // len(sets))
        filters = [step.filters(positions=positions) for step in sets]
        # Without attention the target is convolved once for all steps.
        of_target: list[Tensor | None] = [None] * len(sets)
        if target is not None and self.read_window is None:
            of_target = [step.encoder_constant(target) for step in sets]
        given = given_groups(source, keys, groups=self.config.steps, shape=(self.config.z_channels, height, width))
        hidden = pooled.new_zeros(count, self.config.hidden_channels, height, width)
        decoder: LSTMState | None = None  # the zero state, which needs no convolution
        encoder: LSTMState | None = None
        canvas = query.new_zeros(count, *self.canvas_shape)
        canvases: list[Tensor] = []
        before: list[Tensor] = []  # the decoder's hidden states before every step
        latents: list[Tensor] = []
        priors: list[Tensor] = []
        posteriors: list[Tensor] = []
        for index in range(self.config.steps):
            which = min(index, len(sets) - 1)
            step, constant = sets_with_constants[which]
            before.append(hidden)
            if target is not None:
                window = self.read_window(hidden) if self.read_window is not None else None
                encoder = step.infer(
                    target,
                    canvas=canvas,
                    hidden=hidden,
                    state=encoder,
                    seen=of_target[which],
                    window=window,
                    filters=filters[which],
                )
                posteriors.append(self.eta_q(encoder.hidden))
            if source == "prior":
                priors += self._priors([hidden], first=index == 0)
                z = draw_group(given[index], priors[-1], dim=1, temperature=schedule.temperature)
            else:
                z = draw_group(given[index], posteriors[-1] if source == "posterior" else None, dim=1)
            latents.append(z)
            decoder = step.decode(z.to(pooled.dtype), decoder, constant, filters[which])
            hidden = decoder.hidden
            written = step.write(hidden)
            if self.write_window is not None:
                written = self.write_window(hidden).write(written)
            canvas = canvas + written
            canvases.append(canvas)
        return Rollout(
            prediction=canvas,
            canvases=canvases,
            latents=torch.stack(latents),
            priors=stacked(priors or self._priors(before, first=True), dim=1),
            posteriors=stacked(posteriors, dim=1) if posteriors else None,
        )

    def _priors(self, before: Sequence[Tensor], *, first: bool) -> list[Tensor]:
        """Returns the parameters of p(z_l | z_<l, v^q, r) for hidden states of the decoder, [n, C, h, w].

        With ``first`` the first state is zero.
        """
        count, _, *size = before[0].shape
        if self.eta_pi is None:
            return [before[0].new_zeros(count, 2 * self.config.z_channels, *size)] * len(before)
        parameters: list[Tensor] = []
        if first:
            assert self.eta_pi.bias is not None
            parameters.append(self.eta_pi.bias[:, None, None].expand(count, -1, *size))
        if len(before) > first:
            parameters += self.eta_pi(torch.cat(list(before[first:]))).split(count)
        return parameters
