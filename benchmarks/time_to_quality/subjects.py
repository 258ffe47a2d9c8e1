"""What is trained: variants of the registry with their recipes, and the loop of public code with the paper's schedule."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch

from benchmarks.speed.textbook_gqn import textbook_model
from zoo.bench.measurement import label_of
from zoo.bench.suite.cost import with_steps
from zoo.errors import ConfigError
from zoo.model.scene_model import SceneModel
from zoo.registry.registry import default_registry
from zoo.registry.variant import Variant, build

TEXTBOOK, NETWORK = "textbook", "gqn-tower"
_PATTERN = re.compile(r"(?P<name>[^@:]+)@(?P<size>[^@:]+)(:(?P<updates>[1-9][0-9]{0,8}))?")


class Subject(NamedTuple):
    """A model with its recipe.

    Attributes:
        label: in tables, with the number of updates, to which all schedules are stretched.
        variant: with the recipe that is trained.
        textbook: whether the model is the textbook's loop with torch's own initialisation.
    """

    label: str
    variant: Variant
    textbook: bool

    def model(self, *, seed: int) -> SceneModel:
        """Builds the model; the seed decides its initial weights."""
        model = build(self.variant, seed=seed)
        return with_default_weights(textbook_model(model), seed=seed) if self.textbook else model


def subject_of(text: str) -> Subject:
    """Returns the subject of ``NAME@SIZE`` or ``NAME@SIZE:UPDATES``.

    The name is a variant's, or ``textbook``: the network of gqn-tower at that size, as the loop of public code computes it,
    with torch's initial weights, hence from black images, and the schedules of Eslami et al. 2018 (sigma 2.0 to 0.7,
    learning rate 5e-4 to 5e-5). Batch size and context sizes are those of gqn-tower at that size.

    Raises:
        ConfigError: if the text is not of that form, or there is no such variant or size.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ConfigError(f"--models: found {text!r}, expected NAME@SIZE or NAME@SIZE:UPDATES")
    textbook = match["name"] == TEXTBOOK
    name = NETWORK if textbook else match["name"]
    variant = default_registry().variant(name, size=match["size"])
    updates = int(match["updates"] or variant.training.steps)
    if textbook:
        paper = default_registry().variant(NETWORK).training
        schedules = {key: getattr(paper, key) for key in ("steps", "learning_rate", "sigma", "beta")}
        variant = variant.model_copy(update={"training": variant.training.model_copy(update=schedules)})
    variant = with_steps(variant, updates)
    label = f"{TEXTBOOK}@{variant.size}" if textbook else label_of(variant)
    return Subject(label=f"{label}, {updates} updates", variant=variant, textbook=textbook)


def with_default_weights(model: SceneModel, *, seed: int) -> SceneModel:
    """Gives every layer the weights that torch gives a new one; leaves torch's own generator alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear):
                module.reset_parameters()
    return model
