"""The core of convolutional conditional neural processes."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from zoo.config.settings import Depth, Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.set_convolution import Anchor, FromGrid, GridMaker, GridNetwork, ToGrid


class ConvolutionalCnp(DeterministicCore):
    """Convolutional conditional neural process (Gordon et al. 2020, ICLR), no latents:

        p(y^1..Q | x^1..Q, C) = prod_q p(y^q | h(x^q)),  h = SetConv(CNN(SetConv(C))).

    Set convolutions map the context to values and a density on a grid, and the features of the grid to the queries. With
    ``anchor: context`` shifting all inputs shifts the predictions, so that the model extrapolates beyond the range of
    training. Inputs have one number, or two for positions of pixels.
    """

    class Config(Settings):
        anchor: Anchor = Field(default="context", description="centre of the grid: of the context's range, or zero")
        reach: float = Field(default=4.0, gt=0, description="half the width of the grid, units of the inputs")
        points_per_unit: float = Field(default=16.0, gt=0, description="cells of the grid per unit of the inputs")
        channels: Size = Field(default=64, description="channels of the convolutional network")
        layers: Depth = Field(default=6, description="residual convolutions")
        kernel_size: Size = Field(default=9, description="of every convolution, cells; odd")

    required_features = frozenset()
    query_kinds = frozenset({"inputs"})
    target_kinds = frozenset({"values"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config = config
        self.grid = GridMaker(
            dimensions=shapes.query_width,
            anchor=config.anchor,
            reach=config.reach,
            points_per_unit=config.points_per_unit,
        )
        self.to_grid = ToGrid(spacing=self.grid.spacing)
        self.network = GridNetwork(
            dimensions=shapes.query_width,
            channels_in=1 + shapes.target[0],
            channels=config.channels,
            channels_out=shapes.prediction_channels,
            layers=config.layers,
            kernel_size=config.kernel_size,
        )
        self.from_grid = FromGrid(spacing=self.grid.spacing)

    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        """Returns predictions [B, Q, C', 1, 1] for queries [B, Q, P]."""
        grid = self.grid(context.poses, context.mask)
        signal = self.to_grid(context.values.flatten(2), context.poses, context.mask, grid)
        return self.from_grid(self.network(signal), grid, query)[..., None, None]
