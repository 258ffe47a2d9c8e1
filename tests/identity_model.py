"""A model whose r is its views: the mean of the images, which its generator predicts everywhere."""

from __future__ import annotations

import torch

from zoo.likelihoods.annealed_gaussian import AnnealedGaussian
from zoo.model.interfaces import DeterministicCore, PerViewEncoder, RepresentationShape
from zoo.model.scene_model import SceneModel
from zoo.model.tasks import Render


class MeanImage(PerViewEncoder):
    """r = mean_i x^i, or noise that depends on the pixels but has no relation to what they show."""

    context_kind = "images"

    def __init__(self, *, size: int, noise: bool) -> None:
        super().__init__(PerViewEncoder.Config(pooling="mean"), view=None)
        self.shape = RepresentationShape(3, size, size)
        self.noise = noise
        self.scale = torch.nn.Parameter(torch.ones(()))

    def encode_views(self, values, poses):
        if not self.noise:
            return values * self.scale
        seeds = (values.flatten(1) * torch.arange(1, values[0].numel() + 1)).sum(1)
        return torch.stack(
            [torch.rand(values[0].shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
        )


class ShowRepresentation(DeterministicCore):
    """Predicts r itself from every camera."""

    required_features = frozenset({"pooled"})

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def decode(self, context, query, encode):
        return encode(context).pooled[:, None].expand(-1, query.shape[1], -1, -1, -1)


def identity_model(*, size: int = 4, noise: bool = False) -> SceneModel:
    """Returns the model for images of ``size`` pixels."""
    return SceneModel(
        task=Render(Render.Config(), image_size=size),
        encoder=MeanImage(size=size, noise=noise),
        core=ShowRepresentation(),
        likelihood=AnnealedGaussian(AnnealedGaussian.Config()),
    ).eval()
