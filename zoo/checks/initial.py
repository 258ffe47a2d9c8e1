"""Checks of the start of training: grey predictions, and images, latents and targets that reach where they are needed."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from zoo.checks.failures import require
from zoo.checks.fixture import CheckContext, random_scenes
from zoo.episode import Episode, SceneBatch, Views
from zoo.nn.noise import fold

NUM_SCENES = 16
LARGEST_ERROR = 1.5  # of the first predictions, in units of the squared error of the mean image
LEAST_VARIATION = 0.1  # of a representation over images, in units of its mean magnitude
LEAST_SIGNAL = 0.002  # of the target in a reconstruction, in units of the noise of the latents
LEAST_NOISE = 1e-4  # of the latents in a reconstruction, in units of the range of pixels


@torch.no_grad()
def check_initial_signal(fixture: CheckContext) -> None:
    """Checks, for targets that are images, that training can start: what stalls it is visible at initialisation.

    The first predictions are near grey. At equal poses, the representation of a view varies with its image. The noise of
    the latents and, through them, the target reach the reconstruction.
    """
    model = fixture.model
    if model.task.target_kind != "images":
        return
    episode = fixture.episode(_smooth_scenes(fixture))
    _require_grey(fixture, episode)
    if model.task.context_kind == "images" and model.encoder.features:
        _require_visible_images(fixture, episode.context)
    if fixture.has_latents:
        _require_target(fixture, episode)


def _smooth_scenes(fixture: CheckContext) -> SceneBatch:
    """Makes scenes with images whose colours change slowly, as those of rooms do: noise would average out."""
    size = fixture.batch.frames.shape[2]
    batch = random_scenes(fixture.model, image_size=size, seed=3, num_scenes=NUM_SCENES)
    coarse = batch.frames[:, :, :4, :4].flatten(0, 1).permute(0, 3, 1, 2).double()
    fine = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    frames = fine.round().to(torch.uint8).permute(0, 2, 3, 1).unflatten(0, batch.frames.shape[:2])
    return batch._replace(frames=frames.contiguous())


def _require_grey(fixture: CheckContext, episode: Episode) -> None:
    predicted = fixture.model.expected_image(fixture.predict_parameters(episode))[0]
    error = (predicted - episode.target).square().mean()
    of_mean_image = (episode.target - episode.target.mean(0)).square().mean()
    require(
        bool(error <= LARGEST_ERROR * of_mean_image),
        f"the first predictions have {float(error / of_mean_image):.2f} times the squared error of the mean image, expected at "
        f"most {LARGEST_ERROR}: start from grey (shapes.initial_prediction is the bias of the last layer)",
    )


def _require_visible_images(fixture: CheckContext, context: Views) -> None:
    poses = context.poses[:1, :1].expand(len(context.poses), 1, -1)
    single = Views(values=context.values[:, :1], poses=poses, mask=context.mask[:, :1])
    maps = fixture.model.encoder(single).per_view.flatten(1)
    variation = maps.std(0).mean() / maps.abs().mean()
    require(
        bool(variation >= LEAST_VARIATION),
        f"at equal poses the representation varies over images by {float(variation):.3f} of its mean magnitude, expected at "
        f"least {LEAST_VARIATION}: the image is invisible beside pose and biases (see zoo.nn.blocks.initialise)",
    )


def _require_target(fixture: CheckContext, episode: Episode) -> None:
    views = episode.target_views
    others = views._replace(values=views.values.roll(1, 0))
    own, with_other_noise, of_others = (
        fixture.model.expected_image(fixture.model.score_and_reconstruct(each, fixture.schedule)[1])
        for each in (
            episode,
            episode._replace(key=fold(episode.key, 5)),
            episode._replace(target=episode.target.roll(1, 0), target_views=others),
        )
    )
    noise, signal = (float((own - other).square().mean().sqrt()) for other in (with_other_noise, of_others))
    require(
        noise >= LEAST_NOISE,
        f"the noise of the latents changes a reconstruction by {noise:.1e}, expected at least {LEAST_NOISE:.0e}: the latents "
        "do not reach the prediction",
    )
    require(
        signal >= LEAST_SIGNAL * noise,
        f"another target changes its reconstruction by {signal / noise:.4f} times the noise of the latents, expected at least "
        f"{LEAST_SIGNAL}: the target does not reach the posterior",
    )
