"""The three networks of figure S1 at the paper's size, and the absent encoder."""

import pytest
import torch

from zoo.encoders.none import NoEncoder
from zoo.encoders.pool import Pool
from zoo.encoders.pyramid import Pyramid
from zoo.encoders.tower import Tower
from zoo.episode import Views
from zoo.model.interfaces import ViewShape

PAPER = ViewShape(channels=3, height=64, width=64, pose_width=7)


def views(size, number=2):
    generator = torch.Generator().manual_seed(0)
    return Views(
        values=torch.rand(1, number, 3, size, size, generator=generator),
        poses=torch.randn(1, number, 7, generator=generator),
        mask=torch.ones(1, number, dtype=torch.bool),
    )


@pytest.mark.parametrize(("part", "shape"), [(Tower, (256, 16, 16)), (Pool, (256, 1, 1)), (Pyramid, (256, 1, 1))])
def test_representations_have_the_sizes_of_the_paper(part, shape):
    encoder = part(part.Config(), view=PAPER)
    assert tuple(encoder.shape) == shape
    with torch.no_grad():
        assert encoder(views(64)).pooled.shape == (1, *shape)


def test_the_pool_is_the_mean_of_the_tower():
    tower = Tower(Tower.Config(channels=16), view=PAPER._replace(height=16, width=16))
    pool = Pool(Pool.Config(channels=16), view=PAPER._replace(height=16, width=16))
    pool.load_state_dict(tower.state_dict())
    with torch.no_grad():
        expected = tower(views(16)).pooled.mean(dim=(2, 3), keepdim=True)
        torch.testing.assert_close(pool(views(16)).pooled, expected)


def test_the_pyramid_has_the_pose_at_every_pixel():
    """Its first layer is a convolution of the image beside the spread pose."""
    encoder = Pyramid(Pyramid.Config(channels=16), view=PAPER._replace(height=16, width=16))
    first = encoder.network[0]
    assert (first.in_channels, first.kernel_size, first.stride) == (10, (2, 2), (2, 2))
    given = views(16, number=1)
    maps = torch.cat([given.values[0], given.poses[0, :, :, None, None].expand(1, 7, 16, 16)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(encoder(given).pooled, encoder.network(maps))


@pytest.mark.parametrize("part", [Tower, Pool, Pyramid])
def test_images_that_cannot_be_halved_are_refused(part):
    with pytest.raises(ValueError, match="18x18"):
        part(part.Config(), view=PAPER._replace(height=18, width=18))


def test_no_encoder_has_no_channels_and_no_parameters():
    encoder = NoEncoder(NoEncoder.Config(), view=PAPER)
    found = encoder(views(64))
    assert found.pooled.shape == (1, 0, 1, 1)
    assert found.per_view.shape == (1, 2, 0, 1, 1)
    assert list(encoder.parameters()) == []
    assert tuple(encoder.shape) == (0, 1, 1)
