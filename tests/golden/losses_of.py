"""The first losses of a variant: smoke size, float64, fixed seed, random scenes. What the golden file holds."""

import torch

from zoo.checks.fixture import make_fixture
from zoo.config.schedules import schedule_values_at, value_at
from zoo.evaluation.throughput import random_batch
from zoo.nn.noise import scene_keys
from zoo.registry.registry import default_registry

STEPS, SEED, NUM_CONTEXT, NUM_TARGETS = 5, 11, 2, 2


def variants():
    """Our own variants: those of a plug-in have a slash in their names and golden losses of their own."""
    return [name for name in default_registry().names() if "/" not in name]


def losses_of(name, *, build=make_fixture):
    """Returns the losses [STEPS] of the first updates by Adam, with the recipe's own schedules."""
    variant = default_registry().variant(name, size="smoke")
    recipe = variant.training
    model = build(variant, seed=SEED).model.train()
    optimizer = torch.optim.Adam(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        betas=tuple(recipe.optimizer.betas),
        eps=recipe.optimizer.epsilon,
    )
    losses = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = value_at(recipe.learning_rate, step)
        batch = random_batch(
            batch_size=recipe.batch_size,
            num_views=NUM_CONTEXT + NUM_TARGETS,
            image_size=variant.image_size,
            extras=model.task.extras,
            seed=1000 * SEED + step,
        )
        batch = batch.apply(lambda field: field.double() if field.is_floating_point() else field)
        batch = batch._replace(key=scene_keys(seed=SEED, step=step, places=torch.arange(recipe.batch_size)))
        schedule = schedule_values_at(recipe, step)
        schedule = type(schedule)(*(value.double() for value in schedule))
        terms = model(batch, schedule, NUM_CONTEXT)
        loss = terms.loss()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.gradient_clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
        optimizer.step()
        losses.append(loss.item())
    return losses
