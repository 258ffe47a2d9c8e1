"""The L steps of GQN's generator and inference network, wherever what they know of the scene comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from zoo.nn.blocks import match_size, spread
from zoo.nn.convlstm import ConvLSTMCell, LSTMState
from zoo.nn.gaussian import DiagonalGaussian
from zoo.nn.latent_groups import GroupTerms, group_terms
from zoo.nn.noise import fold, standard_normal

Source = Literal["posterior", "prior"] | Sequence[Tensor]
# What a step looks up in the scene: from the generator's hidden state [n, C, h, w] to a map [n, C', h, w].
Attend = Callable[[Tensor], Tensor]


class Rollout(NamedTuple):
    """L steps of the generator for n = B * Q queries, in whichever way the latents were found."""

    prediction: Tensor  # [n, C', H, W]
    latents: list[Tensor]  # L times [n, z, h, w]
    priors: list[DiagonalGaussian]  # L times [n, z, h, w]
    posteriors: list[DiagonalGaussian]  # the same; empty if no target was looked at

    def terms(self) -> GroupTerms:
        """Returns KL(q || p) of every group of latents and log q(z) - log p(z) at the latents."""
        return group_terms(self.latents, posteriors=self.posteriors, priors=self.priors)


class Recurrence(nn.Module):
    """prod_l pi(z_l | z_<l, v^q, scene) and eta_g(u_L), with q(z_l | z_<l, x^q, v^q, scene)  (Eslami et al. 2018).

    Every step l: prior N(eta_pi(h^g_l)) -> inference cell (x^q, v^q, scene, h^g_l, u_l) -> posterior N(eta_q(h^e_{l+1}))
    -> z_l -> generator cell (v^q, scene, z_l) -> canvas u_{l+1} = u_l + Delta(h^g_{l+1}). The picture is eta_g(u_L).

    The scene is a representation r, the same in all steps, or what is looked up in every step by the generator's state
    h^g_l, or both. That state knows the target through z_<l only, so that looking up with it leaves the prior a prior.

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
        ValueError: if a size does not fit the pictures.
    """

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
            raise ValueError(f"pictures of {height}x{width} pixels: canvas_scale {canvas_scale} does not divide them")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {kernel_size}: must be odd, so that the states keep their size")
        self.num_steps = steps
        self.state_shape = (hidden_channels, height // canvas_scale, width // canvas_scale)
        self.canvas_shape = (canvas_channels, height, width)
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
        count, (height, width) = len(query), self.state_shape[1:]
        scene = None if scene is None else match_size(scene, height=height, width=width)
        kind = query if scene is None else scene
        pose = spread(query, height=height, width=width).to(kind.dtype)
        sets = [cast("Step", step) for step in self.steps]  # of weights: one, or one a step
        sets_with_constants = [(step, step.constants(scene, pose, target, num_queries)) for step in sets]
        zeros = kind.new_zeros(count, *self.state_shape)
        generator = inference = LSTMState(hidden=zeros, cell=zeros)
        canvas = kind.new_zeros(count, *self.canvas_shape)
        latents: list[Tensor] = []
        priors: list[DiagonalGaussian] = []
        posteriors: list[DiagonalGaussian] = []
        for index in range(self.num_steps):
            step, constant = sets_with_constants[min(index, len(sets) - 1)]
            prior = DiagonalGaussian.from_parameters(self.eta_pi(generator.hidden), dim=1)
            priors.append(prior)
            attended = [] if attend is None else [attend(generator.hidden)]
            if constant.inference is not None:
                inference = step.infer(generator.hidden, canvas, attended, inference, constant.inference)
                posteriors.append(DiagonalGaussian.from_parameters(self.eta_q(inference.hidden), dim=1))
            if source == "posterior":
                z = posteriors[-1].sample(standard_normal(fold(keys, index), prior.mean.shape[1:]))
            elif source == "prior":
                noise = standard_normal(fold(keys, index), prior.mean.shape[1:])
                z = prior.sample(noise, temperature=temperature)
            else:
                z = source[index]
            latents.append(z)
            generator, canvas = step.generate(z.to(kind.dtype), canvas, attended, generator, constant.generator)
        return Rollout(prediction=self.eta_g(canvas), latents=latents, priors=priors, posteriors=posteriors)


class Constants(NamedTuple):
    """What the cells of a step take in that does not change over the steps, convolved."""

    generator: Tensor
    inference: Tensor | None  # None: there is no target to look at


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

    def constants(self, scene: Tensor | None, pose: Tensor, target: Tensor | None, num_queries: int) -> Constants:
        """Convolves representation [B, C, h, w], pose [n, P, h, w] and, if there is one, target [n, C, H, W]."""
        inference = None
        if target is not None:
            read = self.read_target(target)
            inference = self.inference.constant(
                scene=scene, query=torch.cat([pose.to(read.dtype), read], dim=1), num_queries=num_queries
            )
        return Constants(
            generator=self.generator.constant(scene=scene, query=pose, num_queries=num_queries), inference=inference
        )

    def infer(
        self, hidden: Tensor, canvas: Tensor, attended: Sequence[Tensor], state: LSTMState, constant: Tensor
    ) -> LSTMState:
        """Advances the inference cell on the generator's hidden state [n, C, h, w] and the canvas [n, C, H, W]."""
        if self.read_canvas is None:
            return self.inference(attended, None, constant)
        return self.inference([*attended, hidden, self.read_canvas(canvas)], state, constant)

    def generate(
        self, z: Tensor, canvas: Tensor, attended: Sequence[Tensor], state: LSTMState, constant: Tensor
    ) -> tuple[LSTMState, Tensor]:
        """Advances the generator cell on z [n, C, h, w] and writes to the canvas [n, C, H, W]."""
        state = self.generator([z, *attended], None if self.first else state, constant)
        return state, canvas + self.delta(state.hidden)
