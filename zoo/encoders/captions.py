"""The encoder of captions: what somebody says about a scene from a viewpoint, in words learned here."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings
from zoo.episode import Views
from zoo.model.interfaces import Encoder, Representation, RepresentationShape, ViewShape
from zoo.nn.blocks import masked_sum
from zoo.nn.text import PoseFusion, TextEncoder


class Captions(Encoder):
    """r = sum_i psi(caption^i, v^i), a vector (Ramalho et al. 2018, SLIM).

    A caption is cut into words, every word is hashed into one of ``vocabulary_size`` buckets with a trained vector (see
    ``zoo.nn.text.tokenise``), a small transformer makes one vector of the caption, and two layers join it with the pose.
    """

    class Config(Settings):
        """Sizes of the words and of the networks."""

        channels: int = Field(default=256, ge=1, description="width of the representation")
        vocabulary_size: int = Field(
            default=4096, ge=2, description="buckets of words; words that meet in a bucket cannot be told apart"
        )
        max_words: int = Field(default=64, ge=1, description="words of a caption that are read; the rest is left out")
        ngram: int = Field(
            default=0,
            ge=0,
            le=16,
            description="bytes of the n-grams that are added to a word's vector, so that words written alike are alike; 0: none",
        )
        text_channels: int = Field(default=128, ge=1, description="width of the words and of the transformer")
        layers: int = Field(default=2, ge=1, description="blocks of the transformer")
        heads: int = Field(default=4, ge=1, description="attention heads of a block; they divide text_channels")

    context_kind = "captions"
    features = frozenset({"pooled", "per_view"})
    views_apart = True

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        if config.text_channels % config.heads:
            raise ValueError(f"text_channels {config.text_channels}: must be divisible by heads {config.heads}")
        self._shape = RepresentationShape(channels=config.channels, height=1, width=1)
        self.text = TextEncoder(
            num_buckets=config.vocabulary_size,
            max_words=config.max_words,
            ngram=config.ngram,
            channels=config.text_channels,
            layers=config.layers,
            heads=config.heads,
        )
        self.fusion = PoseFusion(
            text_channels=config.text_channels, pose_width=view.pose_width, channels=config.channels
        )

    @property
    def shape(self) -> RepresentationShape:
        return self._shape

    def _psi(self, captions: Tensor, poses: Tensor) -> Tensor:
        return self.fusion(self.text(captions), poses)

    def forward(self, views: Views) -> Representation:
        return represent_captions(views, self._psi)


def represent_captions(views: Views, network: Callable[[Tensor, Tensor], Tensor]) -> Representation:
    """Encodes every caption by itself and sums over the captions of a scene.

    Args:
        views: captions [B, N, T] uint8 with poses [B, N, P].
        network: psi, from captions [B * N, T] and poses [B * N, P] to maps [B * N, C, 1, 1].
    """
    per_view = network(views.values.flatten(0, 1), views.poses.flatten(0, 1)).unflatten(0, views.mask.shape)
    return Representation(pooled=masked_sum(per_view, views.mask), per_view=per_view, mask=views.mask)
