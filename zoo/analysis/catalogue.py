"""The analyses by name, without the modules that run them, which are slow to import."""

from __future__ import annotations

from typing import NamedTuple

from zoo.errors import ConfigError, did_you_mean


class Analysis(NamedTuple):
    """What an analysis is about; the module ``zoo.analysis.<name>`` runs it."""

    title: str
    paper: str
    minutes: int  # on two CPU cores


ANALYSES = {
    "attention": Analysis(
        title="With many context views, attention predicts better than the sum of the views",
        paper="Rosenbaum et al. 2018, Learning models for visual 3D localization with implicit mapping, arXiv 1807.03149; "
        "Tobin et al. 2019, Geometry-aware neural rendering, NeurIPS",
        minutes=10,
    ),
    "completion": Analysis(
        title="Images are completed as functions of the pixel",
        paper="Gordon et al. 2020, Convolutional conditional neural processes, ICLR; "
        "Garnelo et al. 2018, Conditional neural processes, ICML",
        minutes=1,
    ),
    "consistency": Analysis(
        title="One sample of CGQN's latents is one scene from all viewpoints; GQN samples anew for every query",
        paper="Kumar et al. 2018, Consistent generative query networks, arXiv 1807.02033 (figures 6 and 7)",
        minutes=12,
    ),
    "draw": Analysis(
        title="DRAW's canvas approaches the image, and becomes sharper, step by step",
        paper="Gregor et al. 2016, Towards conceptual compression, NeurIPS (conv-DRAW); Gregor et al. 2015, DRAW, ICML",
        minutes=5,
    ),
    "localisation": Analysis(
        title="Images are localised directly and by inversion; maps have several modes where places look alike",
        paper="Rosenbaum et al. 2018, Learning models for visual 3D localization with implicit mapping, arXiv 1807.03149",
        minutes=15,
    ),
    "neural_processes": Analysis(
        title="Neural processes learn from examples what a Gaussian process computes exactly",
        paper="Garnelo et al. 2018, Conditional neural processes, ICML; Garnelo et al. 2018, Neural processes, ICML workshop; "
        "Kim et al. 2019, Attentive neural processes, ICLR",
        minutes=5,
    ),
    "slim": Analysis(
        title="The content of captions changes the predicted image, their wording does not",
        paper="Ramalho et al. 2018, Encoding spatial relations from natural language, arXiv 1807.01670",
        minutes=8,
    ),
    "surprise": Analysis(
        title="Bayesian surprise falls with every context view, and requires latents",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204 (Bayesian surprise)",
        minutes=11,
    ),
}


def find_analysis(name: str) -> Analysis:
    """Returns an analysis by name; raises ConfigError if there is none."""
    if name not in ANALYSES:
        raise ConfigError(f"there is no analysis {name!r}{did_you_mean(name, ANALYSES)}")
    return ANALYSES[name]
