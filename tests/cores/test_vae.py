"""The baselines: a VAE that ignores the scene and two conditional ones, with their priors written down by hand."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from zoo.config.schedules import schedule_values
from zoo.cores.cvae import Cvae
from zoo.cores.vae import Vae
from zoo.episode import Episode, Views
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape
from zoo.nn.noise import fold, standard_normal

SIZE, POSES, Z, SCENES, QUERIES = 8, 7, 3, 2, 2
SCHEDULE = schedule_values(sigma=0.7)
SHAPES = CoreShapes(
    representation=RepresentationShape(channels=5, height=2, width=2),
    query=(POSES,),
    target=(3, SIZE, SIZE),
    prediction_channels=3,
)
KINDS = ("vae", "standard", "conditional")


def made(kind):
    torch.manual_seed(0)
    if kind == "vae":
        return Vae(
            Vae.Config(z_channels=Z, channels=4),
            shapes=SHAPES._replace(representation=RepresentationShape(channels=0, height=1, width=1)),
        ).double()
    return Cvae(Cvae.Config(prior=kind, z_channels=Z, channels=4, condition_channels=6), shapes=SHAPES).double()


def random(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def problem(*, scenes=SCENES, queries=QUERIES):
    """An episode and an encoder that returns what the context holds."""
    context = Views(
        values=random(scenes, 1, 5, 2, 2, seed=0),
        poses=random(scenes, 1, POSES, seed=1),
        mask=torch.ones(scenes, 1) > 0,
    )
    query, target = (
        random(scenes, queries, POSES, seed=2),
        torch.sigmoid(random(scenes, queries, 3, SIZE, SIZE, seed=3)),
    )
    targets = Views(values=target, poses=query, mask=torch.ones(scenes, queries) > 0)
    return Episode(context=context, query=query, target=target, target_views=targets, key=torch.arange(scenes))


def encode(views):
    return Representation(pooled=views.values[:, 0], per_view=views.values, mask=views.mask)


def noise(key, queries=QUERIES):
    return standard_normal(fold(key[:, None], torch.arange(queries)), (Z,)).double()


def normal(parameters):
    mean, log_scale = parameters.split(Z, dim=-1)
    return Normal(mean, log_scale.exp())


def by_hand(core, kind, given):
    """Posterior, prior and decoder of every query [B, Q], in the words of the papers."""
    images = given.target.flatten(0, 1)
    if kind == "vae":
        posterior = normal(core.reader(images).unflatten(0, given.target.shape[:2]))
        return posterior, Normal(torch.zeros_like(posterior.mean), 1.0), lambda z: core.writer(z.flatten(0, 1))
    r = given.context.values[:, 0].mean(dim=(2, 3))
    y = core.condition(torch.cat([r[:, None].expand(-1, given.query.shape[1], -1), given.query], dim=-1))
    seen = core.reader(images).unflatten(0, given.target.shape[:2])
    posterior = normal(core.posterior(torch.cat([seen, y], dim=-1)))
    prior = normal(core.prior(y)) if kind == "conditional" else Normal(torch.zeros_like(posterior.mean), 1.0)
    return posterior, prior, lambda z: core.writer(torch.cat([z, y], dim=-1).flatten(0, 1))


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryCore:
    def test_equals_the_equations_of_its_paper(self, kind):
        core, given = made(kind), problem()
        posterior, prior, decode = by_hand(core, kind, given)
        output = core(given, encode, SCHEDULE)
        z = posterior.mean + posterior.stddev * noise(given.key)
        close(output.prediction, decode(z).unflatten(0, (SCENES, QUERIES)))
        close(output.kl, kl_divergence(posterior, prior).expand_as(output.kl))
        close(output.log_ratio, (posterior.log_prob(z) - prior.log_prob(z)).sum(dim=(1, 2)))

    def test_generates_from_the_prior_that_it_is_trained_with(self, kind):
        core, given = made(kind), problem()
        _, prior, decode = by_hand(core, kind, given)
        found = core.predict(given.context, given.query, given.key, encode=encode, schedule=SCHEDULE, num_samples=3)
        for sample in range(3):
            z = prior.mean + prior.stddev * noise(fold(given.key, sample))
            close(found[sample], decode(z).unflatten(0, (SCENES, QUERIES)))

    def test_temperature_zero_takes_the_mean_of_the_prior(self, kind):
        core, given = made(kind), problem()
        _, prior, decode = by_hand(core, kind, given)
        cold = schedule_values(sigma=0.7, temperature=0.0)
        found = core.predict(given.context, given.query, given.key, encode=encode, schedule=cold, num_samples=2)
        for sample in range(2):
            close(found[sample], decode(prior.mean).unflatten(0, (SCENES, QUERIES)))

    def test_mean_of_log_q_minus_log_p_is_the_kl(self, kind):
        core, given = made(kind), problem(scenes=1, queries=1)
        count = 4000
        many = Episode(
            *(
                Views(*(field.expand(count, *field.shape[1:]) for field in part))
                if isinstance(part, Views)
                else part.expand(count, *part.shape[1:])
                for part in given
            )
        )._replace(key=torch.arange(count))
        with torch.no_grad():
            output = core(many, encode, SCHEDULE)
        difference = output.log_ratio - output.kl.flatten(1).sum(1)
        assert difference.mean().abs() < 4 * difference.std() / count**0.5
        assert difference.std() > 1e-3

    def test_the_target_reaches_the_posterior_only(self, kind):
        core, given = made(kind), problem()
        target = given.target.clone().requires_grad_()
        posterior, prior, _ = by_hand(core, kind, given._replace(target=target))
        output = core(given._replace(target=target), encode, SCHEDULE)
        (gradient,) = torch.autograd.grad(output.kl.sum(), target)
        assert (gradient.flatten(2).abs().amax(-1) > 0).all()
        assert not prior.mean.requires_grad or torch.autograd.grad(prior.mean.sum(), target, allow_unused=True) == (
            None,
        )
        assert posterior.mean.requires_grad

    def test_queries_side_by_side_equal_queries_one_by_one(self, kind):
        core, given = made(kind), problem()
        together = core(given, encode, SCHEDULE)
        first = given._replace(query=given.query[:, :1], target=given.target[:, :1])
        alone = core(first, encode, SCHEDULE)
        close(alone.prediction, together.prediction[:, :1])
        close(alone.kl, together.kl[:, :1])


@pytest.mark.parametrize(("kind", "looks"), [("vae", False), ("standard", True), ("conditional", True)])
def test_which_cores_depend_on_context_and_pose(kind, looks):
    core, given = made(kind), problem()
    before = core(given, encode, SCHEDULE)
    other_pose = core(given._replace(query=given.query + 1.0), encode, SCHEDULE)
    context = given.context._replace(values=given.context.values + 1.0)
    other_context = core(given._replace(context=context), encode, SCHEDULE)
    for after in (other_pose, other_context):
        changed = (after.prediction - before.prediction).flatten(2).abs().amax(-1)
        assert (changed > 1e-9).all() if looks else (changed == 0).all()


def test_the_two_priors_differ_in_nothing_but_the_prior():
    standard, conditional = (set(made(kind).state_dict()) for kind in ("standard", "conditional"))
    assert conditional - standard == {"prior.weight", "prior.bias"}
    assert standard <= conditional
    core = made("conditional")
    with torch.no_grad():
        core.prior.weight.zero_()
        core.prior.bias.zero_()
    same = made("standard")
    same.load_state_dict({name: value for name, value in core.state_dict().items() if not name.startswith("prior")})
    for one, other in zip(core(problem(), encode, SCHEDULE), same(problem(), encode, SCHEDULE), strict=True):
        close(one, other)
