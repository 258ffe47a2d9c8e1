"""The L steps of GQN's generator and inference network, wherever what they know of the scene comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo.nn.blocks import match_size
from zoo.nn.broadcast_conv import broadcast_conv
from zoo.nn.canvas import Canvas, ManyWritersCanvas, OneWritersCanvas
from zoo.nn.convlstm import ConvLSTMCell, LSTMState
from zoo.nn.gaussian import DiagonalGaussian
from zoo.nn.latent_groups import GroupTerms, Source, draw_group, given_groups, group_terms, stacked

# What a step looks up in the scene: from the generator's hidden state [n, C, h, w] to a map [n, C', h, w].
Attend = Callable[[Tensor], Tensor]


class Rollout(NamedTuple):
    """L steps of the generator for n = B * Q queries, in whichever way the latents were found."""

    prediction: Tensor  # [n, C', H, W]
    latents: Tensor  # [L, n, z, h, w]
    priors: DiagonalGaussian  # [L, n, z, h, w]
    posteriors: DiagonalGaussian | None  # the same; None if no target was looked at

    def terms(self) -> GroupTerms:
        """Returns KL(q || p) of every group of latents and log q(z) - log p(z) at the latents."""
        assert self.posteriors is not None, "no target was looked at"
        return group_terms(self.latents, posteriors=self.posteriors, priors=self.priors)


class Recurrence(nn.Module):
    """prod_l pi(z_l | z_<l, v^q, scene) and eta_g(u_L), with q(z_l | z_<l, x^q, v^q, scene)  (Eslami et al. 2018).

    Every step l: prior N(eta_pi(h^g_l)) -> inference cell (x^q, v^q, scene, h^g_l, u_l) -> posterior N(eta_q(h^e_{l+1}))
    -> z_l -> generator cell (v^q, scene, z_l) -> canvas u_{l+1} = u_l + Delta(h^g_{l+1}). The image is eta_g(u_L).

    The scene is a representation r, the same in all steps, or what is looked up in every step by the generator's state
    h^g_l, or both. That state knows the target through z_<l only, so that looking up with it leaves the prior a prior.

    What the steps have in common is done once, outside of them: what is convolved of r, pose and target, the noise, and
    when the latents come from the posterior all priors. Zero states are not convolved, and the canvas is never painted.

    Args:
        steps: L.
        shared: one set of weights for all steps; False: one set a step.
        z_channels: channels of a group of latents.
        hidden_channels: channels of the states of both cells.
        canvas_channels: channels of the canvas.
        read_channels: channels to which target and canvas are each brought for inference.
        canvas_scale: pixels of the canvas along one cell of the states.
        kernel_size: of cells and heads; odd.
        target: [C, H, W] of one target.
        query_width: P.
        scene_channels: of r; 0 if there is none.
        attended_channels: of the map that every step looks up; 0 if it looks nothing up.
        prediction_channels: C'.

    Raises:
        ValueError: if a size does not fit the images.
    """

    recompute = False  # True: a step's activations are computed again in the backward pass instead of being kept

    def __init__(
        self,
        *,
        steps: int,
        shared: bool,
        z_channels: int,
        hidden_channels: int,
        canvas_channels: int,
        read_channels: int,
        canvas_scale: int,
        kernel_size: int,
        target: tuple[int, int, int],
        query_width: int,
        scene_channels: int,
        attended_channels: int = 0,
        prediction_channels: int,
    ) -> None:
        super().__init__()
        height, width = target[1:]
        if height % canvas_scale or width % canvas_scale:
            raise ValueError(f"images of {height}x{width} pixels: canvas_scale {canvas_scale} does not divide them")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {kernel_size}: must be odd, so that the states keep their size")
        self.num_steps, self.z_channels = steps, z_channels
        self.state_shape = (hidden_channels, height // canvas_scale, width // canvas_scale)
        self.steps = nn.ModuleList(
            Step(
                z_channels=z_channels,
                hidden_channels=hidden_channels,
                canvas_channels=canvas_channels,
                read_channels=read_channels,
                canvas_scale=canvas_scale,
                kernel_size=kernel_size,
                target_channels=target[0],
                query_width=query_width,
                scene_channels=scene_channels,
                attended_channels=attended_channels,
                first=not shared and index == 0,
            )
            for index in range(1 if shared else steps)
        )
        heads = (hidden_channels, 2 * z_channels, kernel_size)
        self.eta_pi = nn.Conv2d(*heads, padding=kernel_size // 2)
        self.eta_q = nn.Conv2d(*heads, padding=kernel_size // 2)
        self.eta_g = nn.Conv2d(canvas_channels, prediction_channels, 1)

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        *,
        scene: Tensor | None,
        num_queries: int,
        attend: Attend | None = None,
        target: Tensor | None,
        source: Source,
        temperature: Tensor | float = 1.0,
    ) -> Rollout:
        """Runs the L steps; the only place where they are written down.

        Args:
            query: [n, P] with n = B * Q, all queries of a scene beside each other.
            keys: [n] int64, seeds of the latent noise.
            scene: the scenes' representations r, [B, C, h, w] of any size; None if there is none.
            num_queries: Q.
            attend: what every step looks up; None if it looks nothing up.
            target: [n, C, H, W]; needed by the posterior, and never seen when latents come from the prior.
            source: where z_l comes from: the posterior, the prior, or L given tensors.
            temperature: scales the prior's standard deviation when sampling.
        """
        size = (self.state_shape[1], self.state_shape[2])
        if scene is not None and scene.shape[-2:] != (1, 1):
            scene = match_size(scene, height=size[0], width=size[1])
        kind = query if scene is None else scene
        sets = [cast("Step", step) for step in self.steps]  # of weights: one, or one a step
        uses = self.num_steps if len(sets) == 1 else 1
        canvas = self._canvas(sets, reads=target is not None)
        state = State(kind.new_zeros(len(query), *self.state_shape), generator=None, inference=None)
        given = given_groups(source, keys, groups=self.num_steps, shape=(self.z_channels, *size))
        before: list[Tensor] = []  # the generator's hidden states that every step begins with
        priors: list[Tensor] = []  # their parameters, where latents are drawn from them step by step
        latents: list[Tensor] = []
        posteriors: list[Tensor] = []  # their parameters
        for index in range(self.num_steps):
            if index < len(sets):
                step = sets[index]
                constant = step.constants(scene, query, target, num_queries=num_queries, size=size, uses=uses)
            advance = partial(self._advance, step, attend=attend, source=source, temperature=temperature)
            if self.recompute and torch.is_grad_enabled():
                advance = partial(checkpoint, advance, use_reentrant=False, preserve_rng_state=False)
            read = canvas.read() if index and target is not None else None
            before.append(state.hidden)
            state, z, prior, posterior = advance(state, constant, read, given[index])
            latents.append(z)
            if prior is not None:
                priors.append(prior)
            if posterior is not None:
                posteriors.append(posterior)
            canvas.write(state.hidden)
        return Rollout(
            prediction=canvas.image(),
            latents=torch.stack(latents),
            priors=stacked(priors, dim=1) if priors else DiagonalGaussian.from_parameters(self._priors(before), dim=2),
            posteriors=stacked(posteriors, dim=1) if posteriors else None,
        )

    def _advance(
        self,
        step: Step,
        state: State,
        constant: Constants,
        read: Tensor | None,
        given: Tensor,
        *,
        attend: Attend | None,
        source: Source,
        temperature: Tensor | float,
    ) -> tuple[State, Tensor, Tensor | None, Tensor | None]:
        """Makes one step.

        Returns:
            The state after it, z [n, z, h, w], the prior's parameters if z comes from it, and the posterior's if there is
            a target.
        """
        attended = [] if attend is None else [attend(state.hidden)]
        inference, posterior = state.inference, None
        if constant.inference is not None:
            inference = step.infer(attended, state, read, constant)
            posterior = self.eta_q(inference.hidden)
        prior = None
        if source == "prior":
            prior = self._priors([state.hidden])[0] if state.generator is None else self.eta_pi(state.hidden)
            z = draw_group(given, prior, dim=1, temperature=temperature)
        else:
            z = draw_group(given, posterior if source == "posterior" else None, dim=1)
        generator = step.generator(
            [z.to(state.hidden.dtype), *attended], state.generator, constant.generator, constant.generator_filters
        )
        return State(generator.hidden, generator=generator, inference=inference), z, prior, posterior

    def _priors(self, before: Sequence[Tensor]) -> Tensor:
        """Returns the parameters of all priors, [L, n, 2 * z, h, w]; the first state is zero and needs no convolution."""
        first = before[0]
        assert self.eta_pi.bias is not None
        blank = self.eta_pi.bias[:, None, None].expand(1, len(first), -1, *first.shape[2:])
        if len(before) == 1:
            return blank
        others = self.eta_pi(torch.cat(list(before[1:]))).unflatten(0, (len(before) - 1, len(first)))
        return torch.cat([blank.to(others.dtype), others])

    def _canvas(self, sets: Sequence[Step], *, reads: bool) -> Canvas:
        if sets[0].read_canvas is not None:
            return OneWritersCanvas(delta=sets[0].delta, read_canvas=sets[0].read_canvas, eta_g=self.eta_g)
        return ManyWritersCanvas(
            deltas=[step.delta for step in sets],
            read_canvases=[step.read_canvas for step in sets if step.read_canvas is not None] if reads else [],
            eta_g=self.eta_g,
        )


class State(NamedTuple):
    """Where the steps have come to."""

    hidden: Tensor  # [n, hidden, h, w]: the generator's, zero at first
    generator: LSTMState | None  # None is the zero state
    inference: LSTMState | None


class Constants(NamedTuple):
    """What the cells of a step take in that does not change over the steps, convolved."""

    generator: Tensor
    inference: Tensor | None  # None: there is no target to look at
    generator_filters: Tensor | None  # of the step's own inputs, where transforming them pays
    inference_filters: Tensor | None


class Step(nn.Module):
    """The weights of one step (or of all, when they are shared): both ConvLSTM cells and their ways to the canvas."""

    def __init__(
        self,
        *,
        z_channels: int,
        hidden_channels: int,
        canvas_channels: int,
        read_channels: int,
        canvas_scale: int,
        kernel_size: int,
        target_channels: int,
        query_width: int,
        scene_channels: int,
        attended_channels: int,
        first: bool,
    ) -> None:
        super().__init__()
        self.first = first
        self.generator = ConvLSTMCell(
            scene_channels=scene_channels,
            query_channels=query_width,
            step_channels=z_channels + attended_channels,
            hidden_channels=hidden_channels,
            kernel_size=kernel_size,
            first=first,
        )
        self.inference = ConvLSTMCell(
            scene_channels=scene_channels,
            query_channels=query_width + read_channels,
            # In the first step the generator's state and the canvas are zero and have nothing to say.
            step_channels=attended_channels + (0 if first else hidden_channels + read_channels),
            hidden_channels=hidden_channels,
            kernel_size=kernel_size,
            first=first,
        )
        self.delta = nn.ConvTranspose2d(hidden_channels, canvas_channels, canvas_scale, stride=canvas_scale)
        self.read_target = nn.Conv2d(target_channels, read_channels, canvas_scale, stride=canvas_scale)
        self.read_canvas = (
            None if first else nn.Conv2d(canvas_channels, read_channels, canvas_scale, stride=canvas_scale)
        )

    def constants(
        self,
        scene: Tensor | None,
        pose: Tensor,
        target: Tensor | None,
        *,
        num_queries: int,
        size: tuple[int, int],
        uses: int,
    ) -> Constants:
        """Convolves representation [B, C, h, w], pose [n, P] and, if there is one, target [n, C, H, W], for so many uses."""
        given: dict[str, Any] = {"scene": scene, "num_queries": num_queries, "pose": pose, "size": size}
        positions = len(pose) * size[0] * size[1] * uses
        looks = target is not None
        return Constants(
            generator=self.generator.constant(query=None, **given),
            inference=self.inference.constant(query=self.read_target(target), **given) if looks else None,
            generator_filters=self.generator.step_filters(positions=positions),
            inference_filters=self.inference.step_filters(positions=positions) if looks else None,
        )

    def infer(self, attended: Sequence[Tensor], state: State, read: Tensor | None, constants: Constants) -> LSTMState:
        """Advances the inference cell on the generator's hidden state and on what is ``read`` of the canvas, [n, C, h, w].

        Nothing is read in the first step, whose states and canvas are zero.
        """
        constant = constants.inference
        assert constant is not None, "there is no target to look at"
        if read is not None:
            inputs = [*attended, state.hidden, read]
            return self.inference(inputs, state.inference, constant, constants.inference_filters)
        if self.read_canvas is not None:
            # All that a blank canvas shows is the bias with which it is read.
            assert self.inference.from_step is not None and self.read_canvas.bias is not None
            start = sum(found.shape[1] for found in attended) + state.hidden.shape[1]
            weight = self.inference.from_step.weight[:, start : start + self.read_canvas.out_channels]
            size, padding = (constant.shape[-2], constant.shape[-1]), self.inference.padding
            constant = constant + broadcast_conv(self.read_canvas.bias[None], weight, size=size, padding=padding)
        return self.inference(attended, None, constant)
