"""GQN as the textbook writes it: the reference for what the fast core computes, and what its speed is measured against.

It is the algorithm of the public implementations. Every step concatenates all that its cells take in and convolves it
anew, the canvas exists in full at every step, and every query is a scene of its own, whose context is encoded again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from zoo.cores.gqn import Gqn
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore
from zoo.model.scene_model import SceneModel
from zoo.nn.blocks import expand_to_map, match_size
from zoo.nn.convlstm import ConvLSTMCell, LSTMState
from zoo.nn.gaussian import DiagonalGaussian, kl_divergence
from zoo.nn.noise import fold, query_keys, sample_keys, standard_normal
from zoo.nn.recurrence import Step


class PlainCell(nn.Module):
    """ConvLSTM: gates = conv([inputs, hidden]); c' = f * c + i * g; h' = o * tanh(c')  (Shi et al. 2015)."""

    def __init__(self, *, input_channels: int, hidden_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(
            input_channels + hidden_channels, 4 * hidden_channels, kernel_size, padding=kernel_size // 2
        )

    def forward(self, inputs: Tensor, state: LSTMState) -> LSTMState:
        """Advances the state by one step on inputs [n, C, h, w]."""
        enter, candidate, out, forget = self.gates(torch.cat([inputs, state.hidden], dim=1)).chunk(4, dim=1)
        cell = torch.sigmoid(forget) * state.cell + torch.sigmoid(enter) * torch.tanh(candidate)
        return LSTMState(hidden=torch.sigmoid(out) * torch.tanh(cell), cell=cell)


class PlainStep(nn.Module):
    """The weights of one step of the textbook's loop, or of all steps when they are shared."""

    def __init__(self, config: Gqn.Config, *, shapes: CoreShapes) -> None:
        super().__init__()
        hidden, read, scale = config.hidden_channels, config.read_channels, config.canvas_scale
        scene = shapes.representation.channels + shapes.query_width
        self.generator = PlainCell(
            input_channels=scene + config.z_channels, hidden_channels=hidden, kernel_size=config.kernel_size
        )
        self.inference = PlainCell(
            input_channels=scene + 2 * read + hidden, hidden_channels=hidden, kernel_size=config.kernel_size
        )
        self.delta = nn.ConvTranspose2d(hidden, config.canvas_channels, scale, stride=scale)
        self.read_target = nn.Conv2d(shapes.target[0], read, scale, stride=scale)
        self.read_canvas = nn.Conv2d(config.canvas_channels, read, scale, stride=scale)


class PlainGqn(LatentCore):
    """p(x^q | v^q, r) = int prod_l pi(z_l | z_<l, v^q, r) N(x^q; eta_g(u_L), sigma^2) dz  (Eslami et al. 2018).

    The same network as :class:`zoo.cores.gqn.Gqn`, in the textbook's way; :func:`to_plain` and :func:`to_fast` convert
    the weights. With one set of weights a step, the first step's cells also have weights for the zero state and canvas.
    """

    Config = Gqn.Config
    required_features = frozenset({"pooled"})
    latents = "query"

    def __init__(self, config: Gqn.Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config, self.shapes = config, shapes
        height, width = shapes.target[1:]
        self.state_shape = (config.hidden_channels, height // config.canvas_scale, width // config.canvas_scale)
        self.canvas_shape = (config.canvas_channels, height, width)
        self.steps = nn.ModuleList(
            PlainStep(config, shapes=shapes) for _ in range(1 if config.shared else config.steps)
        )
        heads = (config.hidden_channels, 2 * config.z_channels, config.kernel_size)
        self.eta_pi = nn.Conv2d(*heads, padding=config.kernel_size // 2)
        self.eta_q = nn.Conv2d(*heads, padding=config.kernel_size // 2)
        self.eta_g = nn.Conv2d(config.canvas_channels, shapes.prediction_channels, 1)

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        """Predicts the targets with latents drawn from the posterior; every query encodes the context for itself."""
        batch, queries = episode.target.shape[:2]
        keys = query_keys(episode.key, num_queries=queries).flatten()
        prediction, kl, log_ratio = self.loop(
            encode(each_query(episode.context, queries)).pooled,
            episode.query.flatten(0, 1),
            keys,
            target=episode.target.flatten(0, 1),
        )
        return CoreOutput(
            prediction=prediction.unflatten(0, (batch, queries)),
            kl=kl.unflatten(0, (batch, queries)),
            log_ratio=log_ratio.unflatten(0, (batch, queries)).sum(1),
        )

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        """Predicts with latents drawn from the prior; every sample of every query encodes the context for itself."""
        batch, queries = query.shape[:2]
        keys = sample_keys(key, num_samples=num_samples, num_queries=queries).flatten()
        prediction, _, _ = self.loop(
            encode(each_query(context, num_samples * queries)).pooled,
            repeat(query, "b q p -> (b s q) p", s=num_samples),
            keys,
            target=None,
            temperature=schedule.temperature,
        )
        return rearrange(prediction, "(b s q) c h w -> s b q c h w", b=batch, s=num_samples)

    def loop(
        self, r: Tensor, query: Tensor, keys: Tensor, *, target: Tensor | None, temperature: Tensor | float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Runs the L steps for n examples.

        Args:
            r: [n, C, h, w] of any size.
            query: [n, P].
            keys: [n] int64, seeds of the latent noise.
            target: [n, C, H, W]; without one, latents come from the prior.
            temperature: scales the prior's standard deviation when sampling.

        Returns:
            The prediction [n, C', H, W], KL [n, L] and log q(z) - log p(z) [n], nats; the last two are zero without a
            target.
        """
        count, (height, width) = len(query), self.state_shape[1:]
        r = match_size(r, height=height, width=width)
        pose = expand_to_map(query, height=height, width=width)
        zeros = r.new_zeros(count, *self.state_shape)
        generator = inference = LSTMState(hidden=zeros, cell=zeros)
        canvas = r.new_zeros(count, *self.canvas_shape)
        kl: list[Tensor] = []
        log_ratio = torch.zeros(count, device=r.device)
        for index in range(self.config.steps):
            step = cast("PlainStep", self.steps[min(index, len(self.steps) - 1)])
            prior = DiagonalGaussian.from_parameters(self.eta_pi(generator.hidden), dim=1)
            noise = standard_normal(fold(keys, index), prior.mean.shape[1:])
            if target is None:
                z = prior.sample(noise, temperature=temperature)
                kl.append(torch.zeros(count, device=r.device))
            else:
                seen = [pose, step.read_target(target), r, generator.hidden, step.read_canvas(canvas)]
                inference = step.inference(torch.cat(seen, dim=1), inference)
                posterior = DiagonalGaussian.from_parameters(self.eta_q(inference.hidden), dim=1)
                z = posterior.sample(noise)
                kl.append(kl_divergence(posterior, prior).flatten(1).sum(1))
                log_ratio = log_ratio + (posterior.log_prob(z) - prior.log_prob(z)).flatten(1).sum(1)
            generator = step.generator(torch.cat([pose, r, z.to(r.dtype)], dim=1), generator)
            canvas = canvas + step.delta(generator.hidden)
        return self.eta_g(canvas), torch.stack(kl, dim=1), log_ratio


def each_query(context: Views, queries: int) -> Views:
    """Gives every query its own copy of its scene's context, [B * Q, N, ...]."""
    return Views(*(field.repeat_interleave(queries, dim=0) for field in context))


def plain_model(model: SceneModel) -> SceneModel:
    """Returns the same model with the textbook's core, with copies of all weights.

    Raises:
        TypeError: if the model's core is not GQN's.
    """
    if not isinstance(model.core, Gqn):
        raise TypeError(f"the textbook's loop is that of {Gqn.__name__}, found {type(model.core).__name__}")
    return SceneModel(
        task=model.task,
        encoder=copy.deepcopy(model.encoder),
        core=to_plain(model.core),
        likelihood=copy.deepcopy(model.likelihood),
    )


def to_plain(fast: Gqn) -> PlainGqn:
    """Returns the textbook's core with the weights of the fast one; weights that the fast one lacks are zero."""
    plain = PlainGqn(fast.config, shapes=fast.shapes)
    with torch.no_grad():
        for parameter in plain.steps.parameters():
            parameter.zero_()
        for ours, theirs in pairs_of(fast, plain):
            theirs.copy_(ours)
    return plain.to(fast.recurrence.eta_g.weight.device)


def to_fast(plain: PlainGqn) -> Gqn:
    """Returns the fast core with the weights of the textbook's; what a zero state would meet is left out.

    Raises:
        ValueError: if, with one set of weights a step, the first step reads something of its blank canvas: a bias that
            the fast core does not have.
    """
    bias = cast("PlainStep", plain.steps[0]).read_canvas.bias
    if not plain.config.shared and bias is not None and bool(bias.any()):
        raise ValueError("steps.0.read_canvas.bias: the first step reads of a blank canvas; expected zeros")
    fast = Gqn(plain.config, shapes=plain.shapes)
    with torch.no_grad():
        for ours, theirs in pairs_of(fast, plain):
            ours.copy_(theirs)
    return fast.to(plain.eta_g.weight.device)


def pairs_of(fast: Gqn, plain: PlainGqn, *, gradients: bool = False) -> list[tuple[Tensor, Tensor]]:
    """Returns (weights of the fast core, the same weights of the textbook's), views into both.

    Args:
        fast: one core.
        plain: the other, of the same sizes.
        gradients: returns the gradients of the weights in their stead.
    """

    def of(parameter: Tensor) -> Tensor:
        if not gradients:
            return parameter
        assert parameter.grad is not None, "no gradient was computed"
        return parameter.grad

    recurrence = fast.recurrence
    whole: list[tuple[nn.Module, nn.Module | None]] = [
        (getattr(plain, name), getattr(recurrence, name)) for name in ("eta_pi", "eta_q", "eta_g")
    ]
    parts: list[tuple[Tensor, Tensor]] = []
    for one, other in zip(recurrence.steps, plain.steps, strict=True):
        ours, theirs = cast("Step", one), cast("PlainStep", other)
        whole += [(getattr(theirs, name), getattr(ours, name)) for name in ("delta", "read_target", "read_canvas")]
        read, hidden = theirs.read_target.out_channels, fast.config.hidden_channels
        z = fast.config.z_channels
        scene, pose = fast.shapes.representation.channels, fast.shapes.query_width
        # What each cell of the textbook concatenates, in its order, and to which convolution of ours that belongs.
        for cell, gates, order in (
            (ours.generator, theirs.generator.gates, [("query", pose), ("scene", scene), ("step", z + hidden)]),
            (
                ours.inference,
                theirs.inference.gates,
                [("query", read + pose), ("scene", scene), ("step", hidden + read + hidden)],
            ),
        ):
            parts += _cell_pairs(cell, of(gates.weight), order=order, of=of)
            assert gates.bias is not None
            parts.append((of(cell.bias).flatten(), of(gates.bias)[: cell.bias.numel()]))
    for theirs_module, ours_module in whole:
        if ours_module is not None:
            matching = dict(theirs_module.named_parameters())
            parts += [(of(ours), of(matching[name])) for name, ours in ours_module.named_parameters()]
    return parts


def _cell_pairs(
    cell: ConvLSTMCell, gates: Tensor, *, order: list[tuple[str, int]], of: Callable[[Tensor], Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Finds each group of a fast cell's inputs in the one convolution [4 * hidden, inputs, k, k] of the textbook's."""
    found, start = [], 0
    for name, channels in order:
        convolution = getattr(cell, f"from_{name}")
        if convolution is not None:
            # The first step's cell has no forget gate, which comes last, and of its step's inputs those that are not zero.
            ours = of(convolution.weight)
            found.append((ours, gates[: len(ours), start : start + ours.shape[1]]))
        start += channels
    return found
