"""The dictionary encoder: patches cut where they are said to be, each encoded by itself, with or without its pose."""

import pytest
import torch

from zoo.encoders.patches import Patches
from zoo.episode import Views
from zoo.model.interfaces import ViewShape

SIZE = 16


def made(**settings):
    torch.manual_seed(0)
    view = ViewShape(channels=3, height=SIZE, width=SIZE, pose_width=7)
    return Patches(Patches.Config(channels=16, **settings), view=view).double()


def views(number=2, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Views(
        values=torch.rand(1, number, 3, SIZE, SIZE, dtype=torch.float64, generator=generator),
        poses=torch.randn(1, number, 7, dtype=torch.float64, generator=generator),
        mask=torch.ones(1, number, dtype=torch.bool),
    )


def test_the_papers_patches_are_8x8_pixels_4_apart():
    config = Patches.Config()
    view = ViewShape(channels=3, height=32, width=32, pose_width=7)
    assert (config.patch_size, config.stride) == (8, 4)
    assert tuple(Patches(config, view=view).shape) == (64, 7, 7)


@pytest.mark.parametrize("pose", ["joined", "left_out"])
def test_a_pixel_reaches_the_patches_it_lies_in_and_no_others(pose):
    encoder, given = made(pose=pose), views()
    before = encoder(given).per_view
    assert before.shape == (1, 2, 16, 3, 3)
    for row, column in ((0, 0), (5, 9), (15, 3), (7, 7)):
        changed = given.values.clone()
        changed[0, 1, :, row, column] += 0.5
        after = encoder(given._replace(values=changed)).per_view
        reached = (before - after).abs().amax(2)[0] > 1e-9
        expected = torch.tensor(
            [[4 * y <= row < 4 * y + 8 and 4 * x <= column < 4 * x + 8 for x in range(3)] for y in range(3)]
        )
        assert torch.equal(reached[1], expected)
        assert not reached[0].any()


def test_without_its_pose_a_patch_depends_on_its_pixels_only():
    encoder, given = made(pose="left_out"), views()
    moved = given._replace(poses=given.poses + 1.0)
    assert torch.equal(encoder(given).per_view, encoder(moved).per_view)
    shifted = given._replace(values=given.values.roll((4, 4), dims=(-2, -1)))
    torch.testing.assert_close(encoder(shifted).per_view[..., 1:, 1:], encoder(given).per_view[..., :-1, :-1])


def test_with_its_pose_a_patch_depends_on_pose_and_position():
    encoder, given = made(pose="joined"), views()
    before = encoder(given).per_view
    assert ((before - encoder(given._replace(poses=given.poses + 1.0)).per_view).abs().amax(2) > 1e-6).all()
    grey = given._replace(values=torch.full_like(given.values, 0.5))
    found = encoder(grey).per_view[0, 0].flatten(1)
    assert (torch.cdist(found.T, found.T) + torch.eye(9) > 1e-6).all(), "equal patches at different places look alike"


@pytest.mark.parametrize("settings", [{"patch_size": 18}, {"patch_size": 8, "stride": 3}])
def test_patches_that_do_not_cover_the_image_are_refused(settings):
    with pytest.raises(ValueError, match="cannot be covered by patches"):
        made(**settings)
