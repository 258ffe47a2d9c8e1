"""One model behind one forward: the terms, and predictions that are made without the targets."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from zoo.checks.fixture import make_fixture
from zoo.config.schedules import schedule_values
from zoo.episode import Views
from zoo.evaluation.throughput import random_batch
from zoo.model.scene_model import cached_encoder, fastest_memory_format
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

NAMES = ("gqn-tower", "cvae", "vae", "gqn-tower-8bit")
SCHEDULE = schedule_values(sigma=0.7)


def made(name):
    variant = default_registry().variant(name, size="smoke")
    return build(variant, seed=0).eval(), random_batch(batch_size=2, num_views=4, image_size=variant.image_size)


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_those_of_likelihood_and_core(name):
    model, batch = made(name)
    with torch.no_grad():
        terms = model(batch, SCHEDULE, 2)
        episode = model.task(batch, num_context=2)
        output = model.core(episode, model.encoder, SCHEDULE)
    likelihoods = torch.stack(
        [
            model.likelihood.log_prob(output.prediction[:, [query]], episode.target[:, [query]], SCHEDULE)[:, 0]
            for query in range(2)
        ]
    )
    torch.testing.assert_close(terms.log_likelihood, likelihoods.sum(0))
    torch.testing.assert_close(terms.kl, torch.stack([row.sum() for row in output.kl]))
    torch.testing.assert_close(terms.log_ratio, output.log_ratio)
    assert terms.num_targets.tolist() == [2.0, 2.0]
    assert terms.target_dims.tolist() == [768.0, 768.0]
    torch.testing.assert_close(terms.floor, 2 * model.likelihood.floor(768, SCHEDULE).expand(2))
    torch.testing.assert_close(terms.nelbo(), terms.kl - terms.log_likelihood)
    torch.testing.assert_close(terms.excess(), terms.nelbo() - terms.floor)


def sampled(model, batch, *, num_samples=1):
    """Targets with the noise of the likelihood, [S, B, Q, C, H, W]."""
    return model.with_noise(model.predict(batch, SCHEDULE, 2, num_samples=num_samples).parameters, batch.key, SCHEDULE)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_have_their_shapes_and_range(name):
    model, batch = made(name)
    prediction = model.predict(batch, SCHEDULE, 2, num_samples=3)
    channels = model.likelihood.prediction_channels(3)
    assert prediction.parameters.shape == (3, 2, 2, channels, 16, 16)
    assert prediction.expected.shape == (3, 2, 2, 3, 16, 16)
    assert prediction.expected.min() >= 0
    assert prediction.expected.max() <= 1
    assert not prediction.parameters.requires_grad
    assert torch.equal(prediction.target, model.task(batch, num_context=2).target)
    assert sampled(model, batch, num_samples=3).shape == (3, 2, 2, 3, 16, 16)


@pytest.mark.parametrize("name", NAMES)
def test_samples_differ_between_samples_scenes_queries_and_keys(name):
    model, batch = made(name)
    # Scenes, queries and their images made equal: only the noise is left to differ.
    same = batch._replace(
        frames=batch.frames[:1, :1].expand_as(batch.frames), cameras=batch.cameras[:1, :1].expand_as(batch.cameras)
    )
    drawn = model.predict(same, SCHEDULE, 2, num_samples=2).parameters
    assert drawn.shape[:3] == (2, 2, 2)
    flat = drawn.flatten(0, 2).flatten(1)
    distances = torch.cdist(flat, flat) + torch.eye(8) * 1e9
    assert distances.min() > 1e-5
    again = model.predict(same._replace(key=same.key + 100), SCHEDULE, 2, num_samples=2).parameters
    assert (again - drawn).abs().flatten(3).amax(-1).min() > 1e-7


@pytest.mark.parametrize("name", NAMES)
def test_the_first_samples_do_not_depend_on_how_many_are_drawn(name):
    model, batch = made(name)
    few, many = (model.predict(batch, SCHEDULE, 2, num_samples=number).parameters for number in (2, 5))
    torch.testing.assert_close(many[:2], few, rtol=1e-5, atol=1e-6)
    few, many = (sampled(model, batch, num_samples=number) for number in (2, 5))
    torch.testing.assert_close(many[:2], few, rtol=1e-5, atol=5e-3 if name == "gqn-tower-8bit" else 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_temperature_zero_leaves_no_chance(name):
    model, batch = made(name)
    drawn = model.predict(batch, schedule_values(sigma=0.7, temperature=0.0), 2, num_samples=3).parameters
    torch.testing.assert_close(drawn[1], drawn[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(drawn[2], drawn[0], rtol=0, atol=1e-6)


def test_pixel_noise_has_sigma_and_is_not_the_noise_of_the_latents():
    model, batch = made("gqn-tower")
    means = model.predict(batch, SCHEDULE, 2, num_samples=4).parameters
    noise = (sampled(model, batch, num_samples=4) - means) / 0.7
    assert abs(noise.mean().item()) * noise.numel() ** 0.5 < 4
    assert abs(noise.var().item() - 1) / (2 / noise.numel()) ** 0.5 < 4
    flat = noise.flatten(0, 2).flatten(1)
    correlation = torch.corrcoef(flat) - torch.eye(len(flat))
    assert correlation.abs().max() * flat.shape[1] ** 0.5 < 5


def test_pixel_noise_of_a_scene_does_not_depend_on_its_batch():
    model, batch = made("vae")
    alone = batch.apply(lambda field: field[1:])
    torch.testing.assert_close(sampled(model, alone)[:, 0], sampled(model, batch)[:, 1], rtol=1e-5, atol=1e-5)


def test_the_seed_decides_the_weights_and_leaves_torch_alone():
    variant = default_registry().variant("gqn-tower", size="smoke")
    state = torch.get_rng_state()
    one, same, other = (build(variant, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["gqn-tower", "gqn-tower-8bit", "cvae"])
def test_gradient_of_the_whole_loss_equals_finite_differences(name):
    fixture = make_fixture(default_registry().variant(name, size="smoke"))
    model, parameters = fixture.model, list(fixture.model.parameters())

    def loss():
        terms = fixture.terms()
        return terms.loss()

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
        exact = model(batch, SCHEDULE, 2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = model(batch, SCHEDULE, 2)
    assert all(field.dtype == torch.float32 for field in rough)
    assert ((rough.excess() - exact.excess()).abs() / exact.num_targets).max() < 0.5


class Counting(torch.nn.Module):
    """An encoder that counts how often it is asked."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.calls = encoder, 0

    def forward(self, views):
        self.calls += 1
        return self.encoder(views)


@pytest.mark.parametrize("name", ["gqn-tower", "cvae", "vae", "deterministic", "reversed-gqn-latent", "slim-images"])
@pytest.mark.parametrize("chunk_numbers", [1, 2 * 768, 2 * 2 * 768 * 3])
def test_predictions_in_chunks_equal_those_in_one_call_and_encode_the_context_once(name, chunk_numbers):
    model, batch = made(name)
    episode = model.episode(batch, num_context=2)
    expected = model.predict_parameters(episode, SCHEDULE, num_samples=5)
    model.encoder = Counting(model.encoder)
    torch.testing.assert_close(
        model.predict_parameters(episode, SCHEDULE, num_samples=5, chunk_numbers=chunk_numbers),
        expected,
        rtol=1e-5,
        atol=1e-6,
    )
    assert model.encoder.calls <= 1


def test_chunks_are_at_most_as_large_as_requested(monkeypatch):
    model, batch = made("gqn-tower")
    episode = model.episode(batch, num_context=2)
    seen = []
    predict = model.core.predict

    def watched(context, query, key, *, encode, schedule, num_samples):
        seen.append((num_samples, query.shape[1]))
        return predict(context, query, key, encode=encode, schedule=schedule, num_samples=num_samples)

    monkeypatch.setattr(model.core, "predict", watched)
    for chunk_numbers, chunks in (
        (1, [(1, 1)] * 10),
        (2 * 768, [(1, 1)] * 10),
        (2 * 2 * 768 * 3, [(3, 2), (2, 2)]),
        (2 * 2 * 768 * 5, [(5, 2)]),
    ):
        seen.clear()
        model.predict_parameters(episode, SCHEDULE, num_samples=5, chunk_numbers=chunk_numbers)
        assert seen == chunks


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_episodes_are_contiguous_in_the_fastest_memory_format(monkeypatch, device):
    """What a GPU is given can be looked at on a CPU."""
    model, batch = made("gqn-tower")
    chosen = fastest_memory_format(device)
    assert chosen is (torch.contiguous_format if device == "cpu" else torch.channels_last)
    with torch.no_grad():
        expected = model(batch, SCHEDULE, 2)
    monkeypatch.setattr("zoo.model.scene_model.fastest_memory_format", lambda device: chosen)
    model.to_device("cpu")
    assert all(each.is_contiguous(memory_format=chosen) for each in model.parameters() if each.ndim == 4)
    for number in (1, 2, 3):
        episode = model.episode(
            batch.apply(lambda field: field[:, :4] if field.ndim > 1 else field), num_context=number
        )
        for images in (episode.context.values, episode.target, episode.target_views.values):
            assert images.flatten(0, 1).is_contiguous(memory_format=chosen)
            assert images.flatten(0, 1).data_ptr() == images.data_ptr(), "flattened without a copy"
        assert all(field.is_contiguous() for field in (episode.context.poses, episode.context.mask, episode.query))
        for one, other in zip(episode.context, model.task(batch, num_context=number).context, strict=True):
            assert torch.equal(one, other)
    with torch.no_grad():
        for one, other in zip(model(batch, SCHEDULE, 2), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-3)


def test_a_cached_encoder_encodes_the_same_views_once():
    model, batch = made("gqn-tower")
    episode = model.episode(batch, num_context=2)
    counting = Counting(model.encoder)
    encode = cached_encoder(counting, episode)
    first, again = encode(episode.context), encode(episode._replace(key=episode.key + 1).context)
    assert first is again and counting.calls == 1
    torch.testing.assert_close(first, model.encoder(episode.context))
    other = encode(episode.target_views)
    assert counting.calls == 2 and not torch.equal(other.pooled, first.pooled)
    for _ in range(2):
        encode(Views(*(field[:1] for field in episode.context)))
    assert counting.calls == 4


@pytest.mark.parametrize("name", ["gqn-tower", "gqn-tower-shared", "gqn-tower-z64", "cvae", "cgqn"])
def test_bf16_reaches_all_large_products(name):
    model, batch = made(name)
    work = {torch.bfloat16: 0, torch.float32: 0}

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), named=None):
            result = function(*arguments, **(named or {}))
            counted = flop_registry.get(function._overloadpacket)
            if counted:
                work[arguments[0].dtype] += counted(*arguments, **(named or {}), out_val=result)
            return result

    with Watch(), torch.autocast("cpu", dtype=torch.bfloat16):
        terms = model(batch, SCHEDULE, 2)
    assert all(field.dtype == torch.float32 for field in terms)
    assert work[torch.float32] < 0.03 * work[torch.bfloat16]


@pytest.mark.parametrize("name", ["gqn-tower", "gqn-tower-shared"])
def test_recomputed_activations_give_the_same_gradients_from_less_memory(name):
    model, batch = made(name)

    def trained(*, recompute):
        assert model.recompute_activations(recompute) == 1
        kept = 0

        def keep(tensor):
            nonlocal kept
            kept += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model(batch, SCHEDULE, 2).nelbo().mean()
        return kept, torch.autograd.grad(loss, list(model.parameters()))

    kept, expected = trained(recompute=False)
    kept_again, found = trained(recompute=True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert kept_again < 0.8 * kept


def test_models_without_steps_have_nothing_to_recompute():
    assert made("vae")[0].recompute_activations(True) == 0
