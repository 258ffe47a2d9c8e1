"""The weights of one recurrent step of GQN and of DRAW: two ConvLSTM cells, readers of images and a writer of the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.broadcast_conv import broadcast_conv
from zoo.nn.convlstm import ConvLSTMCell, LSTMState
from zoo.nn.filterbank import Window


class StepSizes(NamedTuple):
    """Sizes of a step of GQN or DRAW."""

    z_channels: int  # of a group of latents
    hidden_channels: int  # of the states of both cells
    canvas_channels: int
    read_channels: int  # of each map that inference reads: target, canvas or error
    canvas_scale: int  # pixels of the canvas along one cell of the states
    kernel_size: int  # of the cells; odd
    target_channels: int
    query_width: int
    scene_channels: int = 0  # of the scene's representation; 0 without one
    attended_channels: int = 0  # of the map that every step looks up; 0 without one


class State(NamedTuple):
    """The state between two steps."""

    hidden: Tensor  # [n, hidden, h, w]: the generator's, zero at first
    generator: LSTMState | None  # None is the zero state
    inference: LSTMState | None


class Constants(NamedTuple):
    """The parts of both cells' gates that are the same in all steps, and their transformed filters."""

    generator: Tensor
    inference: Tensor | None  # None without a target
    generator_filters: Tensor | None  # None where a direct convolution is faster
    inference_filters: Tensor | None


class GqnStep(nn.Module):
    """h^e' = ConvLSTM(r, v, x, h^g, u), h^g' = ConvLSTM(r, v, z), canvas u' = u + Delta(h^g')  (Eslami et al. 2018)."""

    def __init__(self, sizes: StepSizes, *, first: bool) -> None:
        """With ``first``, the weights are those of the first step only, whose states and canvas are zero."""
        super().__init__()
        self.first = first
        hidden, read, scale = sizes.hidden_channels, sizes.read_channels, sizes.canvas_scale
        self.generator = ConvLSTMCell(
            scene_channels=sizes.scene_channels,
            query_channels=sizes.query_width,
            step_channels=sizes.z_channels + sizes.attended_channels,
            hidden_channels=hidden,
            kernel_size=sizes.kernel_size,
            first=first,
        )
        self.inference = ConvLSTMCell(
            scene_channels=sizes.scene_channels,
            query_channels=sizes.query_width + read,
            # In the first step the generator's state and the canvas are zero and need no weights.
            step_channels=sizes.attended_channels + (0 if first else hidden + read),
            hidden_channels=hidden,
            kernel_size=sizes.kernel_size,
            first=first,
        )
        self.delta = nn.ConvTranspose2d(hidden, sizes.canvas_channels, scale, stride=scale)
        self.read_target = nn.Conv2d(sizes.target_channels, read, scale, stride=scale)
        self.read_canvas = None if first else nn.Conv2d(sizes.canvas_channels, read, scale, stride=scale)

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
        """Convolves what does not change over ``uses`` steps: scene [B, C, h, w], pose [n, P] and target [n, C, H, W]."""
        given: dict[str, Any] = {"scene": scene, "num_queries": num_queries, "pose": pose, "size": size}
        positions = len(pose) * size[0] * size[1] * uses
        infers = target is not None
        return Constants(
            generator=self.generator.constant(query=None, **given),
            inference=self.inference.constant(query=self.read_target(target), **given) if infers else None,
            generator_filters=self.generator.step_filters(positions=positions),
            inference_filters=self.inference.step_filters(positions=positions) if infers else None,
        )

    def infer(self, attended: Sequence[Tensor], state: State, read: Tensor | None, constants: Constants) -> LSTMState:
        """Advances the inference cell.

        Args:
            attended: maps that the step looked up, [n, C, h, w] each.
            state: before the step.
            read: what is read from the canvas, [n, C, h, w]; None in the first step.
            constants: of a target.
        """
        constant = constants.inference
        assert constant is not None, "there is no target"
        if read is not None:
            inputs = [*attended, state.hidden, read]
            return self.inference(inputs, state.inference, constant, constants.inference_filters)
        if self.read_canvas is not None:
            # A blank canvas is read as the reader's bias.
            assert self.inference.from_step is not None and self.read_canvas.bias is not None
            start = sum(found.shape[1] for found in attended) + state.hidden.shape[1]
            weight = self.inference.from_step.weight[:, start : start + self.read_canvas.out_channels]
            size, padding = (constant.shape[-2], constant.shape[-1]), self.inference.padding
            constant = constant + broadcast_conv(self.read_canvas.bias[None], weight, size=size, padding=padding)
        return self.inference(attended, None, constant)

    def generate(self, attended: Sequence[Tensor], state: State, z: Tensor, constants: Constants) -> LSTMState:
        """Advances the generator cell on latents [n, z, h, w]."""
        inputs = [z.to(state.hidden.dtype), *attended]
        return self.generator(inputs, state.generator, constants.generator, constants.generator_filters)


class Filters(NamedTuple):
    """Transformed filters of both cells; None where a direct convolution is faster."""

    decoder: Tensor | None
    encoder: Tensor | None


class DrawStep(nn.Module):
    """h^enc' = ConvLSTM(x, e, h^dec), h^dec' = ConvLSTM(z, scene, query), and the patch W h^dec' for the canvas.

    Images and patches have the size of the canvas, or of a glimpse through a window; the states are smaller by the
    canvas scale.
    """

    def __init__(self, sizes: StepSizes, *, first: bool) -> None:
        """With ``first``, the weights are those of the first step only, whose states and canvas are zero."""
        super().__init__()
        self.first = first
        hidden, read, scale = sizes.hidden_channels, sizes.read_channels, sizes.canvas_scale
        self.decoder = ConvLSTMCell(
            scene_channels=sizes.scene_channels,
            query_channels=sizes.query_width,
            step_channels=sizes.z_channels,
            hidden_channels=hidden,
            kernel_size=sizes.kernel_size,
            first=first,
        )
        self.encoder = ConvLSTMCell(
            scene_channels=0,
            query_channels=read,
            # In the first step the decoder's state is zero, and the error is the target itself.
            step_channels=0 if first else hidden + read,
            hidden_channels=hidden,
            kernel_size=sizes.kernel_size,
            first=first,
        )
        self.read_target = nn.Conv2d(sizes.target_channels, read, scale, stride=scale)
        self.read_error = None if first else nn.Conv2d(sizes.target_channels, read, scale, stride=scale)
        self.write = nn.ConvTranspose2d(hidden, sizes.canvas_channels, scale, stride=scale)

    def decoder_constant(self, scene: Tensor, pose: Tensor) -> Tensor:
        """Convolves representation [B, C, h, w] and pose [n, P]."""
        return self.decoder.constant(
            scene=scene,
            query=None,
            num_queries=len(pose) // len(scene),
            pose=pose,
            size=(scene.shape[-2], scene.shape[-1]),
        )

    def encoder_constant(self, target: Tensor) -> Tensor:
        """Convolves a target [n, C, H, W], or a glimpse of it [n, C, N, N]."""
        return self.encoder.constant(scene=None, query=self.read_target(target), num_queries=1)

    def filters(self, *, positions: int) -> Filters:
        """Returns the filters of both cells; see ``ConvLSTMCell.step_filters``."""
        return Filters(*(cell.step_filters(positions=positions) for cell in (self.decoder, self.encoder)))

    def infer(
        self,
        target: Tensor,
        *,
        canvas: Tensor,
        hidden: Tensor,
        state: LSTMState | None,
        seen: Tensor | None,
        window: Window | None,
        filters: Filters,
    ) -> LSTMState:
        """Advances the encoder.

        Args:
            target: [n, C, H, W].
            canvas: [n, C', H, W], of which the first C channels are compared with the target.
            hidden: the decoder's hidden state, [n, hidden, h, w].
            state: the encoder's; None in the first step, where the decoder's is zero too.
            seen: ``encoder_constant`` of the whole target; None with a window.
            window: on the target; None without attention.
            filters: of this step.
        """
        if seen is None:
            assert window is not None
            seen = self.encoder_constant(window.read(target))
        if self.read_error is None:
            return self.encoder([], None, seen)
        error = target - canvas[:, : target.shape[1]]
        error = error if window is None else window.read(error)
        found = self.read_error(error)
        if state is not None:
            return self.encoder([hidden, found], state, seen, filters.encoder)
        assert self.encoder.from_step is not None
        weight = self.encoder.from_step.weight[:, hidden.shape[1] :][:, : found.shape[1]]
        return self.encoder([], None, seen + F.conv2d(found, weight, padding=self.encoder.from_step.padding))

    def decode(self, z: Tensor, state: LSTMState | None, constant: Tensor, filters: Filters) -> LSTMState:
        """Advances the decoder on z [n, C, h, w]; without a state from zero."""
        return self.decoder([z], state, constant, filters.decoder)
