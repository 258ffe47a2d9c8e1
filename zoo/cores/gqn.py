"""The latent core of the Generative Query Network."""

from __future__ import annotations

from einops import rearrange, repeat
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore
from zoo.nn.gqn_step import StepSizes
from zoo.nn.latent_groups import Source
from zoo.nn.noise import query_keys, sample_keys
from zoo.nn.recurrence import Recurrence, Rollout


class Gqn(LatentCore):
    """p(x^q | v^q, r) = int prod_l pi(z_l | z_<l, v^q, r) N(x^q; eta_g(u_L), sigma^2) dz  (Eslami et al. 2018).

    Every step l: prior N(eta_pi(h^g_l)) -> inference cell (x^q, v^q, r, h^g_l, u_l) -> posterior N(eta_q(h^e_{l+1}))
    -> z_l -> generator cell (v^q, r, z_l) -> canvas u_{l+1} = u_l + Delta(h^g_{l+1}). The image is eta_g(u_L).
    The latents belong to a query. The specification is the textbook's loop in ``benchmarks/speed/textbook_gqn.py``, which
    this core equals in values and gradients.
    """

    class Config(Settings):
        """Sizes; the defaults are those of the paper's public reimplementations at 64x64 pixels."""

        steps: int = Field(default=12, ge=1, description="L, groups of latents")
        shared: bool = Field(default=False, description="one set of weights for all steps; false: one set a step")
        z_channels: int = Field(
            default=3, ge=1, description="channels of a group of latents (3 in the paper, 64 in much public code)"
        )
        hidden_channels: int = Field(default=128, ge=1, description="channels of the states h and c of both ConvLSTMs")
        canvas_channels: int = Field(default=128, ge=1, description="channels of the canvas u")
        read_channels: int = Field(
            default=128, ge=1, description="channels to which the target and the canvas are each brought for inference"
        )
        canvas_scale: int = Field(default=4, ge=1, description="pixels of the canvas along one cell of the states")
        kernel_size: int = Field(
            default=5, ge=1, description="of the ConvLSTMs and of the heads of prior and posterior; odd"
        )

    required_features = frozenset({"pooled"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config, self.shapes = config, shapes
        self.recurrence = make_recurrence(config, shapes=shapes, scene_channels=shapes.representation.channels)

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        batch, queries = episode.target.shape[:2]
        rollout = self.rollout(
            encode(episode.context).pooled,
            episode.query.flatten(0, 1),
            query_keys(episode.key, num_queries=queries).flatten(),
            target=episode.target.flatten(0, 1),
            source="posterior",
            schedule=schedule,
        )
        return core_output(rollout, batch=batch, queries=queries)

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        batch, queries = query.shape[:2]
        # Samples are further queries of the same scene: the representation and its convolutions are shared by all.
        keys = sample_keys(key, num_samples=num_samples, num_queries=queries).flatten()
        repeated = repeat(query, "b q p -> (b s q) p", s=num_samples)
        rollout = self.rollout(encode(context).pooled, repeated, keys, target=None, source="prior", schedule=schedule)
        return rearrange(rollout.prediction, "(b s q) c h w -> s b q c h w", b=batch, s=num_samples)

    def rollout(
        self,
        pooled: Tensor,
        query: Tensor,
        keys: Tensor,
        *,
        target: Tensor | None,
        source: Source,
        schedule: ScheduleValues,
    ) -> Rollout:
        """Runs the L steps; see :meth:`zoo.nn.recurrence.Recurrence.forward`.

        Args:
            pooled: the scenes' representations, [B, C, h, w].
            query: [n, P] with n = B * Q, all queries of a scene beside each other.
            keys: [n] int64, seeds of the latent noise.
            target: [n, C, H, W]; needed by the posterior, and never seen when latents come from the prior.
            source: where z_l comes from: the posterior, the prior, or L given tensors.
            schedule: the temperature scales the prior's standard deviation when sampling.
        """
        return self.recurrence(
            query,
            keys,
            scene=pooled,
            num_queries=len(query) // len(pooled),
            target=target,
            source=source,
            temperature=schedule.temperature,
        )


def make_recurrence(
    config: Gqn.Config, *, shapes: CoreShapes, scene_channels: int = 0, attended_channels: int = 0
) -> Recurrence:
    """Makes the recurrence of GQN and of the cores that attend in its steps.

    Raises:
        ValueError: if a size does not fit the images.
    """
    sizes = StepSizes(
        z_channels=config.z_channels,
        hidden_channels=config.hidden_channels,
        canvas_channels=config.canvas_channels,
        read_channels=config.read_channels,
        canvas_scale=config.canvas_scale,
        kernel_size=config.kernel_size,
        target_channels=shapes.target[0],
        query_width=shapes.query_width,
        scene_channels=scene_channels,
        attended_channels=attended_channels,
    )
    return Recurrence(
        sizes,
        steps=config.steps,
        shared=config.shared,
        image_size=shapes.target[1:],
        prediction_channels=shapes.prediction_channels,
    )


def core_output(rollout: Rollout, *, batch: int, queries: int) -> CoreOutput:
    """Sorts a rollout with posteriors, n = B * Q, into scenes and queries."""
    terms = rollout.terms()
    return CoreOutput(
        prediction=rollout.prediction.unflatten(0, (batch, queries)),
        kl=terms.kl.unflatten(0, (batch, queries)),
        log_ratio=terms.log_ratio.unflatten(0, (batch, queries)).sum(1),
    )
