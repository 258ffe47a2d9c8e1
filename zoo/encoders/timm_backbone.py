"""Feature backbones of timm as encoders."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Size
from zoo.errors import ConfigError, did_you_mean
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.nn.blocks import ResidualBlock, expand_to_map, initialise


class TimmBackbone(PerViewEncoder):
    """timm encoder, r = sum_i psi(x^i, v^i), psi = fuse(backbone(x^i), v^i), with a backbone of timm by name.

    Images are resized to ``input_size`` first, because most backbones expect 224x224 pixels. The pose is concatenated
    with the pixels or with the features of the chosen stage. Batch normalisation mixes the scenes of a batch; it is
    replaced by group normalisation if the backbone starts from random weights. If it starts from a file, it is frozen,
    and pixels are standardised as the weights of that name in timm expect.
    """

    class Config(PerViewEncoder.Config):
        model: str = Field(default="resnet18", description="a name in timm.list_models()")
        stage: int = Field(default=1, ge=0, le=256, description="index of the feature map, 0 is the finest")
        pose: Literal["features", "pixels"] = Field(default="features", description="where the pose is concatenated")
        input_size: Size | None = Field(
            default=None, ge=8, description="images are resized to this many pixels; null keeps their size"
        )
        channels: Size = Field(default=256, ge=8, description="channels of the representation")
        weights: str | None = Field(default=None, description="path of a safetensors file with the backbone's weights")

    context_kind = "images"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        self.config = config
        size = config.input_size or view.height
        pose_in_pixels = config.pose == "pixels"
        channels_in = view.channels + (view.pose_width if pose_in_pixels else 0)
        self.backbone = make_backbone(config, channels_in=channels_in, size=size)
        self.pixel_statistics: Tensor | None
        statistics = None if config.weights is None else _pixel_statistics(config.model)
        self.register_buffer("pixel_statistics", statistics, persistent=False)
        self.channels_last = str(getattr(self.backbone, "output_fmt", "NCHW")).endswith("NHWC")
        # Not random, so that building draws nothing but initial weights.
        example = torch.linspace(-1.0, 1.0, channels_in * size * size).view(1, channels_in, size, size)
        drop_unused(self.backbone, example)
        with torch.no_grad():
            features = self._features(example)
        self.shape = RepresentationShape(channels=config.channels, height=features.shape[-2], width=features.shape[-1])
        joined = features.shape[1] + (0 if pose_in_pixels else view.pose_width)
        join = nn.Conv2d(joined, config.channels, 1)
        initialise(join, features.shape[1], *([] if pose_in_pixels else [view.pose_width]), gain=0.5)
        self.fuse = nn.Sequential(join, ResidualBlock(channels_in=config.channels, channels_out=config.channels))

    def _features(self, images: Tensor) -> Tensor:
        """Returns the feature map of the stage, [n, C, h, w]; some transformers of timm return [n, h, w, C]."""
        features = self.backbone(images)[0]
        return features.movedim(-1, 1) if self.channels_last else features

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        images, count = values, len(values)
        if not count:
            # Normalisation refuses empty batches, and DistributedDataParallel needs every parameter in the graph: one
            # blank image is encoded and dropped again.
            images, poses = images.new_zeros(1, *images.shape[1:]), poses.new_zeros(1, poses.shape[1])
        if self.config.input_size is not None:
            images = F.interpolate(images, size=(self.config.input_size,) * 2, mode="bilinear", align_corners=False)
        if self.pixel_statistics is not None:
            mean, deviation = self.pixel_statistics
            images = (images - mean) / deviation
        if self.config.pose == "pixels":
            images = torch.cat([images, expand_to_map(poses, height=images.shape[-2], width=images.shape[-1])], dim=1)
        features = self._features(images)
        if self.config.pose == "features":
            poses = expand_to_map(poses, height=features.shape[-2], width=features.shape[-1])
            features = torch.cat([features, poses.to(features.dtype)], dim=1)
        return self.fuse(features)[:count]


def make_backbone(config: TimmBackbone.Config, *, channels_in: int, size: int) -> nn.Module:
    """Makes the feature extractor of one stage.

    Raises:
        ConfigError: if there is no such model or stage, or the weights do not fit.
    """
    import timm

    if not timm.is_model(config.model):
        raise ConfigError(
            f"encoder.model: timm has no model {config.model!r}{did_you_mean(config.model, timm.list_models())[:200]}"
        )
    published = timm.get_pretrained_cfg(config.model)
    # Vision transformers have a position embedding of one size.
    size_argument: dict[str, Any] = {"img_size": size} if published is not None and published.fixed_input_size else {}
    try:
        backbone = timm.create_model(
            config.model,
            features_only=True,
            out_indices=(config.stage,),
            in_chans=channels_in,
            pretrained=False,
            **size_argument,
        )
    except (IndexError, AssertionError, RuntimeError) as error:
        raise ConfigError(
            f"encoder: {config.model} has no feature map {config.stage} for images of {size} pixels: {error}"
        ) from None
    if config.weights is None:
        _normalise_by_groups(backbone)
    else:
        backbone = _with_weights(backbone, config)
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in backbone.modules()):
        raise ConfigError(
            f"encoder.model: {config.model} normalises vectors over the batch, which mixes scenes; choose another model"
        )
    return backbone


def _with_weights(backbone: nn.Module, config: TimmBackbone.Config) -> nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from timm.layers import freeze_batch_norm_2d

    assert config.weights is not None
    try:
        missing, _ = backbone.load_state_dict(load_file(config.weights), strict=False)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ConfigError(
            f"encoder.weights: {config.weights} does not fit {config.model}: {str(error).splitlines()[0]}"
        ) from None
    if missing:
        raise ConfigError(
            f"encoder.weights: {config.weights} lacks {missing[0]!r} and {len(missing) - 1} more of {config.model}"
        )
    return freeze_batch_norm_2d(backbone)


def _pixel_statistics(model: str) -> Tensor | None:
    """Returns mean and standard deviation of the pixels that published weights expect, [2, 3, 1, 1]; None without any."""
    import timm

    published = timm.get_pretrained_cfg(model)
    return None if published is None else torch.tensor([published.mean, published.std])[:, :, None, None]


def _normalise_by_groups(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            norm = nn.GroupNorm(math.gcd(32, child.num_features), child.num_features)
            # timm fuses the activation into some of its normalisation layers.
            fused = (getattr(child, "drop", None), getattr(child, "act", None))
            extra = [part for part in fused if isinstance(part, nn.Module) and not isinstance(part, nn.Identity)]
            setattr(module, name, nn.Sequential(norm, *extra) if extra else norm)
        else:
            _normalise_by_groups(child)


@torch.enable_grad()
def drop_unused(backbone: nn.Module, example: Tensor) -> None:
    """Removes the layers of a backbone behind its stage, in place, and freezes those that cannot be removed.

    Some families of timm keep and compute all later layers. Their weights get no gradient, which
    DistributedDataParallel refuses, and would count as parameters of the encoder. It accepts images like ``example``.
    """
    training = backbone.training
    backbone.eval()
    features = backbone(example)[0]
    parameters = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(features.sum(), parameters, allow_unused=True)
    unused = {id(parameter) for parameter, gradient in zip(parameters, gradients, strict=True) if gradient is None}
    if unused:
        _remove(backbone, unused, backbone=backbone, example=example, expected=features.detach())
    for parameter in backbone.parameters():
        if id(parameter) in unused:
            parameter.requires_grad_(False)
    backbone.train(training)


@torch.no_grad()
def _remove(module: nn.Module, unused: set[int], *, backbone: nn.Module, example: Tensor, expected: Tensor) -> None:
    # Last to first: a later layer may not accept the input of the removed one.
    for name, child in reversed(list(module.named_children())):
        own = {id(parameter) for parameter in child.parameters()}
        if not own & unused:
            continue
        if own <= unused:
            setattr(module, name, nn.Identity())
            # Fails where the code around it uses more than its output.
            with contextlib.suppress(RuntimeError, TypeError, AttributeError, IndexError):
                if torch.equal(backbone(example)[0], expected):
                    continue
            setattr(module, name, child)
        _remove(child, unused, backbone=backbone, example=example, expected=expected)
