"""The weights of one step of DRAW: two ConvLSTM cells, the readers of images and the writer of the canvas."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.convlstm import ConvLSTMCell, LSTMState
from zoo.nn.filterbank import Window
from zoo.nn.gqn_step import StepSizes


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
