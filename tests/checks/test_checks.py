"""Planted faults: every check detects its faults and leaves the weights unchanged."""

import pytest
import torch

from zoo.checks.failures import CheckFailedError
from zoo.checks.fixture import make_fixture
from zoo.checks.runner import CHECKS, QUICK
from zoo.cores import gqn
from zoo.likelihoods.annealed_gaussian import AnnealedGaussian
from zoo.model.interfaces import PerViewEncoder
from zoo.nn import gaussian
from zoo.nn.gaussian import kl_divergence
from zoo.nn.noise import standard_normal
from zoo.registry.registry import default_registry

FORWARD, PREDICT = gqn.Gqn.forward, gqn.Gqn.predict
LOG_PROB, ENCODE = AnnealedGaussian.log_prob, PerViewEncoder.forward


def fixture_of(name="gqn-tower"):
    return make_fixture(default_registry().variant(name, size="smoke"))


def finds(check, fixture):
    with pytest.raises(CheckFailedError) as caught:
        CHECKS[check](fixture)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) > 20


def forward_with(change):
    """Returns a forward pass of GQN whose output is changed by change(core, episode, output)."""

    def forward(self, episode, encode, schedule):
        return change(self, episode, FORWARD(self, episode, encode, schedule))

    return forward


def forward_of(change):
    """Returns a forward pass of GQN on another episode."""
    return lambda self, episode, encode, schedule: FORWARD(self, change(episode), encode, schedule)


def predict_with(change):
    """Returns a ``predict`` of GQN whose result is changed."""
    return lambda self, *args, **named: change(PREDICT(self, *args, **named))


def predict_of(**changes):
    """Returns a ``predict`` of GQN with other arguments, each a function of the right one."""

    def predict(self, context, query, key, **named):
        given = {"context": context, "query": query, "key": key, **named}
        for name, change in changes.items():
            given[name] = change(given[name])
        return PREDICT(self, given.pop("context"), given.pop("query"), given.pop("key"), **given)

    return predict


def encode_of(change):
    """Returns a forward pass of encoders on other views."""
    return lambda self, views: ENCODE(self, change(views))


def target_through_the_gate(core, episode, output):
    return output._replace(prediction=output.prediction + core.gate * episode.target)


def order_through_the_gate(core, episode, output):
    first = episode.context.values[:, :1].mean(dim=(2, 3, 4), keepdim=True)
    return output._replace(prediction=output.prediction + core.gate * first)


def copied_log_ratio(core, episode, output):
    return output._replace(log_ratio=output.kl.flatten(1).sum(1))


def keyed_by_place(episode):
    return episode._replace(key=torch.arange(len(episode.key)) + 1000 * episode.key.min())


FORWARDS = {
    "the target is added": (
        "marginal likelihood",
        forward_with(
            lambda core, episode, output: output._replace(prediction=output.prediction + 0.9 * episode.target)
        ),
    ),
    "the target comes through a gate that is shut at first": (
        "marginal likelihood",
        forward_with(target_through_the_gate),
    ),
    "the order of views comes through a gate that is shut at first": (
        "context order",
        forward_with(order_through_the_gate),
    ),
    "KL and log-ratio are halved": (
        "marginal likelihood",
        forward_with(lambda core, episode, output: output._replace(kl=output.kl / 2, log_ratio=output.log_ratio / 2)),
    ),
    "the log-ratio is copied from the KL": ("reproducible", forward_with(copied_log_ratio)),
    "one colour fills the image": (
        "shapes",
        forward_with(
            lambda core, episode, output: output._replace(prediction=output.prediction.mean((2, 3, 4), keepdim=True))
        ),
    ),
    "the noise is keyed by the place in the batch": ("scene independence", forward_of(keyed_by_place)),
    "the query is not looked at": (
        "context is used",
        forward_of(lambda episode: episode._replace(query=torch.ones_like(episode.query))),
    ),
}
PREDICTS = {
    "queries are swapped": ("predictions", predict_with(lambda drawn: drawn.flip(2))),
    "scenes are swapped": ("scene independence", predict_with(lambda drawn: drawn.roll(1, 1))),
    "all samples are alike": ("predictions", predict_with(lambda drawn: drawn[:1].expand(drawn.shape))),
    "the key is ignored": ("predictions", predict_of(key=torch.zeros_like)),
    "the keys of samples are derived again": (
        "predictions",
        predict_of(key=lambda key: key if key.ndim == 1 else key.flatten(1)[:, 0]),
    ),
    "torch's generator is drawn from": (
        "predictions",
        predict_of(key=lambda key: torch.randint(0, 10**9, key.shape)),
    ),
    "the temperature is ignored": (
        "predictions",
        predict_of(schedule=lambda schedule: schedule._replace(temperature=torch.ones_like(schedule.temperature))),
    ),
    "latents have thrice the standard deviation": (
        "marginal likelihood",
        predict_of(schedule=lambda schedule: schedule._replace(temperature=3 * schedule.temperature)),
    ),
    "the representation is lost": (
        "context is used",
        predict_of(
            encode=lambda encode: lambda views: encode(views)._replace(pooled=torch.zeros_like(encode(views).pooled))
        ),
    ),
}
ENCODERS = {
    "poses are paired with the next image": (
        "context order",
        encode_of(lambda views: views._replace(poses=views.poses.roll(1, 1))),
    ),
    "poses are not looked at": (
        "context is used",
        encode_of(lambda views: views._replace(poses=torch.ones_like(views.poses))),
    ),
    "padding is not looked at": (
        "padding",
        encode_of(lambda views: views._replace(mask=torch.ones_like(views.mask))),
    ),
}


def averaged(self, prediction, target, schedule):
    return LOG_PROB(self, prediction, target, schedule) / target[0, 0].numel()


def without_half(self, prediction, target, schedule):
    return 2 * LOG_PROB(self, prediction, target, schedule) + self.floor(target[0, 0].numel(), schedule)


def without_normaliser(self, prediction, target, schedule):
    return LOG_PROB(self, prediction, target, schedule) + self.floor(target[0, 0].numel(), schedule)


def summed_over_channels(self, prediction, target, schedule):
    return LOG_PROB(self, prediction[..., :1, :1], target[..., :1, :1], schedule)


@pytest.mark.parametrize("fault", FORWARDS)
def test_a_fault_of_the_forward_pass_is_found(fault, monkeypatch):
    check, forward = FORWARDS[fault]
    fixture = fixture_of()
    fixture.model.core.gate = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
    CHECKS[check](fixture)
    monkeypatch.setattr(gqn.Gqn, "forward", forward)
    finds(check, fixture)


@pytest.mark.parametrize("fault", PREDICTS)
def test_a_fault_of_prediction_is_found(fault, monkeypatch):
    check, predict = PREDICTS[fault]
    monkeypatch.setattr(gqn.Gqn, "predict", predict)
    finds(check, fixture_of())


@pytest.mark.parametrize("fault", ENCODERS)
def test_a_fault_of_the_encoder_is_found(fault, monkeypatch):
    check, encode = ENCODERS[fault]
    monkeypatch.setattr(PerViewEncoder, "forward", encode)
    finds(check, fixture_of())


@pytest.mark.parametrize("log_prob", [averaged, without_half, without_normaliser, summed_over_channels])
def test_a_fault_of_the_likelihood_is_found(log_prob, monkeypatch):
    monkeypatch.setattr(AnnealedGaussian, "log_prob", log_prob)
    finds("likelihood", fixture_of())


@pytest.mark.parametrize("name", ["gqn-tower", "cvae"])
def test_a_kl_the_wrong_way_round_is_found(name, monkeypatch):
    monkeypatch.setattr(gaussian, "kl_divergence", lambda q, p: kl_divergence(p, q))
    finds("log ratio", fixture_of(name))


def test_state_kept_between_calls_is_found(monkeypatch):
    def keeping(core, episode, output):
        core.seen = episode.target.mean()
        return output

    monkeypatch.setattr(gqn.Gqn, "forward", forward_with(keeping))
    monkeypatch.setattr(
        gqn.Gqn, "predict", lambda self, *args, **named: PREDICT(self, *args, **named) + getattr(self, "seen", 0.0)
    )
    finds("target leak", fixture_of())


def test_noise_where_no_latents_are_declared_is_found(monkeypatch):
    fixture = fixture_of("deterministic")
    core = type(fixture.model.core)
    predict = core.predict

    def noisy(self, context, query, key, **named):
        drawn = predict(self, context, query, key, **named)
        return drawn + standard_normal(key, drawn.shape[3:])[None, :, None] * named["schedule"].temperature

    monkeypatch.setattr(core, "predict", noisy)
    finds("predictions", fixture)


@pytest.mark.parametrize("name", ["gqn-tower", "np-1d"])
def test_checks_leave_the_weights_and_torchs_generator_as_they_were(name):
    fixture = fixture_of(name)
    before = [weight.detach().clone() for weight in fixture.model.parameters()]
    state = torch.get_rng_state()
    for title in (*QUICK, "marginal likelihood"):
        CHECKS[title](fixture)
    assert torch.equal(torch.get_rng_state(), state)
    assert not fixture.model.training
    for weight, was in zip(fixture.model.parameters(), before, strict=True):
        assert torch.equal(weight, was)
        assert weight.grad is None


def test_quick_checks_are_all_but_those_that_sample():
    assert set(CHECKS) - set(QUICK) == {"log ratio", "marginal likelihood"}
