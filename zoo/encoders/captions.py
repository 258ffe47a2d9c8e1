"""The caption encoder of SLIM, trained from scratch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Depth, Size
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.nn.attention import NullToken, SelfAttentionBlock, Tokens
from zoo.nn.noise import fold

NO_WORD = 0  # the bucket of padding


class Captions(PerViewEncoder):
    """Caption encoder, r = sum_i psi(caption^i, v^i), a vector (Ramalho et al. 2018, SLIM).

    Every word is hashed into one of ``vocabulary_size`` trained embeddings (see ``tokenise``), a small
    transformer encodes the caption as one vector, and two layers fuse it with the pose.
    """

    class Config(PerViewEncoder.Config):
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
        self.text = TextEncoder(config)
        self.fusion = PoseFusion(
            text_channels=config.text_channels, pose_width=view.pose_width, channels=config.channels
        )

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        return self.fusion(self.text(values), poses)


class Words(NamedTuple):
    """Hashed words and n-grams of n texts of T bytes."""

    buckets: Tensor  # [n, W] int64, from 1; NO_WORD is padding
    mask: Tensor  # [n, W] bool: False is padding
    ngrams: Tensor  # [n, T] int64: the bucket of the n-gram that starts at a byte, from 1; NO_WORD if none does
    owners: Tensor  # [n, T] int64: the index of a byte's word; W for bytes outside of the first W words


def tokenise(texts: Tensor, *, num_buckets: int, max_words: int, ngram: int = 0) -> Words:
    """Splits texts into words and hashes every word to a bucket.

    A word is a maximal run of ASCII letters (in lower case), digits and bytes of 128 and above. The text ends at the first
    zero, and words after the first ``max_words`` are left out. The hash sums SplitMix64 of every byte keyed by its index in
    the word, so that it is the same on any device. Of k words, about k^2 / (2 * num_buckets) pairs share a bucket: 1 pair of
    100 words in 4096 buckets.

    Args:
        texts: [n, T] uint8, UTF-8 padded with zeros.
        num_buckets: including bucket 0, the padding.
        max_words: W.
        ngram: length of the n-grams of bytes within words, hashed likewise; 0 for none.
    """
    count, length = texts.shape
    text = texts.to(torch.int64)
    text = torch.where((text >= ord("A")) & (text <= ord("Z")), text + (ord("a") - ord("A")), text)
    letter = (text >= ord("a")) & (text <= ord("z"))
    digit = (text >= ord("0")) & (text <= ord("9"))
    inside = (letter | digit | (text >= 128)) & ((text == 0).cumsum(1) == 0)
    starts = inside & ~F.pad(inside, (1, 0))[:, :length]
    word = starts.cumsum(1) - 1
    owners = torch.where(inside & (word < max_words), word, max_words)
    places = torch.arange(length, device=texts.device)
    start = torch.where(starts, places, 0).cummax(1).values if length else places.expand(count, 0)
    sums = text.new_zeros(count, max_words + 1).scatter_add(1, owners, fold(text, places - start))
    mask = (word.amax(1, keepdim=True) if length else word.new_full((count, 1), -1)) >= torch.arange(
        max_words, device=texts.device
    )
    return Words(
        buckets=torch.where(mask, _bucket(sums[:, :max_words], num_buckets), NO_WORD),
        mask=mask,
        ngrams=_ngrams(text, owners, none=max_words, length=ngram, num_buckets=num_buckets),
        owners=owners,
    )


def _bucket(hashes: Tensor, num_buckets: int) -> Tensor:
    """Returns buckets from 1 of int64 hashes, without their sign."""
    return 1 + (fold(hashes, 0) & ((1 << 63) - 1)) % (num_buckets - 1)


def _ngrams(text: Tensor, owners: Tensor, *, none: int, length: int, num_buckets: int) -> Tensor:
    """Returns the bucket of the n-gram of ``length`` bytes that starts at every byte, [n, T]; NO_WORD if none does."""
    total = torch.zeros_like(text)
    whole = (owners != none) & (length > 0)
    for offset in range(length):
        # All bytes of an n-gram belong to one word.
        shifted = F.pad(text, (0, offset))[:, offset:]
        owner = F.pad(owners, (0, offset), value=none)[:, offset:]
        whole = whole & (owner == owners)
        total = total + fold(shifted, offset)
    # A final key other than that of words: the n-gram "red" is not the word "red".
    return torch.where(whole, _bucket(fold(total, 1), num_buckets), NO_WORD)


class WordEmbedding(nn.Module):
    """Word vectors: the embedding of the word's bucket plus the mean embedding of its n-grams."""

    def __init__(self, *, num_buckets: int, max_words: int, ngram: int, channels: int) -> None:
        super().__init__()
        self.num_buckets, self.max_words, self.ngram = num_buckets, max_words, ngram
        self.words = _embedding(num_buckets, channels)
        self.ngrams = _embedding(num_buckets, channels) if ngram else None

    def forward(self, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Maps texts [n, T] uint8 to vectors [n, W, channels] and the mask [n, W] of the words."""
        words = tokenise(texts, num_buckets=self.num_buckets, max_words=self.max_words, ngram=self.ngram)
        vectors = self.words(words.buckets)
        if self.ngrams is not None:
            places = torch.arange(self.max_words, device=texts.device)
            # [n, W, T]: the n-grams of a word. Unlike a scatter, a product sums in the same order on every device.
            belongs = (words.owners[:, None] == places[:, None]) & (words.ngrams != NO_WORD)[:, None]
            share = belongs / belongs.sum(-1, keepdim=True).clamp(min=1)
            vectors = vectors + share.to(vectors.dtype) @ self.ngrams(words.ngrams)
        return vectors * words.mask[..., None].to(vectors.dtype), words.mask


def _embedding(num_buckets: int, channels: int) -> nn.Embedding:
    embedding = nn.Embedding(num_buckets, channels)
    nn.init.normal_(embedding.weight, std=channels**-0.5)
    return embedding


class TextEncoder(nn.Module):
    """Text encoder: word vectors and positions, a transformer, and the mean over its outputs.

    A learned token gives a text without words a vector as well.
    """

    def __init__(self, config: Captions.Config) -> None:
        super().__init__()
        channels = config.text_channels
        self.embedding = WordEmbedding(
            num_buckets=config.vocabulary_size, max_words=config.max_words, ngram=config.ngram, channels=channels
        )
        self.places = nn.Parameter(torch.randn(config.max_words, channels) * channels**-0.5)
        self.null_token = NullToken(channels)
        self.blocks = nn.ModuleList(
            SelfAttentionBlock(channels=channels, heads=config.heads, hidden=4 * channels) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, texts: Tensor) -> Tensor:
        """Maps [n, T] uint8, UTF-8 padded with zeros, to [n, channels]."""
        vectors, mask = self.embedding(texts)
        tokens = self.null_token(Tokens(values=vectors + self.places, mask=mask))
        for block in self.blocks:
            tokens = block(tokens)
        weights = tokens.mask[..., None].to(tokens.values.dtype)
        return self.norm((tokens.values * weights).sum(1) / weights.sum(1))


class PoseFusion(nn.Module):
    """MLP from a text's vector and its pose to a map of one cell."""

    def __init__(self, *, text_channels: int, pose_width: int, channels: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(text_channels + pose_width, channels), nn.GELU(), nn.Linear(channels, channels)
        )

    def forward(self, texts: Tensor, poses: Tensor) -> Tensor:
        """Maps [n, text_channels] and [n, P] to [n, channels, 1, 1]."""
        return self.network(torch.cat([texts, poses.to(texts.dtype)], dim=-1))[:, :, None, None]
