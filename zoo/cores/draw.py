"""The core of convolutional DRAW, conditional or unconditional."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Depth, Size
from zoo.model.interfaces import CoreShapes
from zoo.model.pose_inputs import PoseEncoding, PoseFeatures, PoseInputs
from zoo.model.query_latents import QueryLatentCore, RolloutInputs
from zoo.nn.blocks import divide_size, image_inputs, initialise, match_size, scale_writer, set_bias
from zoo.nn.convlstm import ConvLSTMCell, LSTMState, PreparedCell
from zoo.nn.filterbank import Window, WindowHead
from zoo.nn.gaussian import Rollout, draw_group, given_groups, stacked
from zoo.nn.winograd import convolve_once


class Draw(QueryLatentCore):
    """Convolutional DRAW core (Gregor et al. 2016, conv-DRAW), latents of a query:

        p(x^q | v^q, r) = int prod_l p(z_l | z_<l, v^q, r) p(x^q; canvas_L) dz.

    Step l: error e = x^q - canvas_l; encoder h^enc_{l+1} = ConvLSTM(x^q, e, h^dec_l) -> posterior N(eta_q(h^enc_{l+1}));
    prior N(eta_pi(h^dec_l)), or N(0, 1) as in DRAW (Gregor et al. 2015); z_l -> decoder h^dec_{l+1} =
    ConvLSTM(z_l, canvas_l, r, v^q) -> canvas_{l+1} = canvas_l + W h^dec_{l+1}. The first canvas is grey, the last one is the
    prediction. With encoder ``none`` and task ``unconditional``: p(x) = int prod_l p(z_l | z_<l) p(x; canvas_L) dz.

    The canvas has the channels of the likelihood's parameters; the error uses its first C channels, the mean.

    ``attention: filterbank`` (Gregor et al. 2015, section 3.2): a step reads target and error through N x N Gaussian
    filters placed by h^dec_l, and writes an N x N patch placed by h^dec_{l+1}; the states have the size of a glimpse.
    """

    class Config(PoseInputs):
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
        decoder: Literal["latents", "latents_and_canvas"] = Field(
            default="latents",
            description="inputs of the decoder: z_l (DRAW, Gregor et al. 2015), or z_l and the canvas (conv-DRAW, Gregor et al. "
            "2016), without attention",
        )

    required_features = frozenset()
    optional_features = frozenset({"pooled"})
    query_kinds = frozenset({"poses", "nothing"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        height, width = shapes.target[1:]
        attends = config.attention == "filterbank"
        area = (config.glimpse_size, config.glimpse_size) if attends else (height, width)
        if area[0] > height or area[1] > width:
            raise ValueError(f"images of {height}x{width} pixels: smaller than glimpse_size {config.glimpse_size}")
        if attends and (config.decoder, config.pose) != ("latents", "repeated"):
            raise ValueError(
                "attention 'filterbank': needs decoder 'latents' and pose 'repeated', because its windows move"
            )
        self.config = config
        self.encoding = PoseEncoding(config, pose_width=shapes.query_width)
        kind = "glimpses" if attends else "images"
        self.state_size = divide_size(area, config.canvas_scale, name="canvas_scale", kind=kind)
        self.image_size = (height, width)
        first = torch.tensor(shapes.initial_prediction or [0.0] * shapes.prediction_channels)
        self.register_buffer("first_canvas", first[:, None, None])
        self.first_canvas: Tensor
        self.steps = nn.ModuleList(
            DrawStep(config, shapes=shapes, query_channels=self.encoding.width, first=not config.shared and index == 0)
            for index in range(1 if config.shared else config.steps)
        )
        heads = (config.hidden_channels, 2 * config.z_channels, config.kernel_size)
        self.eta_pi = nn.Conv2d(*heads, padding="same") if config.prior == "learned" else None
        self.eta_q = nn.Conv2d(*heads, padding="same")

        def window_head() -> WindowHead | None:
            if not attends:
                return None
            features = config.hidden_channels * self.state_size[0] * self.state_size[1]
            return WindowHead(state_features=features, number=config.glimpse_size, height=height, width=width)

        self.read_window = window_head()
        self.write_window = window_head()

    def rollout(self, inputs: RolloutInputs) -> Rollout:
        pooled, query, target, source = inputs.scene.pooled, inputs.query, inputs.target, inputs.source
        height, width = self.state_size
        scene = match_size(pooled, height=height, width=width)
        sets = [cast("DrawStep", step) for step in self.steps]  # of weights: one, or one per step
        uses = self.config.steps // len(sets)
        positions = len(query) * height * width * uses
        # Without attention the target is convolved once for all steps.
        whole = target if self.read_window is None else None
        pose = self.encoding(query.to(pooled.dtype), height=height, width=width)
        cells = [step.prepare(scene, pose, whole, positions=positions) for step in sets]
        given = given_groups(
            source, inputs.keys, groups=self.config.steps, shape=(self.config.z_channels, height, width)
        )
        hidden = pooled.new_zeros(len(query), self.config.hidden_channels, height, width)
        decoder: LSTMState | None = None  # the zero state, which needs no convolution
        encoder: LSTMState | None = None
        canvas = self.first_canvas.to(query.dtype).expand(len(query), -1, *self.image_size)
        canvases: list[Tensor] = []
        before: list[Tensor] = []  # the decoder's hidden states before every step
        latents: list[Tensor] = []
        priors: list[Tensor] = []
        posteriors: list[Tensor] = []
        for index, (step, of_step) in enumerate(zip(sets * uses, cells * uses, strict=True)):
            before.append(hidden)
            if target is not None:
                window = self.read_window(hidden) if self.read_window is not None else None
                encoder = step.infer(
                    of_step.encoder, target, canvas=canvas, hidden=hidden, state=encoder, window=window
                )
                posteriors.append(self.eta_q(encoder.hidden))
            if source == "prior":
                priors += self._priors([hidden], first=index == 0)
                z = draw_group(given[index], priors[-1], dim=1, temperature=inputs.temperature)
            else:
                z = draw_group(given[index], posteriors[-1] if source == "posterior" else None, dim=1)
            latents.append(z)
            decoder = of_step.decoder.advance([z.to(pooled.dtype), *step.read(canvas)], decoder)
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


class _Cells(NamedTuple):
    decoder: PreparedCell
    encoder: PreparedCell


class DrawStep(nn.Module):
    """The weights of one step: h^enc' = ConvLSTM(x, e, h^dec), h^dec' = ConvLSTM(z, canvas, r, v), and the patch W h^dec'.

    Images and patches have the size of the canvas, or of a glimpse through a window; the states are smaller by the
    canvas scale. With ``first``, the weights are those of the first step only, whose states and canvas are zero.
    """

    def __init__(self, config: Draw.Config, *, shapes: CoreShapes, query_channels: int, first: bool) -> None:
        super().__init__()
        hidden, read, scale = config.hidden_channels, config.read_channels, config.canvas_scale
        cell = partial(ConvLSTMCell, hidden_channels=hidden, kernel_size=config.kernel_size, first=first)
        # The first canvas is the same for all images, and needs no reader.
        reads = config.decoder == "latents_and_canvas" and not first
        self.decoder = cell(
            scene_channels=shapes.representation.channels,
            query_channels=query_channels,
            step_channels=config.z_channels + (read if reads else 0),
        )
        # In the first step the decoder's state is zero, and the error is the target itself.
        self.encoder = cell(query_channels=read, step_channels=0 if first else hidden + read)
        self.read_target = nn.Conv2d(shapes.target[0], read, scale, stride=scale)
        initialise(self.read_target, image_inputs(shapes.target[0]))
        self.read_error = None if first else nn.Conv2d(shapes.target[0], read, scale, stride=scale)
        self.read_canvas = None
        if reads:
            self.read_canvas = nn.Conv2d(shapes.prediction_channels, read, scale, stride=scale)
            initialise(self.read_canvas, image_inputs(shapes.prediction_channels))
        self.write = nn.ConvTranspose2d(hidden, shapes.prediction_channels, scale, stride=scale)
        scale_writer(self.write, writes=config.steps)
        set_bias(self.write, (0.0,) * shapes.prediction_channels)

    def prepare(self, scene: Tensor, pose: PoseFeatures, target: Tensor | None, *, positions: int) -> _Cells:
        """Convolves representation [B, C, h, w], pose and target [n, C, H, W], if it is read as a whole."""
        size = (scene.shape[-2], scene.shape[-1])
        queries = len(pose.vector) // len(scene)
        read = None if target is None else self.read_target(target)
        return _Cells(
            decoder=self.decoder.prepare(
                scene=scene, query=pose.maps, pose=pose.vector, num_queries=queries, size=size, positions=positions
            ),
            encoder=self.encoder.prepare(query=read, positions=positions),
        )

    def read(self, canvas: Tensor) -> list[Tensor]:
        """Returns what the decoder reads of a canvas [n, C', H, W]: nothing, or one map of the size of the states."""
        return [] if self.read_canvas is None else [self.read_canvas(canvas)]

    def infer(
        self,
        cell: PreparedCell,
        target: Tensor,
        *,
        canvas: Tensor,
        hidden: Tensor,
        state: LSTMState | None,
        window: Window | None,
    ) -> LSTMState:
        """Advances the encoder on a target [n, C, H, W] and its difference from the first C channels of a canvas.

        The cell is prepared with the whole target, unless there is a window on it. ``hidden`` is the decoder's state
        [n, hidden, h, w], ``state`` the encoder's; it is None in the first step, where the decoder's is zero too.
        """
        if window is not None:
            assert self.encoder.from_query is not None
            seen = convolve_once(self.read_target(window.read(target)), self.encoder.from_query.weight)
            cell = cell._replace(constant=cell.constant + seen)
        if self.read_error is None:
            return self.encoder([], None, cell.constant)
        error = target - canvas[:, : target.shape[1]]
        error = error if window is None else window.read(error)
        found = self.read_error(error)
        if state is not None:
            return cell.advance([hidden, found], state)
        assert self.encoder.from_step is not None
        weight = self.encoder.from_step.weight[:, hidden.shape[1] :][:, : found.shape[1]]
        constant = cell.constant + F.conv2d(found, weight, padding=self.encoder.from_step.padding)
        return self.encoder([], None, constant)
