"""The core of the spatial language integrating model (SLIM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Depth, Size
from zoo.model.interfaces import CoreShapes
from zoo.model.pose_inputs import PoseEncoding, PoseFeatures, PoseInputs
from zoo.model.query_latents import QueryLatentCore, RolloutInputs
from zoo.nn.blocks import divide_size, image_inputs, initialise, match_size, scale_writer, set_bias
from zoo.nn.canvas import sum_of_writes
from zoo.nn.convlstm import ConvLSTMCell, LSTMState, PreparedCell
from zoo.nn.gaussian import DiagonalGaussian, Rollout, draw_group, given_groups, stacked


class Slim(QueryLatentCore):
    """SLIM core, the spatial language integrating model (Ramalho et al. 2018), latents of a query:

        p(x^q | v^q, r) = int prod_l N(z_l; 0, 1) p(x^q | z, v^q, r) dz.

    The posterior prod_l q(z_l | z_<l, x^q, v^q) does not depend on the representation, so z encodes what the captions
    leave open, and the KL of an image is the same for any caption. Both sides are recurrent, as in DRAW (Gregor et al.
    2015): h^enc = ConvLSTM(x^q, v^q, z_{l-1}), z_l ~ N(eta_q(h^enc)); h^dec = ConvLSTM(z_l, v^q, r), canvas += W h^dec
    from a canvas of zeros. Unlike in DRAW the encoder sees neither the decoder's state nor the error of the canvas.
    """

    class Config(PoseInputs):
        steps: Depth = Field(default=12, description="L, groups of latents")
        shared: bool = Field(default=True, description="one set of weights for all steps; false: one set per step")
        z_channels: Size = Field(default=3, description="channels of a group of latents")
        hidden_channels: Size = Field(default=128, description="channels of the states h and c of both ConvLSTMs")
        read_channels: Size = Field(default=64, description="channels of the target as input of the encoder cell")
        canvas_scale: Size = Field(default=4, description="pixels of the canvas per cell of the states")
        kernel_size: Size = Field(default=5, description="of the ConvLSTMs and of the posterior's head; odd")

    required_features = frozenset({"pooled"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config = config
        self.state_size = divide_size(shapes.target[1:], config.canvas_scale, name="canvas_scale")
        self.encoding = PoseEncoding(config, pose_width=shapes.query_width)
        sets = range(1 if config.shared else config.steps)
        firsts = [not config.shared and index == 0 for index in sets]
        poses = self.encoding.width
        self.inference = nn.ModuleList(
            InferenceStep(config, shapes=shapes, query_channels=poses, first=first) for first in firsts
        )
        self.generator = nn.ModuleList(
            GeneratorStep(config, shapes=shapes, query_channels=poses, first=first) for first in firsts
        )
        self.eta_q = nn.Conv2d(config.hidden_channels, 2 * config.z_channels, config.kernel_size, padding="same")

    def rollout(self, inputs: RolloutInputs) -> Rollout:
        query, target, source = inputs.query, inputs.target, inputs.source
        shape = (self.config.z_channels, *self.state_size)
        given = torch.stack(list(given_groups(source, inputs.keys, groups=self.config.steps, shape=shape)))
        posteriors = None
        latents = inputs.temperature * given if source == "prior" else given
        if target is not None:
            latents, posteriors = self.infer(target, query, latents, draw=source == "posterior")
        zeros = torch.zeros_like(latents)
        return Rollout(
            prediction=self.generate(inputs.scene.pooled, query, latents),
            latents=latents,
            priors=DiagonalGaussian(mean=zeros, log_scale=zeros),
            posteriors=posteriors,
        )

    def infer(self, target: Tensor, query: Tensor, given: Tensor, *, draw: bool) -> tuple[Tensor, DiagonalGaussian]:
        """Returns latents and their posteriors q(z | x^q, v^q), [L, n, z, h, w], for targets [n, C, H, W] at poses [n, P].

        ``given`` [L, n, z, h, w] is the noise to draw the latents with, or the latents themselves.
        """
        sets = [cast("InferenceStep", step) for step in self.inference]
        uses = self.config.steps // len(sets)
        pose, positions = self._pose(query), self._positions(len(query), uses=uses)
        cells = [step.prepare(target, pose, positions=positions) for step in sets]
        state: LSTMState | None = None  # the zero state, which needs no convolution
        z = cells[0].constant.new_zeros(len(target), self.config.z_channels, *self.state_size)
        latents: list[Tensor] = []
        posteriors: list[Tensor] = []
        for index, (step, cell) in enumerate(zip(sets * uses, cells * uses, strict=True)):
            state = cell.advance([] if step.cell.first else [z.to(cell.constant.dtype)], state)
            posteriors.append(self.eta_q(state.hidden))
            z = draw_group(given[index], posteriors[-1] if draw else None, dim=1)
            latents.append(z)
        return torch.stack(latents), stacked(posteriors, dim=1)

    def generate(self, pooled: Tensor, query: Tensor, latents: Sequence[Tensor] | Tensor) -> Tensor:
        """Returns the last canvas, which is the prediction, [n, C', H, W], of L latents [n, z, h, w] at poses [n, P]."""
        scene = match_size(pooled, height=self.state_size[0], width=self.state_size[1])
        sets = [cast("GeneratorStep", step) for step in self.generator]
        uses = self.config.steps // len(sets)
        positions = self._positions(len(query), uses=uses)
        pose = self._pose(query.to(pooled.dtype))
        cells = [step.prepare(scene, pose, positions=positions) for step in sets]
        state: LSTMState | None = None
        states: list[Tensor] = []
        for cell, z in zip(cells * uses, latents, strict=True):
            state = cell.advance([z.to(pooled.dtype)], state)
            states.append(state.hidden)
        writers = [step.write for step in sets]
        biases = torch.stack([cast("Tensor", writer.bias) for writer in writers]).sum(0) * uses
        return sum_of_writes(states, torch.cat([writer.weight for writer in writers]), biases)

    def _pose(self, query: Tensor) -> PoseFeatures:
        return self.encoding(query, height=self.state_size[0], width=self.state_size[1])

    def _positions(self, count: int, *, uses: int) -> int:
        return count * self.state_size[0] * self.state_size[1] * uses


class InferenceStep(nn.Module):
    """The weights of one step (of all steps if shared) of q(z_l | z_<l, x^q, v^q)."""

    def __init__(self, config: Slim.Config, *, shapes: CoreShapes, query_channels: int, first: bool) -> None:
        super().__init__()
        self.cell = ConvLSTMCell(
            query_channels=query_channels + config.read_channels,
            step_channels=0 if first else config.z_channels,
            hidden_channels=config.hidden_channels,
            kernel_size=config.kernel_size,
            first=first,
        )
        self.read = nn.Conv2d(shapes.target[0], config.read_channels, config.canvas_scale, stride=config.canvas_scale)
        initialise(self.read, image_inputs(shapes.target[0]))

    def prepare(self, target: Tensor, pose: PoseFeatures, *, positions: int) -> PreparedCell:
        """Convolves target [n, C, H, W] and pose; a step adds the latents of the previous one, [n, z, h, w]."""
        read = self.read(target)
        size = (read.shape[-2], read.shape[-1])
        return self.cell.prepare(query=pose.beside(read), pose=pose.vector, size=size, positions=positions)


class GeneratorStep(nn.Module):
    """The weights of one step (of all steps if shared) of p(x^q | z, v^q, r)."""

    def __init__(self, config: Slim.Config, *, shapes: CoreShapes, query_channels: int, first: bool) -> None:
        super().__init__()
        self.cell = ConvLSTMCell(
            scene_channels=shapes.representation.channels,
            query_channels=query_channels,
            step_channels=config.z_channels,
            hidden_channels=config.hidden_channels,
            kernel_size=config.kernel_size,
            first=first,
        )
        self.write = nn.ConvTranspose2d(
            config.hidden_channels, shapes.prediction_channels, config.canvas_scale, stride=config.canvas_scale
        )
        scale_writer(self.write, writes=config.steps)
        set_bias(self.write, [value / config.steps for value in shapes.initial_prediction])  # L biases add up

    def prepare(self, scene: Tensor, pose: PoseFeatures, *, positions: int) -> PreparedCell:
        """Convolves representation [B, C, h, w] and pose; a step adds its latents, [n, z, h, w]."""
        size, queries = (scene.shape[-2], scene.shape[-1]), len(pose.vector) // len(scene)
        return self.cell.prepare(
            scene=scene, query=pose.maps, pose=pose.vector, num_queries=queries, size=size, positions=positions
        )
