"""The deterministic baseline of GQN: its generator without latents."""

from __future__ import annotations

from typing import cast

from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Depth, Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.blocks import divide_size, match_size, set_bias
from zoo.nn.canvas import composed_image, sum_of_writes
from zoo.nn.convlstm import ConvLSTMCell, LSTMState


class Deterministic(DeterministicCore):
    """Deterministic GQN baseline, the generator of Eslami et al. 2018 without z_l, no latents:

        p(x^q | v^q, r) = N(x^q; eta_g(u_L), sigma^2).

    Step l: generator cell (v^q, r) -> canvas u_{l+1} = u_l + Delta(h^g_{l+1}). State, canvas, weights per step and
    initialisation are those of ``gqn``, so the difference is the latents alone. Trained by squared error, the prediction
    is the mean of all images that the context allows: a blur.
    """

    class Config(Settings):
        """Sizes; defaults as in ``gqn``."""

        steps: Depth = Field(default=12, description="L, steps of the generator")
        shared: bool = Field(default=False, description="one set of weights for all steps; false: one set per step")
        hidden_channels: Size = Field(default=128, description="channels of the ConvLSTM's states h and c")
        canvas_channels: Size = Field(default=128, description="channels of the canvas u")
        canvas_scale: Size = Field(default=4, description="pixels of the canvas per cell of the states")
        kernel_size: Size = Field(default=5, description="of the ConvLSTM; odd")

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
        set_bias(self.eta_g, shapes.initial_prediction)

    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        pooled = encode(context).pooled
        batch, queries = query.shape[:2]
        height, width = self.state_size
        scene = match_size(pooled, height=height, width=width)
        pose = query.flatten(0, 1).to(pooled.dtype)
        sets = [cast("DeterministicStep", step) for step in self.steps]  # of weights: one, or one per step
        uses = self.config.steps // len(sets)
        prepared = [
            step.generator.prepare(
                scene=scene,
                pose=pose,
                num_queries=queries,
                size=self.state_size,
                positions=batch * queries * height * width * uses,
            )
            for step in sets
        ]
        state: LSTMState | None = None  # the zero state, which needs no convolution
        if self.config.steps == 1 and self.config.shared:
            # With one shared step the zero state is convolved, since every weight must be in the graph.
            zeros = pooled.new_zeros(batch * queries, self.config.hidden_channels, height, width)
            state = LSTMState(hidden=zeros, cell=zeros)
        states: list[Tensor] = []
        for cell in prepared * uses:
            state = cell.advance([], state)
            states.append(state.hidden)
        # Writing the canvas and eta_g are linear: the image is one transposed convolution of the states.
        weight, bias = composed_image([step.delta for step in sets], self.eta_g)
        assert self.eta_g.bias is not None
        bias = bias * uses + self.eta_g.bias
        return sum_of_writes(states, weight, bias).unflatten(0, (batch, queries))


class DeterministicStep(nn.Module):
    """The weights of one step (of all steps if shared): the generator's cell and Delta."""

    def __init__(self, config: Deterministic.Config, *, shapes: CoreShapes, first: bool) -> None:
        super().__init__()
        self.generator = ConvLSTMCell(
            scene_channels=shapes.representation.channels,
            query_channels=shapes.query_width,
            hidden_channels=config.hidden_channels,
            kernel_size=config.kernel_size,
            first=first,
        )
        self.delta = nn.ConvTranspose2d(
            config.hidden_channels, config.canvas_channels, config.canvas_scale, stride=config.canvas_scale
        )
        set_bias(self.delta, (0.0,) * config.canvas_channels)  # L biases add up on the canvas
