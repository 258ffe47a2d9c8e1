"""Validation of what components return: every type and shape, whenever a check calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from zoo.checks.failures import CheckFailedError, definition_of
from zoo.episode import CoreOutput, Episode, Views
from zoo.model.interfaces import Component, Encoder, LatentCore, Likelihood, Representation, Task
from zoo.model.scene_model import SceneModel


def validate_outputs(model: SceneModel) -> None:
    """Makes the encoder, core and likelihood of a model raise CheckFailedError when they return what they may not."""
    _validate_encoder(model.encoder)
    _validate_core(model.core, task=model.task, likelihood=model.likelihood)
    _validate_likelihood(model.likelihood, channels=model.task.target_shape[0])


def _validate_encoder(encoder: Encoder) -> None:
    def problem(output: Any, views: Views) -> str | None:
        if not isinstance(output, Representation):
            return _wrong_type(output, "Representation(pooled, per_view, mask) of zoo.model.interfaces")
        batch, number = views.mask.shape
        shape = tuple(encoder.shape)
        axes = f"C, h, w] with the encoder's shape {shape}"
        expected = {"pooled": ([batch, *shape], f"[B, {axes}"), "per_view": ([batch, number, *shape], f"[B, N, {axes}")}
        problems = [
            _wrong_shape(getattr(output, name), expected[name][0], name=name, axes=expected[name][1])
            for name in sorted(encoder.features)
        ]
        problems.append(_wrong_shape(output.mask, [batch, number], name="mask", axes="[B, N]"))
        return next((problem for problem in problems if problem), None)

    _validate(encoder, "forward", problem)


def _validate_core(core: LatentCore, *, task: Task, likelihood: Likelihood) -> None:
    target = task.target_shape
    predicted = [likelihood.prediction_channels(target[0]), *target[1:]]
    axes = f"Q, C', H, W] with the {predicted[0]} channels of {type(likelihood).__name__}"

    def problem_of_forward(output: Any, episode: Episode, *arguments: Any, **named: Any) -> str | None:
        if not isinstance(output, CoreOutput):
            return _wrong_type(output, "CoreOutput(prediction, kl, log_ratio) of zoo.episode")
        scenes = episode.target.shape[:2]
        wrong_prediction = _wrong_shape(output.prediction, [*scenes, *predicted], name="prediction", axes=f"[B, {axes}")
        if wrong_prediction:
            return wrong_prediction
        if not isinstance(output.kl, Tensor):
            return _wrong_type(output.kl, "a tensor", name="kl")
        if output.kl.shape[:1] != scenes[:1]:
            return (
                f"returns kl of shape {list(output.kl.shape)}, expected [{scenes[0]}, ...] = [B, ...]: the KL of every "
                "scene by itself, neither summed nor averaged over the scenes"
            )
        return _wrong_shape(output.log_ratio, scenes[:1], name="log_ratio", axes="[B], summed over queries and latents")

    def problem_of_predict(output: Any, context: Views, query: Tensor, *arguments: Any, **named: Any) -> str | None:
        expected = [named["num_samples"], *query.shape[:2], *predicted]
        return _wrong_shape(output, expected, name="a prediction", axes=f"[S, B, {axes}")

    _validate(core, "forward", problem_of_forward)
    _validate(core, "predict", problem_of_predict)


def _validate_likelihood(likelihood: Likelihood, *, channels: int) -> None:
    def problem_of_log_prob(output: Any, prediction: Tensor, target: Tensor, *arguments: Any) -> str | None:
        axes = "[B, Q], summed over channels and pixels"
        return _wrong_shape(output, target.shape[:2], name="a log-likelihood", axes=axes)

    def problem_of_mean(output: Any, prediction: Tensor) -> str | None:
        expected = [*prediction.shape[:-3], channels, *prediction.shape[-2:]]
        return _wrong_shape(output, expected, name="a mean", axes="[..., C, H, W]")

    def problem_of_sample(output: Any, prediction: Tensor, noise: Tensor, *arguments: Any) -> str | None:
        return _wrong_shape(output, noise.shape, name="a sample", axes="[..., C, H, W], that of the noise")

    _validate(likelihood, "log_prob", problem_of_log_prob)
    _validate(likelihood, "log_mass", problem_of_log_prob)
    _validate(likelihood, "floor", lambda floor, *_: _wrong_shape(floor, [], name="a floor", axes="without axes"))
    _validate(likelihood, "mean", problem_of_mean)
    _validate(likelihood, "sample", problem_of_sample)


def _validate(component: Component, method: str, problem_of: Callable[..., str | None]) -> None:
    """Replaces a method of one component by itself and a validation of what it returns."""

    def validated(*arguments: Any, **named: Any) -> Any:
        try:
            output = getattr(type(component), method)(component, *arguments, **named)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            # It was raised by the call itself: the method does not take these arguments.
            raise CheckFailedError(str(error), location=definition_of(component, method)) from error
        problem = problem_of(output, *arguments, **named)
        if problem:
            message = f"{type(component).__name__}.{method} {problem}"
            raise CheckFailedError(message, location=definition_of(component, method))
        return output

    setattr(component, method, validated)


def _wrong_type(found: object, expected: str, *, name: str = "") -> str:
    return f"returns {name + ' as ' if name else ''}a {type(found).__name__}, expected {expected}"


def _wrong_shape(found: object, expected: Sequence[int], *, name: str, axes: str) -> str | None:
    if not isinstance(found, Tensor):
        return _wrong_type(found, f"a tensor {axes}", name=name)
    if list(found.shape) == list(expected):
        return None
    hint = "; the axes are in another order" if sorted(found.shape) == sorted(expected) else ""
    return f"returns {name} of shape {list(found.shape)}, expected {list(expected)} = {axes}{hint}"
