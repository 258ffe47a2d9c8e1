"""The core of the Generative Query Network, and the base of its variants with attention."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial

from pydantic import Field
from torch import Tensor

from zoo.config.settings import Depth, Settings, Size
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore, Representation
from zoo.model.query_latents import sample_queries, score_queries
from zoo.nn.latent_groups import Rollout, Source
from zoo.nn.recurrence import Attend, Recurrence
from zoo.nn.steps import StepSizes


class Gqn(LatentCore):
    """Generative Query Network core (Eslami et al. 2018), latents of a query:

        p(x^q | v^q, r) = int prod_l pi(z_l | z_<l, v^q, r) N(x^q; eta_g(u_L), sigma^2) dz.

    Step l: prior N(eta_pi(h^g_l)); inference cell (x^q, v^q, r, h^g_l, u_l) -> posterior N(eta_q(h^e_{l+1})) -> z_l;
    generator cell (v^q, r, z_l) -> canvas u_{l+1} = u_l + Delta(h^g_{l+1}). The image is eta_g(u_L).

    The specification is the textbook loop of ``benchmarks/speed/textbook_gqn.py``: this core equals it in values and
    gradients.
    """

    class Config(Settings):
        """Sizes; defaults follow public reimplementations of the paper at 64x64 pixels."""

        steps: Depth = Field(default=12, description="L, groups of latents")
        shared: bool = Field(default=False, description="one set of weights for all steps; false: one set per step")
        z_channels: Size = Field(default=3, description="channels of a group of latents (64 in much public code)")
        hidden_channels: Size = Field(default=128, description="channels of the states h and c of both ConvLSTMs")
        canvas_channels: Size = Field(default=128, description="channels of the canvas u")
        read_channels: Size = Field(default=128, description="channels of target and canvas as inputs of inference")
        canvas_scale: Size = Field(default=4, description="pixels of the canvas per cell of the states")
        kernel_size: Size = Field(default=5, description="of the ConvLSTMs and the heads of prior and posterior; odd")

    required_features = frozenset({"pooled"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config, self.shapes = config, shapes
        self.recurrence = make_recurrence(config, shapes=shapes, scene_channels=shapes.representation.channels)

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        pooled = encode(episode.context).pooled
        return score_queries(partial(self.rollout, pooled, schedule=schedule), episode)

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        rollout = partial(self.rollout, encode(context).pooled, schedule=schedule)
        return sample_queries(rollout, query, key, num_samples=num_samples)

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
        """Runs the L steps for representations [B, C, h, w]; see :class:`zoo.model.query_latents.QueryRollout`."""
        return self.recurrence(
            query,
            keys,
            scene=pooled,
            num_queries=len(query) // len(pooled),
            target=target,
            source=source,
            temperature=schedule.temperature,
        )


class AttendingGqn(LatentCore):
    """Base of GQN cores in which every step attends to the context views instead of reading their sum r."""

    class Config(Gqn.Config):
        key_channels: Size = Field(default=64, description="width of the keys of one head")
        value_channels: Size = Field(default=128, description="channels of the result, all heads together")
        heads: Size = Field(default=1, description="attention heads; must divide value_channels")
        field_of_view: float = Field(default=50.0, gt=0, lt=180, description="of the cameras, degrees across the image")

    required_features = frozenset({"per_view"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        if config.value_channels % config.heads:
            raise ValueError(f"heads {config.heads}: must divide value_channels {config.value_channels}")
        self.recurrence = make_recurrence(config, shapes=shapes, attended_channels=config.value_channels)

    @abstractmethod
    def reader(self, scene: Representation, poses: Tensor, query: Tensor) -> Attend:
        """Returns the attention of a state [n, C, h, w], computing once what is constant over the steps.

        Args:
            scene: the encoded context.
            poses: [B, N, P] of the context views.
            query: [n, P] with n = B * Q, the queries of a scene adjacent.
        """

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        scene = encode(episode.context)
        return score_queries(partial(self.rollout, scene, episode.context.poses, schedule=schedule), episode)

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        rollout = partial(self.rollout, encode(context), context.poses, schedule=schedule)
        return sample_queries(rollout, query, key, num_samples=num_samples)

    def rollout(
        self,
        scene: Representation,
        poses: Tensor,
        query: Tensor,
        keys: Tensor,
        *,
        target: Tensor | None,
        source: Source,
        schedule: ScheduleValues,
    ) -> Rollout:
        """Runs the L steps for encoded scenes with context poses [B, N, P]; see ``zoo.model.query_latents``."""
        return self.recurrence(
            query,
            keys,
            scene=None,
            num_queries=len(query) // len(scene.mask),
            attend=self.reader(scene, poses, query),
            target=target,
            source=source,
            temperature=schedule.temperature,
        )


def make_recurrence(
    config: Gqn.Config, *, shapes: CoreShapes, scene_channels: int = 0, attended_channels: int = 0
) -> Recurrence:
    """Makes the recurrence of GQN, also for the cores that attend in every step.

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
