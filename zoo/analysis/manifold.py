"""What the latents of a VAE and a CVAE range over: a grid of images, interpolations, and one z under several conditions.

After Kingma and Welling 2013 (figure 4), Kingma et al. 2014 (analogies) and Sohn et al. 2015. A decoder can draw anything
between two images. Whether it draws images of scenes is measured at the middle of the way, against the middle of the
pixels of the same two reconstructions: by the distance to the nearest image of other scenes, and by the excess NELBO.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import norm
from sklearn.metrics import euclidean_distances
from torch import Tensor

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.image_latents import ImageLatents, encode_images
from zoo.analysis.scores import by_position, panels_of
from zoo.analysis.trends import trend_findings
from zoo.cores.cvae import Cvae
from zoo.cores.vae import Vae
from zoo.errors import ConfigError
from zoo.evaluation.bounds import select_targets
from zoo.evaluation.images import to_bytes
from zoo.evaluation.loop import Evaluation, EvaluationBatch, evaluation_mode
from zoo.figures.sheets import ImageGroup
from zoo.figures.trends import TrendPanel, trend_of
from zoo.model.scene_model import SceneModel, cached_encoder
from zoo.training.trained_model import TrainedModel

LATENT, PIXEL = "interpolated latents", "interpolated pixels"
PLACES = (0, 25, 50, 75, 100)  # on the way from one image to the other, per cent
MIDDLE = PLACES.index(50)
QUANTITIES = {
    "nelbo_excess": "excess NELBO (nats)",
    "distance": "MSE to the nearest image of other scenes",
}
CLAIMED = {"distance": "is nearer to a true image", "nelbo_excess": "has a lower excess NELBO"}
FEWEST_SCENES = 3  # two ends of a way, and one with images that lie near to it
GRID = 9  # images along each side
ROWS = 4  # scenes of the sheets


@dataclass(frozen=True, kw_only=True)
class Manifold:
    """What was measured of a model; images are [..., C, H, W] in [0, 1]."""

    truth: Tensor  # [n, 2, C, H, W]: two views of every scene
    images: Mapping[str, Tensor]  # LATENT and PIXEL -> [places, n, C, H, W], see interpolate
    scores: Mapping[str, Mapping[str, np.ndarray]]  # LATENT and PIXEL -> metric of QUANTITIES -> [places, n]
    true_distance: np.ndarray  # [n]: of the first view to the nearest image of other scenes
    grid: Tensor  # [GRID, GRID, C, H, W]
    analogies: Mapping[str, Tensor]  # CVAE alone: see analogies_of; [n, C, H, W]


def missing(trained: TrainedModel) -> str | None:
    """Returns what a model lacks: one group of latents per image."""
    core = trained.model.core
    if isinstance(core, Vae | Cvae) and core.config.z_channels > 1 and trained.model.task.target_kind == "images":
        return None
    return "a model that encodes each image by one group of two or more latents (core vae or cvae)"


def run(given: AnalysisInputs) -> Findings:
    """Encodes two views of every scene, and decodes the ways between scenes.

    Raises:
        ConfigError: if a scene has too few views, or there are too few scenes.
    """
    if given.num_scenes < FEWEST_SCENES:
        raise ConfigError(f"manifold: found {given.num_scenes} scenes, expected {FEWEST_SCENES} or more to interpolate")
    found = {}
    for label, trained in given.models.items():
        given.log(f"{label}: encoding and interpolating images of {given.num_scenes} scenes")
        found[label] = measure(given, trained)
    sheets = {
        "grid": [ImageGroup(f"{label}: two leading directions", to_bytes(each.grid)) for label, each in found.items()],
        "interpolations": interpolation_groups(found),
        "analogies": analogy_groups(found),
    }
    return trend_findings(
        "manifold",
        claims=manifold_claims(found),
        panels=manifold_panels(found),
        along="place between two images (%)",
        sheets={name: groups for name, groups in sheets.items() if groups},
    )


def measure(given: AnalysisInputs, trained: TrainedModel) -> Manifold:
    """Encodes, interpolates and scores the images of all scenes, given as many context views as in training at most."""
    model, most = trained.model, given.scenes.num_views - 2
    context = min(trained.variant.training.contexts.maximum, most)
    evaluation = given.evaluation(trained, num_context=context, num_targets=2)
    latents = encode_images(model, evaluation)
    with evaluation_mode(model):
        images = interpolate(model, latents)
        grid = grid_of(model, latents)
        analogies = analogies_of(model, latents) if isinstance(model.core, Cvae) else {}
    nearest = NearestImages(given)
    excess = excess_of(model, evaluation, images)
    return Manifold(
        truth=latents.target,
        images=images,
        scores={
            source: {
                "nelbo_excess": excess[source],
                "distance": np.stack([nearest.distance(each, skipped=1) for each in images[source]]),
            }
            for source in images
        },
        true_distance=nearest.distance(latents.target[:, 0], skipped=0),
        grid=grid,
        analogies=analogies,
    )


def interpolate(model: SceneModel, latents: ImageLatents) -> dict[str, Tensor]:
    """Returns images on the way from the first view of every scene to that of the next scene, [places, n, C, H, W].

    Both images are encoded under the condition of the first; pixels are those of their two reconstructions.
    """
    condition, target = latents.condition[:, :1], latents.target[:, :1]
    first, second = (latents.core.posterior_of(each, condition).mean for each in (target, target.roll(-1, 0)))

    def decode(z: Tensor) -> Tensor:
        return model.expected_image(latents.core.write(z, condition))[:, 0]

    ends = decode(first), decode(second)
    return {
        LATENT: torch.stack([decode(torch.lerp(first, second, place / 100)) for place in PLACES]),
        PIXEL: torch.stack([torch.lerp(*ends, place / 100) for place in PLACES]),
    }


def grid_of(model: SceneModel, latents: ImageLatents) -> Tensor:
    """Returns images over the plane in which the means of the posteriors vary most, [GRID, GRID, C, H, W].

    Coordinates are the quantiles of the aggregate posterior, through the inverse of the Gaussian distribution function
    (Kingma and Welling 2013, figure 4); the condition is that of the first scene. Latents are relative to the prior.
    """
    mean, variance = latents.mean[:, 0], latents.variance[:, 0]
    centred = mean - mean.mean(0)
    _, directions = torch.linalg.eigh(centred.T @ centred / len(mean))
    leading = directions[:, -2:].flip(1)  # [Z, 2]
    scale = ((centred @ leading).square().mean(0) + variance.mean(0) @ leading.square()).sqrt()
    quantiles = torch.from_numpy(norm.ppf((np.arange(GRID) + 0.5) / GRID)).to(mean)
    places = torch.cartesian_prod(quantiles, quantiles) * scale  # [GRID * GRID, 2]
    z = latents.from_prior(mean.mean(0) + places @ leading.T, condition_of=(0, 0))
    images = model.expected_image(latents.core.write(z, latents.condition[:1, 0].expand(len(z), -1)))
    return images.unflatten(0, (GRID, GRID))


CAMERA, SCENE, OWN = "z at another camera", "z under another scene", "reconstruction"
CAMERA_CONTROL = "z of another scene at that camera"


def analogies_of(model: SceneModel, latents: ImageLatents) -> dict[str, Tensor]:
    """Returns images of the latents of every first view under other conditions, [n, C, H, W].

    The latents keep their place relative to the prior, which depends on the condition (Sohn et al. 2015) or does not
    (Kingma et al. 2014): under the condition of the second view of the scene, and of the first view of the next scene.
    """
    everyone = torch.arange(len(latents.target), device=latents.target.device)
    following, own = everyone.roll(-1), latents.mean[:, 0]

    def decode(relative: Tensor, scenes: Tensor, view: int) -> Tensor:
        z = latents.from_prior(relative, condition_of=(scenes, view))
        return model.expected_image(latents.core.write(z, latents.condition[scenes, view]))

    return {
        OWN: decode(own, everyone, 0),
        CAMERA: decode(own, everyone, 1),
        CAMERA_CONTROL: decode(own[following], everyone, 1),
        SCENE: decode(own, following, 0),
    }


class NearestImages:
    """The images of all views of the analysed scenes."""

    def __init__(self, given: AnalysisInputs) -> None:
        scenes, views = np.arange(given.num_scenes), np.arange(given.scenes.num_views)
        frames, _ = given.scenes.read(scenes, np.tile(views, (len(scenes), 1)))
        self.scenes = np.repeat(scenes, len(views))
        self.pixels = frames.reshape(len(self.scenes), -1) / np.float32(255.0)

    def distance(self, images: Tensor, *, skipped: int) -> np.ndarray:
        """Returns the MSE to the nearest image, [n], for images [n, C, H, W], one of each scene.

        Images of the scene itself, and of the ``skipped`` scenes after it, do not count.
        """
        pixels = images.movedim(1, -1).flatten(1).float().cpu().numpy()
        squares = euclidean_distances(pixels, self.pixels, squared=True) / pixels.shape[1]
        own = np.arange(len(pixels))
        for step in range(skipped + 1):
            squares[((own + step) % len(own))[:, None] == self.scenes] = np.inf
        return squares.min(1).astype(float)


def excess_of(model: SceneModel, evaluation: Evaluation, images: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Returns the excess NELBO of images in the place of the first targets, nats: name -> [places, n] for [places, n, ...]."""

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        episode = select_targets(model.episode(part.batch, num_context=part.num_context), slice(0, 1))
        encode = cached_encoder(model.encoder, episode)
        scenes = torch.from_numpy(part.scenes)

        def excess(image: Tensor) -> Tensor:
            changed = episode._replace(target=image[scenes][:, None])
            return model.score(changed, evaluation.schedule, encode=encode).excess().double()

        return {name: torch.stack([excess(image) for image in each], dim=1) for name, each in images.items()}

    return {name: found.T for name, found in evaluation.score(score, model=model).items()}


def manifold_panels(found: Mapping[str, Manifold]) -> list[TrendPanel]:
    """Returns a panel per quantity, with the distance of true images in the second."""
    series = {
        f"{label}, {source}": by_position(PLACES, scores)
        for label, each in found.items()
        for source, scores in each.scores.items()
    }
    excess, distance = panels_of(series, QUANTITIES)
    true_distance = next(iter(found.values())).true_distance
    truth = trend_of("true images", PLACES, [true_distance] * len(PLACES))
    return [excess, distance._replace(trends=[*distance.trends, truth])]


def manifold_claims(found: Mapping[str, Manifold]) -> list[Claim]:
    """Compares latents with pixels in the middle, and analogies with what ignores z or the condition."""
    expectations = []
    for label, each in found.items():
        for metric, text in CLAIMED.items():
            latent, pixel = (each.scores[source][metric][MIDDLE] for source in (LATENT, PIXEL))
            text = f"{label}: the middle of two latents {text} than the middle of the pixels"
            expectations.append(Expectation.less(text, latent, pixel, unit=QUANTITIES[metric]))
        if each.analogies:
            kept = "one z at another camera keeps what the condition does not fix"
            became = "one z under another scene becomes an image of that scene"
            first, second = each.truth[:, 0], each.truth[:, 1]
            pairs = ((kept, CAMERA, CAMERA_CONTROL, second), (became, SCENE, OWN, first.roll(-1, 0)))
            for text, name, control, truth in pairs:
                errors = [squared_error(each.analogies[which], truth) for which in (name, control)]
                expectations.append(Expectation.less(f"{label}: {text}", *errors, unit="MSE"))
    return conclude(expectations)


def squared_error(images: Tensor, truth: Tensor) -> np.ndarray:
    """Returns the MSE of images [n, C, H, W] in [0, 1], [n] float64."""
    return (images - truth).square().flatten(1).mean(1).double().cpu().numpy()


def interpolation_groups(found: Mapping[str, Manifold]) -> list[ImageGroup]:
    """Returns the ways between the first scenes, of latents and of pixels, between the true images."""
    truth = next(iter(found.values())).truth[:, 0]
    groups = [ImageGroup("one image", to_bytes(truth[:ROWS]))]
    for label, each in found.items():
        groups += [
            ImageGroup(f"{label}: {name}", to_bytes(each.images[name][:, :ROWS].transpose(0, 1)))
            for name in each.images
        ]
    return [*groups, ImageGroup("the other image", to_bytes(truth.roll(-1, 0)[:ROWS]))]


def analogy_groups(found: Mapping[str, Manifold]) -> list[ImageGroup]:
    """Returns the images of the latents of the first scenes under other conditions, beside the truth; empty without CVAE."""
    groups = []
    for label, each in found.items():
        shown = {
            "image": each.truth[:, 0],
            "other camera": each.truth[:, 1],
            "other scene": each.truth[:, 0].roll(-1, 0),
            **{f"{label}: {name}": images for name, images in each.analogies.items()},
        }
        if each.analogies:
            groups += [ImageGroup(name, to_bytes(images[:ROWS])) for name, images in shown.items()]
    return groups
