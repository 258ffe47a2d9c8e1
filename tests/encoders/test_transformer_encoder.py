"""The set-latent scene encoder: views see each other and have no order; pooled is their mean."""

import pytest
import torch

from zoo.encoders.transformer import Transformer
from zoo.episode import Views
from zoo.model.interfaces import ViewShape

SIZE, SCENES, NUMBER = 8, 2, 3


def made(**settings):
    torch.manual_seed(0)
    view = ViewShape(channels=3, height=SIZE, width=SIZE, pose_width=7)
    config = {"channels": 8, "halvings": 2, "first_channels": 4, "blocks": 2, "heads": 2, "hidden_channels": 8}
    return Transformer(Transformer.Config(**config | {"octaves": 3} | settings), view=view).double()


def views(number=NUMBER, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Views(
        values=torch.rand(SCENES, number, 3, SIZE, SIZE, dtype=torch.float64, generator=generator),
        poses=torch.randn(SCENES, number, 7, dtype=torch.float64, generator=generator),
        mask=torch.ones(SCENES, number, dtype=torch.bool),
    )


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_pooled_is_the_mean_of_the_views_that_are_not_padding():
    encoder, given = made(), views()
    found = encoder(given)
    close(found.pooled, found.per_view.mean(1))
    ragged = encoder(given._replace(mask=torch.tensor([[True, True, False], [True, True, True]])))
    close(ragged.pooled[0], ragged.per_view[0, :2].mean(0))
    close(ragged.pooled[1], found.pooled[1])


def test_views_change_places_together_with_their_tokens():
    encoder, given = made(), views()
    order = [2, 0, 1]
    shuffled = encoder(Views(*(field[:, order] for field in given)))
    close(shuffled.per_view, encoder(given).per_view[:, order])


def test_a_views_tokens_know_the_other_views_of_the_scene_and_of_no_other_scene():
    encoder, given = made(), views()
    before = encoder(given).per_view
    changed = given.values.clone()
    changed[1, 2] = 1.0 - changed[1, 2]
    after = encoder(given._replace(values=changed)).per_view
    assert torch.equal(before[0], after[0])
    assert ((before[1] - after[1]).abs().amax(1) > 1e-7).all()


def test_no_view_attends_to_padding():
    encoder, given = made(), views()
    blank = Views(
        values=torch.full((SCENES, 1, 3, SIZE, SIZE), 1e3, dtype=torch.float64),
        poses=torch.zeros(SCENES, 1, 7, dtype=torch.float64),
        mask=torch.zeros(SCENES, 1, dtype=torch.bool),
    )
    padded = encoder(Views(*(torch.cat(fields, dim=1) for fields in zip(blank, given, strict=True))))
    close(padded.per_view[:, 1:], encoder(given).per_view)


def test_poses_belong_to_their_images():
    encoder, given = made(), views()
    swapped = encoder(given._replace(poses=given.poses[:, [1, 0, 2]]))
    assert ((swapped.per_view - encoder(given).per_view).abs().amax(2) > 1e-7).all()


def test_gradients_equal_finite_differences():
    encoder, given = made(blocks=1), views(2)
    assert torch.autograd.gradcheck(
        lambda what, where: encoder(given._replace(values=what, poses=where))[:2],
        (given.values.requires_grad_(), given.poses.requires_grad_()),
        fast_mode=True,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("settings", "message"), [({"halvings": 4}, "the patch size 16 does not divide"), ({"heads": 3}, "must divide")]
)
def test_sizes_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        made(**settings)
