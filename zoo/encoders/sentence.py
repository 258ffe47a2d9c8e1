"""The encoder of captions that brings its knowledge of language along: a pretrained model from a folder on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Settings
from zoo.encoders.captions import represent_captions
from zoo.episode import Views
from zoo.errors import ConfigError
from zoo.model.interfaces import Encoder, Representation, RepresentationShape, ViewShape
from zoo.nn.text import PoseFusion

NEEDED_FILES = ("config.json", "tokenizer.json")


class Sentence(Encoder):
    """r = sum_i psi(caption^i, v^i) with psi = fuse(mean over tokens of a frozen language model, v^i), a vector.

    The model is one of the library transformers, read from a folder and never from the network: ``config.json``,
    ``tokenizer.json`` and weights in ``*.safetensors``. It stays as it is; only what joins its sentence vectors with the
    poses is trained. Captions are decoded on the host.
    """

    class Config(Settings):
        """Where the model lies, and the width of what is made of it."""

        path: str = Field(description="folder of a transformers model with safetensors weights and a tokenizer.json")
        channels: int = Field(default=256, ge=1, description="width of the representation")
        max_tokens: int = Field(default=128, ge=2, description="tokens of a caption that are read")

    context_kind = "captions"
    features = frozenset({"pooled", "per_view"})
    views_apart = True

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        self._shape = RepresentationShape(channels=config.channels, height=1, width=1)
        self.tokenizer, self.model, self.width = load(Path(config.path), max_tokens=config.max_tokens)
        self.fusion = PoseFusion(text_channels=self.width, pose_width=view.pose_width, channels=config.channels)

    @property
    def shape(self) -> RepresentationShape:
        return self._shape

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of what is trained; the language model always predicts, without dropout."""
        super().train(mode)
        self.model.eval()
        return self

    @torch.no_grad()
    def sentences(self, captions: Tensor) -> Tensor:
        """Returns the mean of the model's last hidden states, [n, width], for captions [n, T] uint8."""
        texts = [row.tobytes().split(b"\0", 1)[0].decode(errors="replace") for row in captions.cpu().numpy()]
        found = [encoded.ids for encoded in self.tokenizer.encode_batch(texts)]
        # At least one place, so that captions without tokens have a shape; it counts for nothing.
        length = max([1, *map(len, found)])
        tokens = torch.zeros(len(found), length, dtype=torch.int64)
        mask = torch.zeros(len(found), length, dtype=torch.int64)
        for index, numbers in enumerate(found):
            tokens[index, : len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
            mask[index, : len(numbers)] = 1
        mask = mask.to(captions.device)
        hidden = self.model(input_ids=tokens.to(captions.device), attention_mask=mask).last_hidden_state
        weights = mask[..., None].to(hidden.dtype)
        # A caption without tokens has the zero vector, whatever the model makes of nothing.
        return torch.where(weights > 0, hidden, 0.0).sum(1) / weights.sum(1).clamp(min=1.0)

    def _psi(self, captions: Tensor, poses: Tensor) -> Tensor:
        if not len(captions):
            return self.fusion(poses.new_zeros(0, self.width), poses)
        return self.fusion(self.sentences(captions), poses)

    def forward(self, views: Views) -> Representation:
        return represent_captions(views, self._psi)


def load(folder: Path, *, max_tokens: int) -> tuple[Any, nn.Module, int]:
    """Reads a tokenizer and a frozen language model from a folder, and returns them with the width of its states.

    Raises:
        ConfigError: if the library is not installed, files are missing, or they are not those of an encoder of text.
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
        # Weights may be saved in half precision; what is trained behind them is in single.
        model.float().eval().requires_grad_(False)
        # The longest text that will ever be read, so that it fails here and not in the middle of training.
        longest = tokenizer.encode("a " * max_tokens).ids
        hidden = model(input_ids=torch.tensor([longest])).last_hidden_state
    except Exception as error:  # these libraries raise what they like, of many kinds, for files that are not theirs
        raise ConfigError(
            f"encoder.path: {folder} cannot be used as an encoder of up to {max_tokens} tokens: "
            f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        ) from None
    # The pooler of BERT and its kin reads the hidden states that are averaged here, and is often not saved.
    absent = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if absent:
        raise ConfigError(f"encoder.path: the weights in {folder} lack {absent[0]!r} and {len(absent) - 1} more")
    return tokenizer, model, hidden.shape[-1]


@contextmanager
def _quiet(log: Any) -> Iterator[None]:
    """Keeps transformers from drawing progress bars and reports on the screen; what matters of them is checked here."""
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
