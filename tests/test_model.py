"""One model behind one forward: the terms, and predictions that are made without the targets."""

import pytest
import torch

from zoo.checking import subject
from zoo.evaluation.throughput import random_batch
from zoo.registry import build, default_registry
from zoo.schedules import knobs

NAMES = ("gqn-tower", "cvae", "vae", "gqn-tower-8bit")
KNOBS = knobs(sigma=0.7)


def made(name):
    variant = default_registry().variant(name, size="smoke")
    return build(variant, seed=0).eval(), random_batch(batch_size=2, num_views=4, image_size=variant.image_size)


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_those_of_likelihood_and_core(name):
    model, batch = made(name)
    with torch.no_grad():
        terms = model(batch, KNOBS, 2)
        episode = model.task(batch, num_context=2)
        output = model.core(episode, model.encoder, KNOBS)
    likelihoods = torch.stack(
        [
            model.likelihood.log_prob(output.prediction[:, [query]], episode.target[:, [query]], KNOBS)[:, 0]
            for query in range(2)
        ]
    )
    torch.testing.assert_close(terms.log_likelihood, likelihoods.sum(0))
    torch.testing.assert_close(terms.kl, torch.stack([row.sum() for row in output.kl]))
    torch.testing.assert_close(terms.log_ratio, output.log_ratio)
    assert terms.num_targets.tolist() == [2.0, 2.0]
    assert terms.target_dims.tolist() == [768.0, 768.0]
    torch.testing.assert_close(terms.floor, 2 * model.likelihood.floor(768, KNOBS).expand(2))
    torch.testing.assert_close(terms.nelbo(), terms.kl - terms.log_likelihood)
    torch.testing.assert_close(terms.nelbo(0.25), 0.25 * terms.kl - terms.log_likelihood)
    torch.testing.assert_close(terms.excess(), terms.nelbo() - terms.floor)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_have_their_shapes_and_range(name):
    model, batch = made(name)
    prediction = model.predict(batch, KNOBS, 2, num_samples=3)
    channels = model.likelihood.prediction_channels(3)
    assert prediction.parameters.shape == (3, 2, 2, channels, 16, 16)
    assert prediction.expected.shape == (3, 2, 2, 3, 16, 16)
    assert prediction.expected.min() >= 0
    assert prediction.expected.max() <= 1
    assert not prediction.parameters.requires_grad
    assert torch.equal(prediction.target, model.task(batch, num_context=2).target)
    assert model.sample(batch, KNOBS, 2, num_samples=3).shape == (3, 2, 2, 3, 16, 16)


@pytest.mark.parametrize("name", NAMES)
def test_samples_differ_between_samples_scenes_queries_and_keys(name):
    model, batch = made(name)
    # Scenes, queries and their pictures made equal: only the noise is left to differ.
    same = batch._replace(
        frames=batch.frames[:1, :1].expand_as(batch.frames), cameras=batch.cameras[:1, :1].expand_as(batch.cameras)
    )
    drawn = model.predict(same, KNOBS, 2, num_samples=2).parameters
    assert drawn.shape[:3] == (2, 2, 2)
    flat = drawn.flatten(0, 2).flatten(1)
    distances = torch.cdist(flat, flat) + torch.eye(8) * 1e9
    assert distances.min() > 1e-5
    again = model.predict(same._replace(key=same.key + 100), KNOBS, 2, num_samples=2).parameters
    assert (again - drawn).abs().flatten(3).amax(-1).min() > 1e-7


@pytest.mark.parametrize("name", NAMES)
def test_the_first_samples_do_not_depend_on_how_many_are_drawn(name):
    model, batch = made(name)
    few, many = (model.predict(batch, KNOBS, 2, num_samples=number).parameters for number in (2, 5))
    torch.testing.assert_close(many[:2], few, rtol=1e-5, atol=1e-6)
    few, many = (model.sample(batch, KNOBS, 2, num_samples=number) for number in (2, 5))
    torch.testing.assert_close(many[:2], few, rtol=1e-5, atol=5e-3 if name == "gqn-tower-8bit" else 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_temperature_zero_leaves_no_chance(name):
    model, batch = made(name)
    drawn = model.predict(batch, knobs(sigma=0.7, temperature=0.0), 2, num_samples=3).parameters
    torch.testing.assert_close(drawn[1], drawn[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(drawn[2], drawn[0], rtol=0, atol=1e-6)


def test_pixel_noise_has_sigma_and_is_not_the_noise_of_the_latents():
    model, batch = made("gqn-tower")
    means = model.predict(batch, KNOBS, 2, num_samples=4).parameters
    noise = (model.sample(batch, KNOBS, 2, num_samples=4) - means) / 0.7
    assert abs(noise.mean().item()) * noise.numel() ** 0.5 < 4
    assert abs(noise.var().item() - 1) / (2 / noise.numel()) ** 0.5 < 4
    flat = noise.flatten(0, 2).flatten(1)
    correlation = torch.corrcoef(flat) - torch.eye(len(flat))
    assert correlation.abs().max() * flat.shape[1] ** 0.5 < 5


def test_pixel_noise_of_a_scene_does_not_depend_on_its_batch():
    model, batch = made("vae")
    alone = batch.apply(lambda field: field[1:])
    torch.testing.assert_close(
        model.sample(alone, KNOBS, 2)[:, 0], model.sample(batch, KNOBS, 2)[:, 1], rtol=1e-5, atol=1e-5
    )


def test_the_seed_decides_the_weights_and_leaves_torch_alone():
    variant = default_registry().variant("gqn-tower", size="smoke")
    state = torch.get_rng_state()
    one, same, other = (build(variant, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["gqn-tower", "gqn-tower-8bit", "cvae"])
def test_gradient_of_the_whole_loss_equals_finite_differences(name):
    trial = subject(default_registry().variant(name, size="smoke"))
    model, parameters = trial.model, list(trial.model.parameters())

    def loss():
        terms = trial.terms()
        return (terms.nelbo(trial.knobs.beta) / terms.num_targets).mean()

    gradients = torch.autograd.grad(loss(), parameters)
    start = [parameter.detach().clone() for parameter in parameters]
    generator = torch.Generator().manual_seed(0)
    step = 1e-6
    for _ in range(5):
        direction = [torch.randn(p.shape, dtype=p.dtype, generator=generator) for p in parameters]
        slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True)).item()
        ends = []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                for parameter, origin, along in zip(parameters, start, direction, strict=True):
                    parameter.copy_(origin + sign * step * along)
                ends.append(loss().item())
        measured = (ends[0] - ends[1]) / (2 * step)
        assert measured == pytest.approx(slope, rel=1e-5), model


def test_bf16_changes_the_excess_by_little():
    model, batch = made("gqn-tower")
    with torch.no_grad():
        exact = model(batch, KNOBS, 2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = model(batch, KNOBS, 2)
    assert all(field.dtype == torch.float32 for field in rough)
    assert ((rough.excess() - exact.excess()).abs() / exact.num_targets).max() < 0.5
