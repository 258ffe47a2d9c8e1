"""The weights of one step of DRAW: two ConvLSTM cells, reading from pictures and writing on a canvas."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.nn.convlstm import ConvLSTMCell, LSTMState
from zoo.nn.filterbank import Window


class DrawStep(nn.Module):
    """h^enc' = ConvLSTM(x, e, h^dec), h^dec' = ConvLSTM(z, scene, query), and the patch W h^dec' for the canvas.

    Pictures and patches are of the canvas's size, or of a glimpse's when they go through a window; the states have
    1 / scale of that along each side.
    """

    def __init__(
        self,
        *,
        scene_channels: int,
        query_channels: int,
        target_channels: int,
        canvas_channels: int,
        z_channels: int,
        hidden_channels: int,
        read_channels: int,
        scale: int,
        kernel_size: int,
        first: bool,
    ) -> None:
        """With ``first`` the weights are those of the first step only, where states and canvas are zero."""
        super().__init__()
        self.first = first
        self.decoder = ConvLSTMCell(
            scene_channels=scene_channels,
            query_channels=query_channels,
            step_channels=z_channels,
            hidden_channels=hidden_channels,
            kernel_size=kernel_size,
            first=first,
        )
        self.encoder = ConvLSTMCell(
            scene_channels=0,
            query_channels=read_channels,
            # In the first step the decoder's state says nothing, and the error is the target itself.
            step_channels=0 if first else hidden_channels + read_channels,
            hidden_channels=hidden_channels,
            kernel_size=kernel_size,
            first=first,
        )
        self.read_target = nn.Conv2d(target_channels, read_channels, scale, stride=scale)
        self.read_error = None if first else nn.Conv2d(target_channels, read_channels, scale, stride=scale)
        self.write = nn.ConvTranspose2d(hidden_channels, canvas_channels, scale, stride=scale)

    def decoder_constant(self, scene: Tensor, pose: Tensor) -> Tensor:
        """Convolves representation [B, C, h, w] and pose [n, P, h, w], the same in every step."""
        return self.decoder.constant(scene=scene, query=pose, num_queries=len(pose) // len(scene))

    def encoder_constant(self, target: Tensor) -> Tensor:
        """Convolves a target [n, C, H, W], or a glimpse of it [n, C, N, N]."""
        return self.encoder.constant(scene=None, query=self.read_target(target), num_queries=1)

    def infer(
        self,
        target: Tensor,
        *,
        canvas: Tensor,
        hidden: Tensor,
        state: LSTMState,
        seen: Tensor | None,
        window: Window | None,
    ) -> LSTMState:
        """Advances the encoder.

        Args:
            target: [n, C, H, W].
            canvas: [n, C', H, W], of which the first C channels are compared with the target.
            hidden: the decoder's hidden state, [n, hidden, h, w].
            state: the encoder's.
            seen: ``encoder_constant`` of the target, if it is seen as a whole.
            window: through what it is seen otherwise.
        """
        if seen is None:
            assert window is not None
            seen = self.encoder_constant(window.read(target))
        if self.read_error is None:
            return self.encoder([], None, seen)
        error = target - canvas[:, : target.shape[1]]
        error = error if window is None else window.read(error)
        return self.encoder([hidden, self.read_error(error)], state, seen)

    def decode(self, z: Tensor, state: LSTMState, constant: Tensor) -> LSTMState:
        """Advances the decoder on z [n, C, h, w]."""
        return self.decoder([z], None if self.first else state, constant)
