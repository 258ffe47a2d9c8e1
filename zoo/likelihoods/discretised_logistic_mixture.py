"""Mixtures of discretised logistics for 8-bit pixels."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from zoo.config.settings import Size
from zoo.episode import ScheduleValues
from zoo.likelihoods.discretised_logistic import DiscretisedLogistic
from zoo.model.interfaces import Likelihood
from zoo.nn.gaussian import at_least_float32
from zoo.nn.quantized import clamped_logistic_mean, logistic_log_mass, logistic_quantile

HALF_GREY = 0.5  # origin of the channels on which others depend


class LogisticComponents(NamedTuple):
    """The K logistics of every pixel. Every field is [..., K, C or 1 or pairs of channels, H, W]."""

    log_weights: Tensor  # per channel or shared by the channels of a pixel; probabilities sum to 1 over K
    locations: Tensor
    log_scales: Tensor
    coefficients: Tensor  # of every channel on each previous one, (1, 0), (2, 0), (2, 1), ...; empty if independent


class DiscretisedLogisticMixture(Likelihood):
    """Mixture of discretised logistics over pixels x in {0, 1/255, ..., 1} (Salimans et al. 2017, section 2.2):

        P(x) = prod_pixels sum_k pi_k prod_c DL(x_c; m_kc + sum_{b<c} a_kcb (x_b - 1/2), s_kc).

    DL is the mass in a bin, as in ``discretised_logistic``. ``channels: linear`` is PixelCNN++, with one pi per pixel;
    ``independent`` has one mixture per channel and a = 0. The probabilities of a pixel sum to 1, so NELBO / (D log 2) is
    a lossless code length in bits/dim. Predictions are, for K components: logits of pi, m, log s and, with ``linear``,
    the arctanh of a.

    ``mean`` is the expectation: exact for independent channels up to rounding to 8 bits; with ``linear`` the previous
    channels are replaced by their means, which is exact as long as little mass lies beyond 0 and 1.
    """

    class Config(DiscretisedLogistic.Config):
        components: Size = Field(default=10, description="K, logistics in a mixture")
        channels: Literal["independent", "linear"] = Field(
            default="linear",
            description="one mixture per channel, or one per pixel: green depends on red, blue on both",
        )

    config: Config
    target_kinds = frozenset({"images"})
    discrete = has_mass = True

    def prediction_channels(self, target_channels: int) -> int:
        return sum(self._split(target_channels))

    def initial_prediction(self, target_channels: int) -> tuple[float, ...]:
        # The locations of zeros are spread evenly about 0.5.
        return (0.0,) * self.prediction_channels(target_channels)

    def _split(self, channels: int) -> list[int]:
        """Returns the numbers of channels of logits, locations, log-scales and coefficients."""
        count = self.config.components
        if self.config.channels == "independent":
            return [count * channels, count * channels, count * channels, 0]
        return [count, count * channels, count * channels, count * (channels * (channels - 1) // 2)]

    def _target_channels(self, predicted: int) -> int:
        channels = 1
        while self.prediction_channels(channels) < predicted:
            channels += 1
        return channels

    def _components(self, prediction: Tensor) -> LogisticComponents:
        count = self.config.components
        split = self._split(self._target_channels(prediction.shape[-3]))
        parts = at_least_float32(prediction).split(split, dim=-3)
        logits, locations, log_scales, coefficients = (
            part.unflatten(-3, (count, size // count)) for part, size in zip(parts, split, strict=True)
        )
        # Spread over the range, so that a prediction of zeros has different components.
        start = (torch.arange(count, device=prediction.device, dtype=locations.dtype) + 0.5) / count
        return LogisticComponents(
            log_weights=F.log_softmax(logits, dim=-4),
            locations=locations + start[:, None, None, None],
            log_scales=(log_scales + self.config.initial_log_scale).clamp(min=self.config.minimum_log_scale),
            coefficients=torch.tanh(coefficients),
        )

    def _location(self, parts: LogisticComponents, channel: int, before: list[Tensor]) -> Tensor:
        """Returns the locations of a channel given the previous channels; all are [..., K or 1, H, W]."""
        location = parts.locations[..., channel, :, :]
        if self.config.channels == "linear":
            first = channel * (channel - 1) // 2
            for other, value in enumerate(before):
                coefficient = parts.coefficients[..., first + other, :, :]
                location = location + coefficient * (value - HALF_GREY)
        return location

    def log_prob(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        parts = self._components(prediction)
        given = list(at_least_float32(target).unsqueeze(-4).unbind(-3))
        locations = [self._location(parts, channel, given[:channel]) for channel in range(len(given))]
        masses = logistic_log_mass(
            torch.stack(given, dim=-3), location=torch.stack(locations, dim=-3), log_scale=parts.log_scales
        )
        if self.config.channels == "linear":
            masses = masses.sum(-3, keepdim=True)
        return torch.logsumexp(parts.log_weights + masses, dim=-4).flatten(2).sum(-1)

    def mean(self, prediction: Tensor) -> Tensor:
        parts = self._components(prediction)
        means: list[Tensor] = []
        for channel in range(parts.locations.shape[-3]):
            location = self._location(parts, channel, means)
            means.append(clamped_logistic_mean(location=location, log_scale=parts.log_scales[..., channel, :, :]))
        return (torch.exp(parts.log_weights) * torch.stack(means, dim=-3)).sum(-4)

    def sample(self, prediction: Tensor, noise: Tensor, schedule: ScheduleValues) -> Tensor:
        parts = self._components(prediction)
        ends = torch.exp(parts.log_weights).cumsum(-4)
        uniforms = list(torch.special.ndtr(noise).to(ends.dtype).unbind(-3))
        shared = self.config.channels == "linear"
        chosen: Tensor | None = None
        drawn: list[Tensor] = []
        for channel in range(len(uniforms)):
            if chosen is None or not shared:
                # The position of a uniform number among the weights selects a component; its position within the
                # weight of the component is again uniform, independent of the choice.
                chosen, uniforms[channel] = _choose(uniforms[channel], ends[..., 0 if shared else channel, :, :])
            location = self._location(parts, channel, [value.unsqueeze(-3) for value in drawn])
            drawn.append(
                logistic_quantile(
                    uniforms[channel],
                    location=location.gather(-3, chosen).squeeze(-3),
                    log_scale=parts.log_scales[..., channel, :, :].gather(-3, chosen).squeeze(-3),
                )
            )
        return torch.stack(drawn, dim=-3)


def _choose(uniform: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Selects components [..., 1, H, W] by uniform numbers [..., H, W] and cumulative weights ``ends`` [..., K, H, W].

    New uniform numbers are returned too, which are independent of the choice.
    """
    chosen = (uniform.unsqueeze(-3) >= ends[..., :-1, :, :]).sum(-3, keepdim=True)
    starts = torch.cat([torch.zeros_like(ends[..., :1, :, :]), ends[..., :-1, :, :]], dim=-3)
    start, end = starts.gather(-3, chosen).squeeze(-3), ends.gather(-3, chosen).squeeze(-3)
    return chosen, (uniform - start) / (end - start).clamp(min=1e-30)
