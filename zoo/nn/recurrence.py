"""The L steps of GQN's generator and inference network, for any representation of the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo.nn.blocks import divide_size, match_size
from zoo.nn.canvas import PerStepCanvas, SharedCanvas
from zoo.nn.gaussian import DiagonalGaussian
from zoo.nn.latent_groups import Rollout, Source, draw_group, given_groups, stacked
from zoo.nn.steps import Constants, GqnStep, State, StepSizes

# A lookup in the scene: the generator's hidden state [n, C, h, w] -> a map [n, C', h, w].
Attend = Callable[[Tensor], Tensor]


class _StepOutput(NamedTuple):
    state: State
    latents: Tensor  # [n, z, h, w]
    prior: Tensor | None  # parameters [n, 2 * z, h, w], if the latents were drawn from it
    posterior: Tensor | None  # parameters [n, 2 * z, h, w], with a target


class Recurrence(nn.Module):
    """prod_l pi(z_l | z_<l, v^q, scene) and eta_g(u_L), with q(z_l | z_<l, x^q, v^q, scene)  (Eslami et al. 2018).

    Every step l: prior N(eta_pi(h^g_l)) -> inference cell (x^q, v^q, scene, h^g_l, u_l) -> posterior N(eta_q(h^e_{l+1}))
    -> z_l -> generator cell (v^q, scene, z_l) -> canvas u_{l+1} = u_l + Delta(h^g_{l+1}). The image is eta_g(u_L).

    The scene is a representation r, the same in all steps, or a lookup by the generator's state h^g_l in every step, or
    both. That state depends on the target through z_<l only, so that the prior stays a prior.

    What does not depend on the step is computed once, outside the loop: the convolutions of r, pose and target, the noise,
    and all priors when latents come from the posterior. Zero states are not convolved; for the canvas see
    :mod:`zoo.nn.canvas`.

    Args:
        sizes: of every step.
        steps: L.
        shared: one set of weights for all steps; False: one set per step.
        image_size: [H, W] of a target.
        prediction_channels: C'.

    Raises:
        ValueError: if a size does not fit the images.
    """

    recompute = False  # True: activations of a step are recomputed in the backward pass

    def __init__(
        self, sizes: StepSizes, *, steps: int, shared: bool, image_size: tuple[int, int], prediction_channels: int
    ) -> None:
        super().__init__()
        self.num_steps, self.z_channels = steps, sizes.z_channels
        self.state_shape = (sizes.hidden_channels, *divide_size(image_size, sizes.canvas_scale, name="canvas_scale"))
        self.steps = nn.ModuleList(
            GqnStep(sizes, first=not shared and index == 0) for index in range(1 if shared else steps)
        )
        heads = (sizes.hidden_channels, 2 * sizes.z_channels, sizes.kernel_size)
        self.eta_pi = nn.Conv2d(*heads, padding=sizes.kernel_size // 2)
        self.eta_q = nn.Conv2d(*heads, padding=sizes.kernel_size // 2)
        self.eta_g = nn.Conv2d(sizes.canvas_channels, prediction_channels, 1)

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
        """Runs the L steps.

        Args:
            query: [n, P] with n = B * Q, the queries of a scene next to each other.
            keys: [n] int64, seeds of the latent noise.
            scene: the scenes' representations r, [B, C, h, w] of any size, or None.
            num_queries: Q.
            attend: the lookup of every step, or None.
            target: [n, C, H, W]; needed by the posterior, unused when latents come from the prior.
            source: of z_l: the posterior, the prior, or L given tensors.
            temperature: scales the prior's standard deviation when sampling.
        """
        size = (self.state_shape[1], self.state_shape[2])
        if scene is not None and scene.shape[-2:] != (1, 1):
            scene = match_size(scene, height=size[0], width=size[1])
        zeros = (query if scene is None else scene).new_zeros(len(query), *self.state_shape)
        weights = [cast("GqnStep", step) for step in self.steps]  # one set, or one set per step
        uses = self.num_steps if len(weights) == 1 else 1
        canvas = self._canvas(weights, reads=target is not None)
        given = given_groups(source, keys, groups=self.num_steps, shape=(self.z_channels, *size))
        state = State(zeros, generator=None, inference=None)
        outputs: list[_StepOutput] = []
        for index in range(self.num_steps):
            if index < len(weights):
                step = weights[index]
                constants = step.constants(scene, query, target, num_queries=num_queries, size=size, uses=uses)
            advance = partial(self._advance, step, attend=attend, source=source, temperature=temperature)
            if self.recompute and torch.is_grad_enabled():
                advance = partial(checkpoint, advance, use_reentrant=False, preserve_rng_state=False)
            read = canvas.read() if index and target is not None else None
            outputs.append(advance(state, constants, read, given[index]))
            state = outputs[-1].state
            canvas.write(state.hidden)
        if source == "prior":
            priors = stacked([output.prior for output in outputs if output.prior is not None], dim=1)
        else:
            before = [zeros, *(output.state.hidden for output in outputs[:-1])]
            priors = DiagonalGaussian.from_parameters(self._priors(before), dim=2)
        posteriors = [output.posterior for output in outputs if output.posterior is not None]
        return Rollout(
            prediction=canvas.image(),
            latents=torch.stack([output.latents for output in outputs]),
            priors=priors,
            posteriors=stacked(posteriors, dim=1) if posteriors else None,
        )

    def _advance(
        self,
        step: GqnStep,
        state: State,
        constants: Constants,
        read: Tensor | None,
        given: Tensor,
        *,
        attend: Attend | None,
        source: Source,
        temperature: Tensor | float,
    ) -> _StepOutput:
        attended = [] if attend is None else [attend(state.hidden)]
        inference, prior, posterior = state.inference, None, None
        if constants.inference is not None:
            inference = step.infer(attended, state, read, constants)
            posterior = self.eta_q(inference.hidden)
        if source == "prior":
            prior = self._priors([state.hidden])[0] if state.generator is None else self.eta_pi(state.hidden)
            z = draw_group(given, prior, dim=1, temperature=temperature)
        else:
            z = draw_group(given, posterior if source == "posterior" else None, dim=1)
        generator = step.generate(attended, state, z, constants)
        return _StepOutput(State(generator.hidden, generator=generator, inference=inference), z, prior, posterior)

    def _priors(self, before: Sequence[Tensor]) -> Tensor:
        """Returns the parameters of all priors, [L, n, 2 * z, h, w]; the first state is zero and needs no convolution."""
        first = before[0]
        assert self.eta_pi.bias is not None
        blank = self.eta_pi.bias[:, None, None].expand(1, len(first), -1, *first.shape[2:])
        if len(before) == 1:
            return blank
        others = self.eta_pi(torch.cat(list(before[1:]))).unflatten(0, (len(before) - 1, len(first)))
        return torch.cat([blank.to(others.dtype), others])

    def _canvas(self, weights: Sequence[GqnStep], *, reads: bool) -> SharedCanvas | PerStepCanvas:
        if weights[0].read_canvas is not None:
            return SharedCanvas(delta=weights[0].delta, read_canvas=weights[0].read_canvas, eta_g=self.eta_g)
        return PerStepCanvas(
            deltas=[step.delta for step in weights],
            read_canvases=[step.read_canvas for step in weights if step.read_canvas is not None] if reads else [],
            eta_g=self.eta_g,
        )
