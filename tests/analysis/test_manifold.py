"""Latents of images whose meaning is known: the places of a spot, one of them known from the camera."""

import numpy as np
import pytest
import torch
from analysis_inputs import make_inputs, trained_model
from torch import nn

from zoo.analysis import manifold
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

SIZE, SCENES, VIEWS = 16, 40, 4
AXIS = torch.linspace(-1.0, 1.0, SIZE)
POSE_X = 16  # of the condition: after the channels of the representation of the size smoke


def spots(x, y):
    """Images [n, 3, SIZE, SIZE] of a spot at x, y [n], from -1 to 1."""
    squares = (AXIS - x[:, None])[:, None].square() + (AXIS - y[:, None])[:, :, None].square()
    return torch.exp(-12.0 * squares)[:, None].expand(-1, 3, -1, -1)


def places_of(images):
    """The centres of spots, x and y, [n, 2]."""
    mass = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    return torch.stack([(mass.sum(1) * AXIS).sum(1), (mass.sum(2) * AXIS).sum(1)], dim=1)


class Apply(nn.Module):
    """A function as a module; its parameter says on which device the model is."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, values):
        return self.function(values)


def with_width(values, width=8):
    """Fills vectors with zeros to means of ``width`` latents, and adds their log-scales."""
    means = nn.functional.pad(values, (0, width - values.shape[-1]))
    return torch.cat([means, torch.full_like(means, -2.0)], dim=-1)


@pytest.fixture
def scenes(array_scenes):
    """Spots at a height of the scene, and at an x that the camera has as well."""
    found = array_scenes(num_scenes=SCENES, num_views=VIEWS, image_size=SIZE)
    generator = torch.Generator().manual_seed(0)
    x = 1.2 * torch.rand(SCENES, VIEWS, generator=generator) - 0.6
    y = (1.2 * torch.rand(SCENES, 1, generator=generator) - 0.6).expand(-1, VIEWS)
    images = spots(x.flatten(), y.flatten()).unflatten(0, (SCENES, VIEWS))
    found.frames[:] = (255.0 * images).round().movedim(2, -1).numpy().astype(np.uint8)
    found.cameras[..., 0] = x.numpy()
    return found


def model_of(name):
    variant = default_registry().variant(name, size="smoke")
    return build(variant, seed=0), variant


def spot_vae():
    """A VAE whose latents are the place of the spot."""
    model, variant = model_of("vae")
    model.core.reader = Apply(lambda images: with_width(places_of(images)))
    model.core.writer = Apply(lambda z: spots(z[:, 0], z[:, 1]))
    return trained_model(model, variant)


def linear_vae():
    """A VAE that is linear in the pixels."""
    model, variant = model_of("vae")
    weights = torch.linalg.qr(torch.randn(3 * SIZE**2, 8, generator=torch.Generator().manual_seed(1)))[0]
    model.core.reader = Apply(lambda images: with_width((images - 0.5).flatten(1) @ weights))
    model.core.writer = Apply(lambda z: 0.5 + 0.1 * (z @ weights.T).unflatten(1, (3, SIZE, SIZE)))
    return trained_model(model, variant)


def spot_cvae(*, uses_z=True, uses_condition=True):
    """A CVAE that knows x from the camera and has y in its latents, which the prior moves by x."""
    model, variant = model_of("cvae")
    core = model.core
    assert variant.config()["encoder"]["channels"] == POSE_X
    core.condition = Apply(lambda known: known[..., POSE_X : POSE_X + 1].expand(*known.shape[:-1], 16))
    core.prior = Apply(lambda condition: with_width(condition[..., :1]))
    core.reader = Apply(lambda images: nn.functional.pad(places_of(images), (0, 14)))
    core.posterior = Apply(lambda known: with_width(known[..., 1:2] + known[..., 16:17]))

    def write(joined):
        moved, x = joined[:, 0], joined[:, 8]
        return spots(x if uses_condition else torch.zeros_like(x), moved - x if uses_z else torch.zeros_like(x))

    core.writer = Apply(write)
    return trained_model(model, variant)


def verdicts(trained, scenes):
    found = manifold.run(make_inputs({"a": trained}, scenes))
    return [claim.holds for claim in found.claims], found


def test_latents_that_are_places_pass_through_images_of_spots(scenes):
    holds, found = verdicts(spot_vae(), scenes)
    assert holds == [True, True] and set(found.sheets) == {"grid", "interpolations"}
    measured = manifold.measure(make_inputs({}, scenes), spot_vae())
    first, second = measured.truth[:, 0], measured.truth[:, 0].roll(-1, 0)
    middle = measured.images[manifold.LATENT][manifold.MIDDLE]
    torch.testing.assert_close(places_of(middle), (places_of(first) + places_of(second)) / 2, atol=0.03, rtol=0.0)
    distance = measured.scores[manifold.LATENT]["distance"]
    assert distance.shape == (len(manifold.PLACES), SCENES) and distance.min() > 0.0


def test_linear_latents_are_as_good_as_pixels(scenes):
    _, found = verdicts(linear_vae(), scenes)
    assert max(abs(claim.mean) for claim in found.claims) < 1e-3
    by_series = found.table[found.table.quantity == manifold.QUANTITIES["distance"]].groupby("series")["mean"]
    latent, pixel = (by_series.get_group(f"a, {source}") for source in (manifold.LATENT, manifold.PIXEL))
    np.testing.assert_allclose(latent, pixel, rtol=1e-4)


def test_the_grid_spans_the_plane_of_the_places(scenes):
    grid = manifold.measure(make_inputs({}, scenes), spot_vae()).grid
    places = places_of(grid.flatten(0, 1)).unflatten(0, grid.shape[:2])
    along, across = places[-1, 4] - places[0, 4], places[4, -1] - places[4, 0]
    assert along.norm() > 0.5 and across.norm() > 0.5
    assert abs(torch.dot(along, across)) < 0.1 * along.norm() * across.norm()


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, [True, True]), ({"uses_z": False}, [False, True]), ({"uses_condition": False}, [True, False])],
)
def test_analogies_keep_z_and_obey_the_condition(scenes, options, expected):
    holds, found = verdicts(spot_cvae(**options), scenes)
    assert holds[2:] == expected and "analogies" in found.sheets


def test_analogies_are_exact_where_z_and_the_condition_are_independent(scenes):
    measured = manifold.measure(make_inputs({}, scenes), spot_cvae())
    error = manifold.squared_error(measured.analogies[manifold.CAMERA], measured.truth[:, 1])
    assert error.max() < 1e-4
    control = manifold.squared_error(measured.analogies[manifold.CAMERA_CONTROL], measured.truth[:, 1])
    assert control.mean() > 100.0 * error.mean()


def test_a_distance_skips_the_scenes_of_both_images(scenes):
    nearest = manifold.NearestImages(make_inputs({}, scenes))
    images = torch.from_numpy(scenes.frames[:, 0]).movedim(-1, 1) / 255.0
    assert nearest.distance(images, skipped=0).min() > 0.0
    # The next scene does not count either, so that its own images are not found.
    assert (nearest.distance(images.roll(-1, 0), skipped=1) > 0.0).all()
    assert nearest.distance(images.roll(-2, 0), skipped=1).max() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", ["gqn-tower", "deterministic", "cnp-1d"])
def test_models_without_latents_of_an_image_do_not_qualify(name):
    model, variant = model_of(name)
    assert "core vae or cvae" in manifold.missing(trained_model(model, variant))
    assert manifold.missing(spot_vae()) is None and manifold.missing(spot_cvae()) is None
