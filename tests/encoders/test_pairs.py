"""The encoder of pairs: every point by itself."""

import torch

from zoo.encoders.pairs import Pairs
from zoo.episode import Views
from zoo.model.interfaces import ViewShape

SCENES, POINTS = 2, 4
VIEW = ViewShape(channels=3, height=1, width=1, pose_width=2)


def random(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made():
    torch.manual_seed(0)
    return Pairs(Pairs.Config(channels=8, layers=3), view=VIEW).double()


def views(number=POINTS):
    mask = torch.ones(SCENES, number, dtype=torch.bool)
    return Views(values=random(SCENES, number, 3, 1, 1, seed=0), poses=random(SCENES, number, 2, seed=1), mask=mask)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_point_is_encoded_by_its_value_and_its_input():
    encoder, given = made(), views()
    found = encoder(given)
    assert tuple(encoder.shape) == (8, 1, 1) and found.per_view.shape == (SCENES, POINTS, 8, 1, 1)
    joined = torch.cat([given.values[1, 2].flatten(), given.poses[1, 2]])
    close(found.per_view[1, 2].flatten(), encoder.network(joined))
    for changed in (given._replace(values=given.values + 1.0), given._replace(poses=given.poses + 1.0)):
        assert (encoder(changed).per_view - found.per_view).abs().amax((2, 3, 4)).min() > 1e-6


def test_the_sum_is_over_what_the_mask_keeps_and_nothing_gives_zeros():
    encoder, given = made(), views()
    mask = given.mask.clone()
    mask[0, 1:] = False
    found = encoder(given._replace(mask=mask))
    close(found.pooled[0], found.per_view[0, 0])
    close(found.pooled[1], found.per_view[1].sum(0))
    empty = encoder(views(0))
    assert empty.pooled.shape == (SCENES, 8, 1, 1) and (empty.pooled == 0).all() and empty.per_view.shape[1] == 0


def test_one_layer_is_linear():
    torch.manual_seed(0)
    encoder = Pairs(Pairs.Config(channels=8, layers=1), view=VIEW).double()
    given = views()
    double = given._replace(values=2.0 * given.values, poses=2.0 * given.poses)
    bias = encoder.network[0].bias[:, None, None]
    close(encoder(double).per_view - bias, 2.0 * (encoder(given).per_view - bias))
