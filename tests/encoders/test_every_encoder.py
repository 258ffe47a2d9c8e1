"""What every encoder of images keeps, whatever its network."""

import functools

import pytest
import torch

from zoo.encoders.timm_backbone import TimmBackbone
from zoo.episode import Views
from zoo.model.interfaces import Encoder, ViewShape
from zoo.registry.components import available, find_component

SIZE, POSES, SCENES, NUMBER = 16, 7, 2, 3
VIEW = ViewShape(channels=3, height=SIZE, width=SIZE, pose_width=POSES)
TIMM = {
    "resnet18": {"stage": 1, "input_size": 32},
    "convnext_atto": {"stage": 0, "input_size": 32},
    "mobilenetv3_small_050": {"stage": 1, "input_size": 32, "pose": "pixels"},
    "vit_tiny_patch16_224": {"stage": 0, "input_size": 32},
}
NAMES = [
    name
    for name in available("encoder")
    if name != "timm_backbone" and find_component("encoder", name, file="tests").context_kind == "images"
] + list(TIMM)
RAYS = {f"{name}, rays": name for name in ("tower", "pool", "pyramid", "jump")}
NAMES += RAYS
# Its views attend to each other: tests/encoders/test_transformer_encoder.py states its own law of pooling.
TOGETHER = ("transformer",)
ALONE = [name for name in NAMES if name not in TOGETHER]


@functools.cache
def made(name):
    torch.manual_seed(0)
    if name in TIMM:
        encoder = TimmBackbone(TimmBackbone.Config(model=name, channels=16, **TIMM[name]), view=VIEW)
    else:
        part = find_component("encoder", RAYS.get(name, name), file="tests")
        assert issubclass(part, Encoder)
        encoder = part(part.Config(channels=16, **({"pose": "rays"} if name in RAYS else {})), view=VIEW)
    return encoder.double().eval()


def views(*, number=NUMBER, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Views(
        values=torch.rand(SCENES, number, 3, SIZE, SIZE, dtype=torch.float64, generator=generator),
        poses=torch.randn(SCENES, number, POSES, dtype=torch.float64, generator=generator),
        mask=torch.ones(SCENES, number, dtype=torch.bool),
    )


def joined(*parts):
    return Views(*(torch.cat(fields, dim=1) for fields in zip(*parts, strict=True)))


def close(one, other, tolerance=1e-12):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.fixture(params=NAMES)
def encoder(request):
    with torch.no_grad():
        yield made(request.param)


def test_shapes_are_as_declared(encoder):
    shape = tuple(encoder.shape)
    found = encoder(views())
    assert found.pooled.shape == (SCENES, *shape)
    assert found.per_view.shape == (SCENES, NUMBER, *shape)
    assert torch.equal(found.mask, views().mask)
    assert encoder.features == {"pooled", "per_view"}


@pytest.mark.parametrize("padding", [0.0, 1.0, 1e6])
def test_padding_changes_nothing(encoder, padding):
    given = views()
    blank = Views(
        values=torch.full((SCENES, 2, 3, SIZE, SIZE), padding, dtype=torch.float64),
        poses=torch.full((SCENES, 2, POSES), padding, dtype=torch.float64),
        mask=torch.zeros(SCENES, 2, dtype=torch.bool),
    )
    expected = encoder(given).pooled
    close(encoder(joined(given, blank)).pooled, expected)
    close(encoder(joined(blank, given)).pooled, expected)


def test_scenes_with_fewer_views_equal_themselves_without_padding(encoder):
    given = views()
    ragged = given._replace(mask=torch.tensor([[True, True, True], [True, False, False]]))
    found = encoder(ragged).pooled
    close(found[0], encoder(Views(*(field[:1] for field in given))).pooled[0])
    close(found[1], encoder(Views(*(field[1:, :1] for field in given))).pooled[0])


@pytest.mark.parametrize("encoder", ALONE, indirect=True)
def test_the_representation_of_a_union_is_the_sum(encoder):
    one, other = views(seed=1), views(seed=2, number=2)
    total = encoder(one).pooled + encoder(other).pooled
    close(encoder(joined(one, other)).pooled, total)
    close(encoder(joined(one, one)).pooled, 2 * encoder(one).pooled)


def test_no_views_give_zeros(encoder):
    found = encoder(views(number=0))
    assert torch.equal(found.pooled, torch.zeros(SCENES, *encoder.shape, dtype=torch.float64))
    assert found.per_view.shape == (SCENES, 0, *encoder.shape)
    nothing = views()._replace(mask=torch.zeros(SCENES, NUMBER, dtype=torch.bool))
    assert torch.equal(encoder(nothing).pooled, found.pooled)


@pytest.mark.parametrize("encoder", ALONE, indirect=True)
def test_the_encoding_of_a_view_does_not_depend_on_its_index(encoder):
    given = views()
    whole = encoder(given)
    close(whole.pooled, whole.per_view.sum(1))
    for index in range(NUMBER):
        alone = encoder(Views(*(field[1:, [index]] for field in given)))
        close(alone.per_view[0, 0], whole.per_view[1, index])


def test_all_orders_of_the_views_are_one(encoder):
    given = views()
    expected = encoder(given).pooled
    for order in ([0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        close(encoder(Views(*(field[:, order] for field in given))).pooled, expected)


def test_poses_belong_to_their_images(encoder):
    given = views()
    swapped = given._replace(poses=given.poses[:, [1, 0, 2]])
    change = (encoder(swapped).pooled - encoder(given).pooled).abs().amax(dim=(1, 2, 3))
    assert (change > 1e-6).all()


def test_every_number_of_a_pose_and_every_channel_of_a_image_counts(encoder):
    given = views()
    before = encoder(given).pooled
    for index in range(POSES):
        where = given.poses.clone()
        where[:, 0, index] += 1.0
        assert (encoder(given._replace(poses=where)).pooled - before).abs().amax(dim=(1, 2, 3)).min() > 1e-8
    for channel in range(3):
        what = given.values.clone()
        what[:, 0, channel] += 0.5
        assert (encoder(given._replace(values=what)).pooled - before).abs().amax(dim=(1, 2, 3)).min() > 1e-8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [0, 1])
def test_every_parameter_is_in_the_graph_for_any_number_of_views(name, number):
    encoder = made(name).train()
    try:
        encoder.zero_grad(set_to_none=True)
        encoder(views(number=number)).pooled.square().sum().backward()
        missing = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
    finally:
        encoder.eval()
    assert missing == []


@pytest.mark.parametrize("name", NAMES)
def test_training_mode_computes_the_same(name):
    encoder = made(name)
    with torch.no_grad():
        expected = encoder(views()).pooled
        try:
            found = encoder.train()(views()).pooled
        finally:
            encoder.eval()
    close(found, expected)


@pytest.mark.parametrize("name", ["pyramid", "tower", "pool"])
def test_gradients_equal_finite_differences(name):
    part = find_component("encoder", name, file="tests")
    torch.manual_seed(0)
    small = part(part.Config(channels=8), view=ViewShape(channels=1, height=8, width=8, pose_width=2)).double()
    generator = torch.Generator().manual_seed(1)
    what = torch.rand(1, 2, 1, 8, 8, dtype=torch.float64, generator=generator).requires_grad_()
    where = torch.randn(1, 2, 2, dtype=torch.float64, generator=generator).requires_grad_()
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda what, where: small(Views(what, where, mask)).pooled, (what, where))


@pytest.mark.parametrize(("pooling", "divisor"), [("sum", 1.0), ("mean", 3.0), ("root", 3.0**0.5)])
def test_views_are_pooled_by_sum_mean_or_root(pooling, divisor):
    part = find_component("encoder", "tower", file="tests")
    encoder = part(part.Config(channels=16, pooling=pooling), view=VIEW).double()
    some = views()
    found = encoder(some)
    close(found.pooled, found.per_view.sum(1) / divisor)
    padded = joined(some, views(number=2, seed=1)._replace(mask=torch.zeros(SCENES, 2, dtype=torch.bool)))
    close(encoder(padded).pooled, found.pooled)
    assert not encoder(Views(*(field[:, :0] for field in some))).pooled.any()
