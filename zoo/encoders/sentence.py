"""A caption encoder with a frozen, pretrained language model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Size
from zoo.encoders.captions import PoseFusion
from zoo.errors import ConfigError
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape

NEEDED_FILES = ("config.json", "tokenizer.json")


class Sentence(PerViewEncoder):
    """Sentence encoder, r = sum_i psi(caption^i, v^i), psi = fuse(mean over tokens of a language model, v^i), a vector.

    The language model is one of the library transformers, read from a folder and never downloaded: ``config.json``,
    ``tokenizer.json`` and weights in ``*.safetensors``. It is frozen; the fusion with the pose is trained. Captions are
    tokenised on the host.
    """

    class Config(PerViewEncoder.Config):
        path: str = Field(description="folder of a transformers model with safetensors weights and a tokenizer.json")
        channels: Size = Field(default=256, description="width of the representation")
        max_tokens: Size = Field(default=128, ge=2, description="tokens of a caption; further tokens are ignored")

    context_kind = "captions"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        self.shape = RepresentationShape(channels=config.channels, height=1, width=1)
        self.tokenizer, self.model, self.width = load(Path(config.path), max_tokens=config.max_tokens)
        self.fusion = PoseFusion(text_channels=self.width, pose_width=view.pose_width, channels=config.channels)

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of all but the language model, which stays in evaluation mode, without dropout."""
        super().train(mode)
        self.model.eval()
        return self

    @torch.no_grad()
    def sentences(self, captions: Tensor) -> Tensor:
        """Returns the mean of the model's last hidden states, [n, width], for captions [n, T] uint8."""
        texts = [row.tobytes().split(b"\0", 1)[0].decode(errors="replace") for row in captions.cpu().numpy()]
        token_ids = [encoded.ids for encoded in self.tokenizer.encode_batch(texts)]
        # At least one, masked position, so that captions without tokens have a shape.
        length = max([1, *map(len, token_ids)])
        tokens = torch.zeros(len(token_ids), length, dtype=torch.int64)
        mask = torch.zeros(len(token_ids), length, dtype=torch.int64)
        for index, numbers in enumerate(token_ids):
            tokens[index, : len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
            mask[index, : len(numbers)] = 1
        mask = mask.to(captions.device)
        hidden = self.model(input_ids=tokens.to(captions.device), attention_mask=mask).last_hidden_state
        weights = mask[..., None].to(hidden.dtype)
        # The vector of a caption without tokens is zero.
        return torch.where(weights > 0, hidden, 0.0).sum(1) / weights.sum(1).clamp(min=1.0)

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        sentences = self.sentences(values) if len(values) else poses.new_zeros(0, self.width)
        return self.fusion(sentences, poses)


def load(folder: Path, *, max_tokens: int) -> tuple[Any, nn.Module, int]:
    """Reads a tokenizer and a frozen language model from a folder; returns them with the width of its hidden states.

    Raises:
        ConfigError: if the library is not installed, files are missing, or the model is no text encoder.
    """
    try:
        import tokenizers
        import transformers
    except ImportError:
        raise ConfigError(
            "encoder sentence: needs the library transformers; install gqn-zoo with its extra 'text'"
        ) from None
    missing = [name for name in NEEDED_FILES if not (folder / name).is_file()]
    if missing or not list(folder.glob("*.safetensors")):
        lacking = missing[0] if missing else "*.safetensors (weights in other formats are not read)"
        raise ConfigError(f"encoder.path: {folder} has no {lacking}")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        with _quiet(transformers.utils.logging):
            model, report = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        # Weights may be saved in half precision.
        model.float().eval().requires_grad_(False)
        # The longest text, so that a model with fewer positions fails here and not in training.
        longest = tokenizer.encode("a " * max_tokens).ids
        hidden = model(input_ids=torch.tensor([longest])).last_hidden_state
    except Exception as error:  # these libraries raise many kinds for invalid files
        raise ConfigError(
            f"encoder.path: {folder} cannot be used as an encoder of up to {max_tokens} tokens: "
            f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        ) from None
    # The pooler of BERT-like models is not used here, and is often not saved.
    absent = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if absent:
        raise ConfigError(f"encoder.path: the weights in {folder} lack {absent[0]!r} and {len(absent) - 1} more")
    return tokenizer, model, hidden.shape[-1]


@contextmanager
def _quiet(log: Any) -> Iterator[None]:
    """Silences the progress bars and reports of transformers."""
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
