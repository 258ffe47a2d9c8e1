"""GQN as a textbook writes it: the specification of :class:`zoo.cores.gqn.Gqn`, and the baseline of its speed.

This is the algorithm of public implementations. Every step concatenates the inputs of its cells and convolves all of
them, the canvas exists at full size, and every query encodes its context again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import EllipsisType
from typing import Any, NamedTuple, cast

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from zoo.cores.gqn import Gqn, GqnStep
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore
from zoo.model.scene_model import SceneModel
from zoo.nn.blocks import expand_to_map, match_size
from zoo.nn.gaussian import DiagonalGaussian, given_groups, kl_divergence
from zoo.nn.noise import query_keys, sample_keys


class TextbookStep(nn.Module):
    """The weights of one step, or of all steps when they are shared."""

    def __init__(self, config: Gqn.Config, *, shapes: CoreShapes) -> None:
        super().__init__()
        hidden, read = config.hidden_channels, config.read_channels
        scale, kernel = config.canvas_scale, config.kernel_size
        scene = shapes.representation.channels + shapes.query_width
        self.generator = nn.Conv2d(scene + config.z_channels + hidden, 4 * hidden, kernel, padding=kernel // 2)
        self.inference = nn.Conv2d(scene + 2 * read + 2 * hidden, 4 * hidden, kernel, padding=kernel // 2)
        self.delta = nn.ConvTranspose2d(hidden, config.canvas_channels, scale, stride=scale)
        self.read_target = nn.Conv2d(shapes.target[0], read, scale, stride=scale)
        self.read_canvas = nn.Conv2d(config.canvas_channels, read, scale, stride=scale)


class TextbookRollout(NamedTuple):
    """The L steps for n queries, each with its own representation."""

    prediction: Tensor  # [n, C', H, W]
    latents: Tensor  # [n, L, z, h, w]
    kl: Tensor  # [n, L], nats; zeros without a target
    log_ratio: Tensor  # [n], log q(z) - log p(z), nats; zeros without a target


def lstm(convolution: nn.Conv2d, inputs: list[Tensor], hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """ConvLSTM (Shi et al. 2015): gates = conv([inputs, h]); c' = f * c + i * g; h' = o * tanh(c')."""
    i, g, o, f = convolution(torch.cat([*inputs, hidden], dim=1)).chunk(4, dim=1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


class TextbookGqn(LatentCore):
    """p(x^q | v^q, r) = int prod_l pi(z_l | z_<l, v^q, r) N(x^q; eta_g(u_L), sigma^2) dz  (Eslami et al. 2018).

    The network of :class:`zoo.cores.gqn.Gqn`; :func:`to_textbook` and :func:`to_fast` convert the weights. Without shared
    weights, the first step's cells also have weights for the zero state and canvas.
    """

    Config = Gqn.Config
    required_features = frozenset({"pooled"})
    latents = "query"

    def __init__(self, config: Gqn.Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config, self.shapes = config, shapes
        number = 1 if config.shared else config.steps
        self.steps = nn.ModuleList(TextbookStep(config, shapes=shapes) for _ in range(number))
        heads = (config.hidden_channels, 2 * config.z_channels, config.kernel_size)
        self.eta_pi = nn.Conv2d(*heads, padding=config.kernel_size // 2)
        self.eta_q = nn.Conv2d(*heads, padding=config.kernel_size // 2)
        self.eta_g = nn.Conv2d(config.canvas_channels, shapes.prediction_channels, 1)
        self.start = None
        if config.initial_state == "scene":
            scene = shapes.representation.channels + shapes.query_width
            self.start = nn.Conv2d(
                scene, 3 * config.hidden_channels, config.kernel_size, padding=config.kernel_size // 2
            )

    def rollout(
        self, r: Tensor, query: Tensor, noise: Tensor, *, target: Tensor | None, temperature: Tensor | float = 1.0
    ) -> TextbookRollout:
        """Runs the L steps (supplement of Eslami et al. 2018, algorithm S1).

        Args:
            r: representations [n, C, h, w] of any size.
            query: [n, P].
            noise: standard normal, [L, n, z, h, w].
            target: [n, C, H, W]; without one, latents come from the prior.
            temperature: scales the standard deviation of the latents; 1 with a target.
        """
        config, (height, width) = self.config, self.shapes.target[1:]
        size = {"height": height // config.canvas_scale, "width": width // config.canvas_scale}
        r, v = match_size(r, **size), expand_to_map(query, **size)
        h_g = c_g = h_e = c_e = r.new_zeros(len(query), config.hidden_channels, *size.values())
        if self.start is not None:
            i, g, o = self.start(torch.cat([r, v], dim=1)).chunk(3, dim=1)  # the zero state has nothing to forget
            c_g = torch.sigmoid(i) * torch.tanh(g)
            h_g = torch.sigmoid(o) * torch.tanh(c_g)
        u = r.new_zeros(len(query), config.canvas_channels, height, width)
        latents, kl, log_ratio = [], [], []
        for index in range(config.steps):
            step = cast("TextbookStep", self.steps[0 if config.shared else index])
            posterior = prior = DiagonalGaussian.from_parameters(self.eta_pi(h_g), dim=1)
            if target is not None:
                inputs = [r, v, step.read_target(target), h_g, step.read_canvas(u)]
                h_e, c_e = lstm(step.inference, inputs, h_e, c_e)
                posterior = DiagonalGaussian.from_parameters(self.eta_q(h_e), dim=1)
            z = posterior.sample(noise[index], temperature=temperature)
            h_g, c_g = lstm(step.generator, [r, v, z], h_g, c_g)
            u = u + step.delta(h_g)
            latents.append(z)
            kl.append(kl_divergence(posterior, prior).flatten(1).sum(1))
            log_ratio.append((posterior.log_prob(z) - prior.log_prob(z)).flatten(1).sum(1))
        return TextbookRollout(
            prediction=self.eta_g(u),
            latents=torch.stack(latents, dim=1),
            kl=torch.stack(kl, dim=1),
            log_ratio=torch.stack(log_ratio).sum(0),
        )

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        """Predicts the targets with latents of the posterior; every query encodes the context again."""
        scenes, queries = episode.target.shape[:2]
        found = self.rollout(
            encode(_repeated(episode.context, queries)).pooled,
            episode.query.flatten(0, 1),
            self._noise(query_keys(episode.key, num_queries=queries)),
            target=episode.target.flatten(0, 1),
        )
        return CoreOutput(
            prediction=found.prediction.unflatten(0, (scenes, queries)),
            kl=found.kl.unflatten(0, (scenes, queries)),
            log_ratio=found.log_ratio.unflatten(0, (scenes, queries)).sum(1),
        )

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        """Predicts with latents of the prior; every sample of every query encodes the context again."""
        scenes, queries = query.shape[:2]
        found = self.rollout(
            encode(_repeated(context, num_samples * queries)).pooled,
            repeat(query, "b q p -> (b s q) p", s=num_samples),
            self._noise(sample_keys(key, num_samples=num_samples, num_queries=queries)),
            target=None,
            temperature=schedule.temperature,
        )
        return rearrange(found.prediction, "(b s q) c h w -> s b q c h w", b=scenes, s=num_samples)

    def _noise(self, keys: Tensor) -> Tensor:
        config, sides = self.config, self.shapes.target[1:]
        shape = (config.z_channels, *(side // config.canvas_scale for side in sides))
        return cast("Tensor", given_groups("prior", keys.flatten(), groups=config.steps, shape=shape))


def _repeated(context: Views, times: int) -> Views:
    return Views(*(field.repeat_interleave(times, dim=0) for field in context))


def textbook_model(model: SceneModel) -> SceneModel:
    """Returns a copy of a model, with the textbook's core.

    Raises:
        TypeError: if the model's core is not GQN's.
    """
    if not isinstance(model.core, Gqn):
        raise TypeError(f"the textbook's core is that of {Gqn.__name__}, found {type(model.core).__name__}")
    return SceneModel(
        task=model.task,
        encoder=copy.deepcopy(model.encoder),
        core=to_textbook(model.core),
        likelihood=copy.deepcopy(model.likelihood),
    )


@torch.no_grad()
def to_textbook(fast: Gqn) -> TextbookGqn:
    """Returns the textbook's core with the weights of the fast one; weights that the fast one lacks are zero."""
    textbook = TextbookGqn(fast.config, shapes=fast.shapes).to(fast.recurrence.eta_g.weight)
    for parameter in textbook.steps.parameters():
        parameter.zero_()
    for pair in weight_pairs(fast, textbook):
        pair.textbook[pair.part].copy_(pair.fast)
    return textbook


@torch.no_grad()
def to_fast(textbook: TextbookGqn) -> Gqn:
    """Returns the fast core with the weights of the textbook's.

    Raises:
        ValueError: without shared weights, if the first step reads a bias from its blank canvas, which the fast core lacks.
    """
    bias = cast("TextbookStep", textbook.steps[0]).read_canvas.bias
    if not textbook.config.shared and bias is not None and bool(bias.any()):
        raise ValueError("steps.0.read_canvas.bias: the first step reads a blank canvas; expected zeros")
    fast = Gqn(textbook.config, shapes=textbook.shapes).to(textbook.eta_g.weight)
    for pair in weight_pairs(fast, textbook):
        pair.fast.copy_(pair.textbook[pair.part])
    return fast


Part = EllipsisType | tuple[slice | None, ...]


class WeightPair(NamedTuple):
    """A parameter of the fast core, which equals ``textbook[part]``."""

    name: str
    fast: nn.Parameter
    textbook: nn.Parameter
    part: Part


def weight_pairs(fast: Gqn, textbook: TextbookGqn) -> Iterator[WeightPair]:
    """Yields every parameter of the fast core with its equal in the textbook's.

    A cell of the fast core convolves its inputs in groups, in the order in which the textbook concatenates them. The first
    step's cell has no forget gate, which comes last, and no weights for inputs that are zero.
    """
    recurrence = fast.recurrence
    modules = [(name, getattr(recurrence, name), getattr(textbook, name)) for name in ("eta_pi", "eta_q", "eta_g")]
    cells: list[tuple[str, Any, Any]] = [("start", recurrence.start, textbook.start)] if recurrence.start else []
    for index, (ours, theirs) in enumerate(zip(recurrence.steps, textbook.steps, strict=True)):
        ours, theirs = cast("GqnStep", ours), cast("TextbookStep", theirs)
        names = ("delta", "read_target", "read_canvas")
        modules += [(f"steps.{index}.{name}", getattr(ours, name), getattr(theirs, name)) for name in names]
        for name in ("generator", "inference"):
            cells += [(f"steps.{index}.{name}", getattr(ours, name), getattr(theirs, name))]
    for name, cell, convolution in cells:
        gates, start = slice(len(cell.bias)), 0
        yield WeightPair(f"{name}.bias", cell.bias, convolution.bias, (gates, None, None))
        for group in ("from_scene", "from_query", "from_step"):
            if (layer := getattr(cell, group)) is not None:
                part = (gates, slice(start, start + layer.in_channels))
                yield WeightPair(f"{name}.{group}", layer.weight, convolution.weight, part)
                start += layer.in_channels
    for name, module, other in modules:
        if module is not None:
            yield WeightPair(f"{name}.weight", module.weight, other.weight, ...)
            yield WeightPair(f"{name}.bias", module.bias, other.bias, ...)
