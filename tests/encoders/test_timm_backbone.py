"""Backbones of timm: any layout, nothing unused, no mixing of scenes, weights from a file."""

import json
import warnings

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from zoo.encoders.timm_backbone import TimmBackbone, _normalise_by_groups
from zoo.episode import Views
from zoo.errors import ConfigError
from zoo.model.interfaces import ViewShape
from zoo.registry.registry import default_registry
from zoo.training.memory import check_model_memory

VIEW = ViewShape(channels=3, height=16, width=16, pose_width=7)


def made(model, *, stage=1, input_size=32, **settings):
    torch.manual_seed(0)
    config = TimmBackbone.Config(model=model, stage=stage, input_size=input_size, channels=16, **settings)
    return TimmBackbone(config, view=VIEW)


def views(*, scenes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Views(
        values=torch.rand(scenes, 2, 3, 16, 16, generator=generator),
        poses=torch.randn(scenes, 2, 7, generator=generator),
        mask=torch.ones(scenes, 2, dtype=torch.bool),
    )


@pytest.mark.parametrize("model", ["resnet18", "mobilenetv3_small_050", "efficientnet_lite0", "regnetx_002"])
def test_nothing_lies_behind_the_tapped_stage(model):
    encoder = made(model)
    encoder(views()).pooled.square().sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []
    whole = timm.create_model(model, features_only=True, out_indices=(1,))
    kept = sum(parameter.numel() for parameter in encoder.backbone.parameters())
    assert 0 < kept <= sum(parameter.numel() for parameter in whole.parameters())


def test_taking_out_what_is_behind_leaves_the_features_alone():
    encoder = made("mobilenetv3_small_050")
    torch.manual_seed(0)
    whole = timm.create_model("mobilenetv3_small_050", features_only=True, out_indices=(1,))
    _normalise_by_groups(whole)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(encoder.backbone(images)[0], whole(images)[0])
    assert sum(p.numel() for p in encoder.backbone.parameters()) < 0.1 * sum(p.numel() for p in whole.parameters())


def test_what_cannot_be_taken_out_is_frozen():
    encoder = made("xception41")
    encoder(views()).pooled.square().sum().backward()
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)
    assert len(trained) < len(list(encoder.parameters()))


def test_channels_may_come_last():
    encoder = made("swin_s3_tiny_224", stage=0, input_size=56)
    assert tuple(encoder.shape) == (16, 14, 14)
    with torch.no_grad():
        images = torch.rand(1, 3, 56, 56)
        raw = encoder.backbone(images)[0]
        assert raw.shape == (1, 14, 14, 96)
        torch.testing.assert_close(encoder._features(images), raw.permute(0, 3, 1, 2))


@pytest.mark.parametrize("model", ["resnet18", "mobilenetv3_small_050"])
def test_batch_normalisation_is_replaced(model):
    encoder = made(model)
    norms = [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms == []
    # An activation that timm had fused into the normalisation is still there.
    rectifiers = (nn.ReLU, nn.Hardswish)
    assert any(isinstance(module, rectifiers) for module in encoder.backbone.modules())


def test_a_backbone_that_mixes_scenes_is_refused():
    with pytest.raises(ConfigError, match="levit_128s normalises vectors over the batch"):
        made("levit_128s", stage=0, input_size=64)


@pytest.mark.parametrize("pose", ["features", "pixels"])
def test_the_pose_is_concatenated_with_pixels_or_features(pose):
    encoder = made("resnet18", pose=pose)
    joined = 64 + (7 if pose == "features" else 0)
    assert encoder.fuse[0].in_channels == joined
    assert encoder.backbone.conv1.in_channels == (3 if pose == "features" else 10)
    given = views()
    with torch.no_grad():
        turned = given._replace(poses=given.poses.roll(1, dims=1))
        assert (encoder(turned).pooled - encoder(given).pooled).abs().max() > 1e-6


def test_images_keep_their_size_without_input_size():
    assert made("resnet18", stage=0, input_size=None).shape[1:] == (8, 8)
    assert made("resnet18", stage=0, input_size=64).shape[1:] == (32, 32)


class TestWeights:
    def test_are_loaded_and_their_statistics_frozen(self, tmp_path):
        torch.manual_seed(5)
        source = timm.create_model("resnet18", features_only=True, out_indices=(1,))
        source.bn1.running_mean.fill_(0.25)
        save_file({name: value.contiguous() for name, value in source.state_dict().items()}, tmp_path / "w.safetensors")
        encoder = made("resnet18", weights=str(tmp_path / "w.safetensors"))
        images = torch.rand(2, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(encoder.train()._features(images), source.eval()(images)[0])
        encoder.train()
        encoder(views())
        assert torch.equal(encoder.backbone.bn1.running_mean, torch.full((64,), 0.25))

    def test_read_pixels_that_are_standardised_as_in_their_training(self, tmp_path):
        """Images are from 0 to 1 here; published weights expect other means and deviations."""
        source = timm.create_model("resnet18", features_only=True, out_indices=(1,)).eval()
        save_file({name: value.contiguous() for name, value in source.state_dict().items()}, tmp_path / "w.safetensors")
        encoder = made("resnet18", weights=str(tmp_path / "w.safetensors"), input_size=None).eval()
        read = []
        encoder.backbone.register_forward_pre_hook(lambda module, arguments: read.append(arguments[0]))
        given = views()
        with torch.no_grad():
            encoder(given)
        published = timm.get_pretrained_cfg("resnet18")
        transform = timm.data.create_transform(16, mean=published.mean, std=published.std).transforms[-1]
        torch.testing.assert_close(read[0], transform(given.values.flatten(0, 1)))
        assert not [name for name in encoder.state_dict() if "pixel" in name]  # checkpoints keep their names

    def test_are_not_mentioned_by_the_estimate_of_memory(self, tmp_path):
        """It builds the model without memory, and torch warns of every tensor that is not copied."""
        source = timm.create_model("resnet18", features_only=True, out_indices=(1,))
        save_file({name: value.contiguous() for name, value in source.state_dict().items()}, tmp_path / "w.safetensors")
        weights = f"encoder.weights={json.dumps(str(tmp_path / 'w.safetensors'))}"
        variant = default_registry().variant("gqn-resnet18", size="smoke", overrides=[weights])
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            check_model_memory(variant, device=torch.device("cpu"))
        assert [str(each.message) for each in seen] == []

    def test_that_are_damaged_or_of_another_model_are_refused(self, tmp_path):
        damaged = tmp_path / "damaged.safetensors"
        damaged.write_bytes(b"no tensors here")
        with pytest.raises(ConfigError, match="damaged"):
            made("resnet18", weights=str(damaged))
        other = tmp_path / "other.safetensors"
        save_file({"nothing": torch.zeros(1)}, other)
        with pytest.raises(ConfigError, match="lacks 'conv1\\.weight'"):
            made("resnet18", weights=str(other))
        with pytest.raises(ConfigError, match="missing"):
            made("resnet18", weights=str(tmp_path / "missing.safetensors"))


@pytest.mark.parametrize(
    ("model", "stage", "message"),
    [("resnet81", 1, "did you mean"), ("resnet18", 9, "resnet18 has no feature map 9")],
)
def test_what_timm_does_not_have_is_refused(model, stage, message):
    with pytest.raises(ConfigError, match=message) as caught:
        made(model, stage=stage)
    assert "\n" not in str(caught.value)
