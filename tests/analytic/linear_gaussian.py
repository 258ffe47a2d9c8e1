"""A scene model whose likelihood and posterior are known in closed form, written as a third party's parts.

    r = sum_i W [x_i; v_i]        z ~ N(C v + E r, 1)        x = A z + B v + F r + b + sigma * noise

The columns of A are orthogonal, so that the posterior of z is a diagonal Gaussian like those of the zoo:
S = 1 / (1 + a^2 / sigma^2) with a the lengths of the columns, m = m_0 + S A^T (x - mu_0) / sigma^2.
"""

import math
from typing import NamedTuple

import torch
from pydantic import Field

from zoo.config.settings import Settings
from zoo.episode import CoreOutput, Episode, ScheduleValues
from zoo.model.interfaces import (
    CoreShapes,
    LatentCore,
    PerViewEncoder,
    RepresentationShape,
    ViewShape,
)
from zoo.model.tasks import Render
from zoo.nn.gaussian import DiagonalGaussian, kl_divergence
from zoo.nn.noise import fold, sample_keys, standard_normal
from zoo.registry.registry import Registry
from zoo.registry.sources import RegistryFile


class ExactImages(Render):
    """Rendering in float64, so that rounding hides nothing."""

    class Config(Render.Config):
        """No settings."""

    def __call__(self, batch, *, num_context):
        episode = super().__call__(batch._replace(cameras=batch.cameras.double()), num_context=num_context)

        def exact(views):
            return views._replace(values=views.values.double(), poses=views.poses.double())

        return episode._replace(
            context=exact(episode.context), target_views=exact(episode.target_views), target=episode.target.double()
        )


class LinearEncoder(PerViewEncoder):
    """r = sum_i W [x_i; v_i], a vector."""

    class Config(Settings):
        """The width of r."""

        channels: int = 3

    context_kind = "images"
    features = frozenset({"pooled"})

    def __init__(self, config, *, view: ViewShape):
        super().__init__(config, view=view)
        numbers = view.channels * view.height * view.width + view.pose_width
        self.weight = torch.nn.Parameter(torch.randn(config.channels, numbers, dtype=torch.float64) * 0.1)
        self.shape = RepresentationShape(channels=config.channels, height=1, width=1)

    def encode_views(self, values, poses):
        return (torch.cat([values.flatten(1), poses], dim=1) @ self.weight.T)[:, :, None, None]


class Beliefs(NamedTuple):
    """What a scene's latents look like before and after its target was seen, and what the core makes of it."""

    offset: torch.Tensor  # [B, Q, D]: B v + F r + b
    prior: DiagonalGaussian  # [B, Q, Z]
    exact: DiagonalGaussian  # the true posterior
    approximate: DiagonalGaussian  # q, wrong by as much as the settings say


class LinearGaussian(LatentCore):
    """The model above; q is the exact posterior moved by ``shift`` of its scales and stretched by ``stretch``."""

    class Config(Settings):
        """How wrong q is."""

        z_channels: int = 2
        shift: float = Field(default=0.0, description="of the mean, in scales of the exact posterior")
        stretch: float = Field(default=0.0, description="added to the log-scale of the exact posterior")

    required_features = frozenset({"pooled"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes):
        super().__init__(config, shapes=shapes)
        self.config, self.target_shape = config, shapes.target
        dims, width = math.prod(shapes.target), config.z_channels

        def random(*size):
            return torch.nn.Parameter(torch.randn(*size, dtype=torch.float64) * 0.3)

        columns, _ = torch.linalg.qr(torch.randn(dims, width, dtype=torch.float64))
        self.A = torch.nn.Parameter(columns * torch.linspace(0.5, 2.0, width, dtype=torch.float64))
        self.B, self.F, self.b = (
            random(dims, shapes.query_width),
            random(dims, shapes.representation.channels),
            random(dims),
        )
        self.C, self.E = random(width, shapes.query_width), random(width, shapes.representation.channels)

    def beliefs(self, pooled, query, target, sigma) -> Beliefs:
        r = pooled.flatten(1)[:, None].expand(-1, query.shape[1], -1)
        query = query.double()
        prior_mean = query @ self.C.T + r @ self.E.T
        offset = query @ self.B.T + r @ self.F.T + self.b
        lengths = self.A.square().sum(0)
        variance = 1.0 / (1.0 + lengths / sigma**2)
        residual = target.flatten(2) - offset - prior_mean @ self.A.T
        mean = prior_mean + variance * (residual @ self.A) / sigma**2
        exact = DiagonalGaussian(mean=mean, log_scale=(0.5 * variance.log()).expand_as(mean))
        approximate = DiagonalGaussian(
            mean=mean + self.config.shift * variance.sqrt(), log_scale=exact.log_scale + self.config.stretch
        )
        prior = DiagonalGaussian(mean=prior_mean, log_scale=torch.zeros_like(prior_mean))
        return Beliefs(offset=offset, prior=prior, exact=exact, approximate=approximate)

    def decode(self, z, offset):
        return (z @ self.A.T + offset).unflatten(-1, self.target_shape)

    def forward(self, episode: Episode, encode, schedule: ScheduleValues) -> CoreOutput:
        beliefs = self.beliefs(encode(episode.context).pooled, episode.query, episode.target, schedule.sigma)
        q = beliefs.approximate
        keys = fold(episode.key[:, None], torch.arange(q.mean.shape[1]))
        z = q.sample(standard_normal(keys, q.mean.shape[2:]))
        return CoreOutput(
            prediction=self.decode(z, beliefs.offset),
            kl=kl_divergence(q, beliefs.prior),
            log_ratio=(q.log_prob(z) - beliefs.prior.log_prob(z)).sum(dim=(1, 2)),
        )

    def predict(self, context, query, key, *, encode, schedule, num_samples):
        nothing = torch.zeros(*query.shape[:2], *self.target_shape, dtype=torch.float64)
        beliefs = self.beliefs(encode(context).pooled, query, nothing, schedule.sigma)
        keys = sample_keys(key, num_samples=num_samples, num_queries=query.shape[1]).transpose(0, 1)
        noise = standard_normal(keys, beliefs.prior.mean.shape[2:])
        return self.decode(beliefs.prior.sample(noise, temperature=schedule.temperature), beliefs.offset)


WRONG = """
  wrong:
    base: exact
    title: The same with another posterior
    core: {shift: 0.7, stretch: 0.4}
"""


def make_registry(folder, *, training, others=WRONG, core="linear_gaussian:LinearGaussian"):
    """Returns a registry of the variant ``lab/exact`` with such a core and training, and of ``others`` based on it."""
    path = folder / "registry.yaml"
    path.write_text(f"""
version: 1
variants:
  exact:
    title: A linear Gaussian model with its exact posterior
    paper: none
    status: extension
    task: {{use: "linear_gaussian:ExactImages"}}
    encoder: {{use: "linear_gaussian:LinearEncoder", channels: 3}}
    core: {{use: "{core}", z_channels: 2}}
    likelihood: {{use: annealed_gaussian}}
    image_size: 4
    training: {{steps: 4, batch_size: 4, {training}}}
{others}""")
    return Registry([RegistryFile(path=path, prefix="lab/")])
