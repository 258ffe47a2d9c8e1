"""The caption encoder of SLIM, trained from scratch."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from zoo.config.settings import Depth, Settings, Size
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.nn.text import PoseFusion, TextEncoder


class Captions(PerViewEncoder):
    """Caption encoder, r = sum_i psi(caption^i, v^i), a vector (Ramalho et al. 2018, SLIM).

    Every word is hashed into one of ``vocabulary_size`` trained embeddings (see ``zoo.nn.text.tokenise``), a small
    transformer encodes the caption as one vector, and two layers fuse it with the pose.
    """

    class Config(Settings):
        channels: Size = Field(default=256, description="width of the representation")
        vocabulary_size: Size = Field(default=4096, ge=2, description="buckets of words, which share an embedding")
        max_words: Size = Field(default=64, description="words of a caption; further words are ignored")
        ngram: int = Field(
            default=0, ge=0, le=16, description="bytes of the n-grams added to a word, for similar spellings; 0: none"
        )
        text_channels: Size = Field(default=128, description="width of the words and of the transformer")
        layers: Depth = Field(default=2, description="blocks of the transformer")
        heads: Size = Field(default=4, description="attention heads of a block; must divide text_channels")

    context_kind = "captions"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        if config.text_channels % config.heads:
            raise ValueError(f"text_channels {config.text_channels}: must be divisible by heads {config.heads}")
        self.shape = RepresentationShape(channels=config.channels, height=1, width=1)
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

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        return self.fusion(self.text(values), poses)
