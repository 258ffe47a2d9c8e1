"""The core of the Generative Query Network, and the base of its variants with attention."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo.config.settings import Depth, Size
from zoo.model.interfaces import CoreShapes, Representation
from zoo.model.pose_inputs import PoseEncoding, PoseFeatures, PoseInputs
from zoo.model.query_latents import QueryLatentCore, RolloutInputs
from zoo.nn.blocks import broadcast_conv, divide_size, image_inputs, initialise, match_size, set_bias
from zoo.nn.canvas import PerStepCanvas, SharedCanvas
from zoo.nn.convlstm import ConvLSTMCell, LSTMState, PreparedCell
from zoo.nn.gaussian import DiagonalGaussian, Rollout, draw_group, given_groups, stacked

# A lookup in the scene: the generator's hidden state [n, C, h, w] -> a map [n, C', h, w].
Attend = Callable[[Tensor], Tensor]


class Gqn(QueryLatentCore):
    """Generative Query Network core (Eslami et al. 2018), latents of a query:

        p(x^q | v^q, r) = int prod_l pi(z_l | z_<l, v^q, r) N(x^q; eta_g(u_L), sigma^2) dz.

    Step l: prior N(eta_pi(h^g_l)); inference cell (x^q, v^q, r, h^g_l, u_l) -> posterior N(eta_q(h^e_{l+1})) -> z_l;
    generator cell (v^q, r, z_l) -> canvas u_{l+1} = u_l + Delta(h^g_{l+1}). The image is eta_g(u_L).

    The specification is the textbook loop of ``benchmarks/speed/textbook_gqn.py``: this core equals it in values and
    gradients.
    """

    class Config(PoseInputs):
        """Sizes; defaults follow public reimplementations of the paper at 64x64 pixels."""

        steps: Depth = Field(default=12, description="L, groups of latents")
        shared: bool = Field(default=False, description="one set of weights for all steps; false: one set per step")
        z_channels: Size = Field(default=3, description="channels of a group of latents (64 in much public code)")
        hidden_channels: Size = Field(default=128, description="channels of the states h and c of both ConvLSTMs")
        canvas_channels: Size = Field(default=128, description="channels of the canvas u")
        read_channels: Size = Field(default=128, description="channels of target and canvas as inputs of inference")
        canvas_scale: Size = Field(default=4, description="pixels of the canvas per cell of the states")
        kernel_size: Size = Field(default=5, description="of the ConvLSTMs and the heads of prior and posterior; odd")
        initial_state: Literal["zero", "scene"] = Field(
            default="zero",
            description="of the generator: zero (the paper), or scene, h_0 = ConvLSTM(r, v), so that the prior of the first "
            "group of latents depends on scene and query; needs shared weights",
        )

    required_features = frozenset({"pooled"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config, self.shapes = config, shapes
        self.recurrence = Recurrence(config, shapes=shapes, scene_channels=shapes.representation.channels)

    def rollout(self, inputs: RolloutInputs) -> Rollout:
        return self.recurrence(inputs, pooled=inputs.scene.pooled)


class AttendingGqn(QueryLatentCore):
    """Base of GQN cores in which every step attends to the context views instead of reading their sum r."""

    class Config(Gqn.Config):
        key_channels: Size = Field(default=64, description="width of the keys of one head")
        value_channels: Size = Field(default=128, description="channels of the result, all heads together")
        heads: Size = Field(default=1, description="attention heads; must divide value_channels")

    required_features = frozenset({"per_view"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        if config.value_channels % config.heads:
            raise ValueError(f"heads {config.heads}: must divide value_channels {config.value_channels}")
        self.recurrence = Recurrence(config, shapes=shapes, attended_channels=config.value_channels)

    @abstractmethod
    def reader(self, scene: Representation, poses: Tensor, query: Tensor) -> Attend:
        """Returns the attention of a state [n, C, h, w] to views at poses [B, N, P] for queries [n, P].

        What is constant over the steps is computed here, once.
        """

    def rollout(self, inputs: RolloutInputs) -> Rollout:
        return self.recurrence(inputs, attend=self.reader(inputs.scene, inputs.poses, inputs.query))


class _State(NamedTuple):
    """The state between two steps."""

    hidden: Tensor  # [n, hidden, h, w]: the generator's, zero at first
    generator: LSTMState | None  # None is the zero state
    inference: LSTMState | None


class _Cells(NamedTuple):
    generator: PreparedCell
    inference: PreparedCell | None  # None without a target


class _StepOutput(NamedTuple):
    state: _State
    latents: Tensor  # [n, z, h, w]
    prior: Tensor | None  # parameters [n, 2 * z, h, w], if the latents were drawn from it
    posterior: Tensor | None  # parameters [n, 2 * z, h, w], with a target


class Recurrence(nn.Module):
    """prod_l pi(z_l | z_<l, v^q, scene) and eta_g(u_L), with q(z_l | z_<l, x^q, v^q, scene), for any view of the scene.

    The scene is a representation r, the same in all steps, or a lookup by the generator's state h^g_l in every step, or
    both. That state depends on the target through z_<l only, so that the prior stays a prior.

    What does not depend on the step is computed once, outside the loop: the convolutions of r, pose and target, the noise,
    and all priors when latents come from the posterior. Zero states are not convolved; for the canvas see
    :mod:`zoo.nn.canvas`.

    Raises:
        ValueError: if a size does not fit the images.
    """

    recompute = False  # True: activations of a step are recomputed in the backward pass

    def __init__(
        self, config: Gqn.Config, *, shapes: CoreShapes, scene_channels: int = 0, attended_channels: int = 0
    ) -> None:
        super().__init__()
        self.num_steps, self.z_channels = config.steps, config.z_channels
        size = divide_size(shapes.target[1:], config.canvas_scale, name="canvas_scale")
        self.state_shape = (config.hidden_channels, *size)
        self.encoding = PoseEncoding(config, pose_width=shapes.query_width)
        channels = {"query_channels": self.encoding.width, "attended_channels": attended_channels}
        self.steps = nn.ModuleList(
            GqnStep(
                config, shapes=shapes, first=not config.shared and index == 0, scene_channels=scene_channels, **channels
            )
            for index in range(1 if config.shared else config.steps)
        )
        heads = (config.hidden_channels, 2 * config.z_channels, config.kernel_size)
        self.eta_pi = nn.Conv2d(*heads, padding="same")
        self.eta_q = nn.Conv2d(*heads, padding="same")
        self.eta_g = nn.Conv2d(config.canvas_channels, shapes.prediction_channels, 1)
        set_bias(self.eta_g, shapes.initial_prediction)
        self.start = None
        if config.initial_state == "scene":
            if not config.shared:
                raise ValueError("initial_state 'scene': needs shared weights (shared: true)")
            self.start = ConvLSTMCell(
                scene_channels=scene_channels,
                query_channels=self.encoding.width,
                step_channels=attended_channels,
                hidden_channels=config.hidden_channels,
                kernel_size=config.kernel_size,
                first=True,
            )

    def forward(self, inputs: RolloutInputs, *, pooled: Tensor | None = None, attend: Attend | None = None) -> Rollout:
        """Runs the L steps with representations r [B, C, h, w] of any size, a lookup in every step, or both."""
        size = (self.state_shape[1], self.state_shape[2])
        if pooled is not None and pooled.shape[-2:] != (1, 1):
            pooled = match_size(pooled, height=size[0], width=size[1])
        pose = self.encoding(inputs.query, height=size[0], width=size[1])
        zeros = (inputs.query if pooled is None else pooled).new_zeros(len(inputs.query), *self.state_shape)
        weights = [cast("GqnStep", step) for step in self.steps]  # one set, or one set per step
        uses = self.num_steps // len(weights)
        canvas = self._canvas(weights, reads=inputs.target is not None)
        given = given_groups(inputs.source, inputs.keys, groups=self.num_steps, shape=(self.z_channels, *size))
        state = self._initial_state(inputs, pose, zeros, pooled=pooled, attend=attend)
        initial = state.hidden
        outputs: list[_StepOutput] = []
        for index in range(self.num_steps):
            if index < len(weights):
                step = weights[index]
                cells = step.prepare(inputs, pose, pooled=pooled, size=size, uses=uses)
            advance = partial(self._advance, step, attend=attend, inputs=inputs)
            if self.recompute and torch.is_grad_enabled():
                advance = partial(checkpoint, advance, use_reentrant=False, preserve_rng_state=False)
            read = canvas.read() if index and inputs.target is not None else None
            outputs.append(advance(cells, state, read, given[index]))
            state = outputs[-1].state
            canvas.write(state.hidden)
        if inputs.source == "prior":
            priors = stacked([output.prior for output in outputs if output.prior is not None], dim=1)
        else:
            before = [initial, *(output.state.hidden for output in outputs[:-1])]
            priors = DiagonalGaussian.from_parameters(self._priors(before), dim=2)
        posteriors = [output.posterior for output in outputs if output.posterior is not None]
        return Rollout(
            prediction=canvas.image(),
            latents=torch.stack([output.latents for output in outputs]),
            priors=priors,
            posteriors=stacked(posteriors, dim=1) if posteriors else None,
        )

    def _advance(
        self,
        step: GqnStep,
        cells: _Cells,
        state: _State,
        read: Tensor | None,
        given: Tensor,
        *,
        attend: Attend | None,
        inputs: RolloutInputs,
    ) -> _StepOutput:
        attended = [] if attend is None else [attend(state.hidden)]
        inference, prior, posterior = state.inference, None, None
        if cells.inference is not None:
            inference = step.infer(cells.inference, attended, state, read)
            posterior = self.eta_q(inference.hidden)
        if inputs.source == "prior":
            prior = self._priors([state.hidden])[0] if state.generator is None else self.eta_pi(state.hidden)
            z = draw_group(given, prior, dim=1, temperature=inputs.temperature)
        else:
            z = draw_group(given, posterior if inputs.source == "posterior" else None, dim=1)
        generator = cells.generator.advance([z.to(state.hidden.dtype), *attended], state.generator)
        return _StepOutput(_State(generator.hidden, generator=generator, inference=inference), z, prior, posterior)

    def _initial_state(
        self, inputs: RolloutInputs, pose: PoseFeatures, zeros: Tensor, *, pooled: Tensor | None, attend: Attend | None
    ) -> _State:
        if self.start is None:
            return _State(zeros, generator=None, inference=None)
        cell = self.start.prepare(
            scene=pooled,
            query=pose.maps,
            pose=pose.vector,
            num_queries=inputs.num_queries,
            size=(zeros.shape[2], zeros.shape[3]),
            positions=zeros[:, 0].numel(),
        )
        generator = cell.advance([] if attend is None else [attend(zeros)], None)
        return _State(generator.hidden, generator=generator, inference=None)

    def _priors(self, before: Sequence[Tensor]) -> Tensor:
        """Returns the parameters of all priors, [L, n, 2 * z, h, w]; a first state of zero needs no convolution."""
        first = before[0]
        if self.start is not None:
            return self.eta_pi(torch.cat(list(before))).unflatten(0, (len(before), len(first)))
        assert self.eta_pi.bias is not None
        blank = self.eta_pi.bias[:, None, None].expand(1, len(first), -1, *first.shape[2:])
        if len(before) == 1:
            return blank
        others = self.eta_pi(torch.cat(list(before[1:]))).unflatten(0, (len(before) - 1, len(first)))
        return torch.cat([blank.to(others.dtype), others])

    def _canvas(self, weights: Sequence[GqnStep], *, reads: bool) -> SharedCanvas | PerStepCanvas:
        if weights[0].read_canvas is not None:
            return SharedCanvas(delta=weights[0].delta, read_canvas=weights[0].read_canvas, eta_g=self.eta_g)
        return PerStepCanvas(
            deltas=[step.delta for step in weights],
            read_canvases=[step.read_canvas for step in weights if step.read_canvas is not None] if reads else [],
            eta_g=self.eta_g,
        )


class GqnStep(nn.Module):
    """The weights of one step: h^e' = ConvLSTM(r, v, x, h^g, u), h^g' = ConvLSTM(r, v, z), u' = u + Delta(h^g').

    With ``first``, they are those of the first step only, whose states and canvas are zero.
    """

    def __init__(
        self,
        config: Gqn.Config,
        *,
        shapes: CoreShapes,
        first: bool,
        query_channels: int,
        scene_channels: int,
        attended_channels: int,
    ) -> None:
        super().__init__()
        hidden, read, scale = config.hidden_channels, config.read_channels, config.canvas_scale
        cell = partial(ConvLSTMCell, hidden_channels=hidden, kernel_size=config.kernel_size, first=first)
        self.generator = cell(
            scene_channels=scene_channels,
            query_channels=query_channels,
            step_channels=config.z_channels + attended_channels,
        )
        self.inference = cell(
            scene_channels=scene_channels,
            query_channels=query_channels + read,
            # In the first step the generator's state and the canvas are zero and need no weights.
            step_channels=attended_channels + (0 if first else hidden + read),
        )
        self.delta = nn.ConvTranspose2d(hidden, config.canvas_channels, scale, stride=scale)
        set_bias(self.delta, (0.0,) * config.canvas_channels)  # L biases add up on the canvas
        self.read_target = nn.Conv2d(shapes.target[0], read, scale, stride=scale)
        initialise(self.read_target, image_inputs(shapes.target[0]))
        self.read_canvas = None if first else nn.Conv2d(config.canvas_channels, read, scale, stride=scale)

    def prepare(
        self, inputs: RolloutInputs, pose: PoseFeatures, *, pooled: Tensor | None, size: tuple[int, int], uses: int
    ) -> _Cells:
        """Convolves what does not change over ``uses`` steps: representations [B, C, h, w], poses and targets."""
        prepare: dict[str, Any] = {
            "scene": pooled,
            "pose": pose.vector,
            "num_queries": inputs.num_queries,
            "size": size,
            "positions": len(inputs.query) * size[0] * size[1] * uses,
        }
        generator, inference = self.generator.prepare(query=pose.maps, **prepare), None
        if inputs.target is not None:
            inference = self.inference.prepare(query=pose.beside(self.read_target(inputs.target)), **prepare)
        return _Cells(generator=generator, inference=inference)

    def infer(self, cell: PreparedCell, attended: Sequence[Tensor], state: _State, read: Tensor | None) -> LSTMState:
        """Advances the inference cell on what was looked up and read from the canvas; None in the first step."""
        if read is not None:
            return cell.advance([*attended, state.hidden, read], state.inference)
        constant = cell.constant
        if self.read_canvas is not None:
            # A blank canvas is read as the reader's bias.
            assert self.inference.from_step is not None and self.read_canvas.bias is not None
            start = sum(found.shape[1] for found in attended) + state.hidden.shape[1]
            weight = self.inference.from_step.weight[:, start : start + self.read_canvas.out_channels]
            size, padding = (constant.shape[-2], constant.shape[-1]), self.inference.padding
            constant = constant + broadcast_conv(self.read_canvas.bias[None], weight, size=size, padding=padding)
        begun = [] if state.generator is None else [state.hidden]  # a state of zero is not convolved
        return self.inference([*attended, *begun], None, constant)
