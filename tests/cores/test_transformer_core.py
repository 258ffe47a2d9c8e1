"""The transformer's image: a token, its latents, its rays and its patch of pixels lie at the same place."""

import rollouts
import torch

from zoo.config.schedules import schedule_values
from zoo.cores.transformer import Transformer
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape

SIZE, PATCH, STEPS, Z = 8, 4, 2, 2
TOKENS = (SIZE // PATCH) ** 2


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made():
    torch.manual_seed(0)
    config = Transformer.Config(
        steps=STEPS, channels=8, z_channels=Z, patch_size=PATCH, heads=2, hidden_channels=8, pixel_channels=4, octaves=2
    )
    shapes = CoreShapes(
        representation=RepresentationShape(channels=5, height=2, width=2),
        query=(7,),
        target=(3, SIZE, SIZE),
        prediction_channels=3,
    )
    core = Transformer(config, shapes=shapes).double()
    with torch.no_grad():  # tokens that do not look at each other keep to themselves
        for block in (core.last, *(layer.think for layer in core.layers), *(layer.compare for layer in core.layers)):
            block.attention.out.weight.zero_()
    return core


def rollout(core, *, source="posterior", target=None):
    scene = Representation(
        pooled=random(1, 0, 2, 2), per_view=random(1, 3, 5, 2, 2), mask=torch.ones(1, 3, dtype=torch.bool)
    )
    given = {"target": target, "source": source, "schedule": schedule_values(sigma=0.7)}
    return rollouts.rollout(core, scene, random(1, 7, seed=1), torch.arange(1), **given)


def of_patch(maps, token):
    """The pixels of a token's patch that no neighbour's reach: the last convolution looks one pixel around."""
    row, column = divmod(token, SIZE // PATCH)
    return maps[..., PATCH * row + 1 : PATCH * (row + 1) - 1, PATCH * column + 1 : PATCH * (column + 1) - 1]


def test_latents_are_one_vector_a_patch_and_step():
    found = rollout(made(), target=random(1, 3, SIZE, SIZE, seed=2))
    assert [z.shape for z in found.latents] == [(1, TOKENS, Z)] * STEPS
    assert found.prediction.shape == (1, 3, SIZE, SIZE)
    assert found.terms().kl.shape == (1, STEPS)


def test_a_tokens_latents_are_drawn_in_its_patch():
    latents = [random(1, TOKENS, Z, seed=step).requires_grad_() for step in range(STEPS)]
    found = rollout(made(), source=latents)
    for token in range(TOKENS):
        pixels = of_patch(found.prediction, token).square().sum()
        for gradient in torch.autograd.grad(pixels, latents, retain_graph=True):
            reached = gradient[0].abs().amax(-1) > 1e-12
            assert reached.tolist() == [other == token for other in range(TOKENS)]


def test_the_posterior_of_a_token_depends_on_its_patch_of_the_target():
    target = random(1, 3, SIZE, SIZE, seed=2).requires_grad_()
    found = rollout(made(), target=target, source=[random(1, TOKENS, Z, seed=step) for step in range(STEPS)])
    for mean in found.posteriors.mean:
        for token in range(TOKENS):
            (gradient,) = torch.autograd.grad(mean[0, token].sum(), target, retain_graph=True)
            row, column = divmod(token, SIZE // PATCH)
            inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
            inside[PATCH * row : PATCH * (row + 1), PATCH * column : PATCH * (column + 1)] = True
            assert torch.equal(gradient[0].abs().amax(0) > 0, inside)
