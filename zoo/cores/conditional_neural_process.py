"""The core of conditional neural processes."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from zoo.config.settings import Depth, Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.set_paths import Aggregation, PointDecoder, deterministic_path


class ConditionalNeuralProcess(DeterministicCore):
    """Conditional neural process (Garnelo et al. 2018, "Conditional neural processes"), no latents:

        p(y^1..Q | x^1..Q, C) = prod_q p(y^q | d(x^q, C), x^q).

    d is the mean of the context's features or, with ``aggregation: attention``, cross-attention from the query. The
    objective is the predictive log-likelihood. Targets are independent given the context, so samples at neighbouring
    queries are not consistent. Feature maps of images are averaged over space.
    """

    class Config(Settings):
        """Sizes; defaults follow the public code of Lee et al. 2020."""

        aggregation: Aggregation = Field(
            default="mean", description="of the context: mean over its points, or attention from the query"
        )
        hidden_channels: Size = Field(default=128, description="width of all hidden layers and of d")
        decoder_layers: Depth = Field(default=3, description="hidden layers of the decoder")
        heads: Size = Field(default=8, description="of the attention; must divide hidden_channels")

    required_features = frozenset({"per_view"})
    query_kinds = frozenset({"poses", "inputs"})
    target_kinds = frozenset({"images", "values"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config = config
        hidden = config.hidden_channels
        self.deterministic = deterministic_path(
            config.aggregation,
            channels=shapes.representation.channels,
            input_width=shapes.pose_width,
            hidden=hidden,
            heads=config.heads,
        )
        self.decoder = PointDecoder(
            condition=hidden,
            query=shapes.query_width,
            hidden=hidden,
            layers=config.decoder_layers,
            target=shapes.target,
            channels_out=shapes.prediction_channels,
        )

    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        """Returns predictions [B, Q, C', H, W] for queries [B, Q, P]."""
        encoded = encode(context)
        features = encoded.per_view.mean(dim=(-2, -1))
        deterministic = self.deterministic(
            features, context.poses.to(features.dtype), encoded.mask, query.to(features.dtype)
        )
        return self.decoder(deterministic, query)
