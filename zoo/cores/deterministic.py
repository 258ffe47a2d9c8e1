"""The deterministic renderer: GQN's generator with nothing drawn, to see what the latents are for."""

from __future__ import annotations

from typing import cast

from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Depth, Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.blocks import divide_size, match_size
from zoo.nn.canvas import composed_image, sum_of_writes
from zoo.nn.convlstm import ConvLSTMCell, LSTMState


class Deterministic(DeterministicCore):
    """p(x^q | v^q, r) = N(x^q; eta_g(u_L), sigma^2): the generator of GQN (Eslami et al. 2018) with z_l left out.

    Every step l: generator cell (v^q, r) -> canvas u_{l+1} = u_l + Delta(h^g_{l+1}); the image is eta_g(u_L). State,
    canvas, weights a step and initialisation are GQN's, so that the difference to ``gqn`` is the latents alone. One
    image has to do for everything that the context leaves open, and trained by squared error that is their mean: a
    blur. There is no KL, and the negative log-likelihood is exact, not a bound.
    """

    class Config(Settings):
        """Sizes; the defaults are those of ``gqn``."""

        steps: Depth = Field(default=12, ge=1, description="L, steps of the generator")
        shared: bool = Field(default=False, description="one set of weights for all steps; false: one set a step")
        hidden_channels: Size = Field(default=128, ge=1, description="channels of the ConvLSTM's states h and c")
        canvas_channels: Size = Field(default=128, ge=1, description="channels of the canvas u")
        canvas_scale: Size = Field(default=4, ge=1, description="pixels of the canvas along one cell of the states")
        kernel_size: Size = Field(default=5, ge=1, description="of the ConvLSTM; odd")

    required_features = frozenset({"pooled"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config = config
        self.state_size = divide_size(shapes.target[1:], config.canvas_scale, name="canvas_scale")
        self.steps = nn.ModuleList(
            DeterministicStep(config, shapes=shapes, first=not config.shared and index == 0)
            for index in range(1 if config.shared else config.steps)
        )
        self.eta_g = nn.Conv2d(config.canvas_channels, shapes.prediction_channels, 1)

    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        """Runs the L steps; returns predictions [B, Q, C', H, W] at poses [B, Q, P]."""
        pooled = encode(context).pooled
        batch, queries = query.shape[:2]
        height, width = self.state_size
        scene = match_size(pooled, height=height, width=width)
        pose = query.flatten(0, 1).to(pooled.dtype)
        sets = [cast("DeterministicStep", step) for step in self.steps]  # of weights: one, or one a step
        constants = [
            step.generator.constant(scene=scene, query=None, num_queries=queries, pose=pose, size=self.state_size)
            for step in sets
        ]
        positions = batch * queries * height * width * (self.config.steps // len(sets))
        filters = [step.generator.step_filters(positions=positions) for step in sets]
        state: LSTMState | None = None  # the zero state, of which nothing need be convolved
        if self.config.steps == 1 and self.config.shared:
            # It is convolved where nothing else would be: every weight has to be in the graph.
            zeros = pooled.new_zeros(batch * queries, self.config.hidden_channels, height, width)
            state = LSTMState(hidden=zeros, cell=zeros)
        states: list[Tensor] = []
        for index in range(self.config.steps):
            which = min(index, len(sets) - 1)
            state = sets[which].generator([], state, constants[which], filters[which])
            states.append(state.hidden)
        # The canvas, which eta_g alone would look at, is never painted.
        weight, bias = composed_image([step.delta for step in sets], self.eta_g)
        assert self.eta_g.bias is not None
        bias = bias * (len(states) / len(sets)) + self.eta_g.bias
        return sum_of_writes(states, weight, bias).unflatten(0, (batch, queries))


class DeterministicStep(nn.Module):
    """The weights of one step (or of all, when they are shared): the generator's cell and its way to the canvas."""

    def __init__(self, config: Deterministic.Config, *, shapes: CoreShapes, first: bool) -> None:
        super().__init__()
        self.first = first
        self.generator = ConvLSTMCell(
            scene_channels=shapes.representation.channels,
            query_channels=shapes.query_width,
            step_channels=0,
            hidden_channels=config.hidden_channels,
            kernel_size=config.kernel_size,
            first=first,
        )
        self.delta = nn.ConvTranspose2d(
            config.hidden_channels, config.canvas_channels, config.canvas_scale, stride=config.canvas_scale
        )
