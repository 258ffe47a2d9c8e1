"""The analyses by name, without the modules that run them, which are slow to import."""

from __future__ import annotations

from typing import NamedTuple

from zoo.errors import ConfigError, did_you_mean


class Analysis(NamedTuple):
    """What an analysis of trained models is about; its module is ``zoo.analysis.<name>``, with ``_`` for a hyphen.

    The module has two functions: ``missing(trained) -> str | None`` returns what a model would need and does not have,
    and ``run(given) -> Findings`` measures (see :mod:`zoo.analysis.findings`).
    """

    title: str
    paper: str
    needs: str  # of every model, for the list
    runs: tuple[str, ...]  # shipped weights that are analysed by default; empty: none of them qualify
    scenes: int = 200  # of the split test, by default
    samples: int = 8  # of the latents, by default
    seeds: int = 0  # of each kind of policy that is trained, by default; 0: the analysis trains none
    env_steps: int = 0  # of every training of a policy, by default


ANALYSES = {
    "surprise": Analysis(
        title="Bayesian surprise falls with every context view",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204",
        needs="images predicted from views, with latents",
        runs=("gqn-tower",),
    ),
    "uncertainty": Analysis(
        title="The spread of predictions covers their error, and falls with every context view",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204",
        needs="images predicted from views, with latents",
        runs=("gqn-tower",),
        samples=16,
    ),
    "consistency": Analysis(
        title="One sample of the latents of a scene is one scene from all viewpoints",
        paper="Kumar et al. 2018, Consistent generative query networks, arXiv 1807.02033 (figures 6 and 7)",
        needs="images predicted from views, with latents",
        runs=("cgqn",),
    ),
    "steps": Analysis(
        title="The canvas approaches the image, and becomes sharper, step by step",
        paper="Gregor et al. 2016, Towards conceptual compression, NeurIPS (conv-DRAW); Gregor et al. 2015, DRAW, ICML",
        needs="core draw",
        runs=("draw-improved",),
    ),
    "manifold": Analysis(
        title="The latents of images form a manifold: what lies between two of them is an image as well",
        paper="Kingma and Welling 2013, Auto-encoding variational Bayes, arXiv 1312.6114 (figure 4); Kingma et al. 2014, "
        "Semi-supervised learning with deep generative models, NeurIPS; Sohn et al. 2015, Learning structured output "
        "representation using deep conditional generative models, NeurIPS",
        needs="core vae or cvae",
        runs=("vae",),
    ),
    "completion": Analysis(
        title="Images are completed as functions of the pixel",
        paper="Gordon et al. 2020, Convolutional conditional neural processes, ICLR; "
        "Garnelo et al. 2018, Conditional neural processes, ICML",
        needs="grey values predicted at pixels",
        runs=("convcnp-digits", "anp-digits-improved"),
    ),
    "regression": Analysis(
        title="Neural processes learn from examples what a Gaussian process computes exactly",
        paper="Garnelo et al. 2018, Conditional neural processes, ICML; Garnelo et al. 2018, Neural processes, ICML workshop; "
        "Kim et al. 2019, Attentive neural processes, ICLR",
        needs="functions of one number, the models in ascending order",
        runs=("np-1d", "anp-1d", "convcnp-1d"),
        samples=32,
    ),
    "captions": Analysis(
        title="The content of captions changes the predicted image, their wording does not",
        paper="Ramalho et al. 2018, Encoding spatial relations from natural language, arXiv 1807.01670",
        needs="images predicted from captions",
        runs=("slim-improved",),
    ),
    "localisation": Analysis(
        title="Images are localised, directly or by inversion",
        paper="Rosenbaum et al. 2018, Learning models for visual 3D localization with implicit mapping, arXiv 1807.03149",
        needs="cameras of images, or images at cameras",
        runs=("reversed-gqn-improved",),
        scenes=100,
    ),
    "attention": Analysis(
        title="The error falls with the context views, and with attention to them by more than with their sum",
        paper="Rosenbaum et al. 2018, Learning models for visual 3D localization with implicit mapping, arXiv 1807.03149; "
        "Tobin et al. 2019, Geometry-aware neural rendering, NeurIPS",
        needs="images predicted from views, the first model being the baseline",
        runs=("gqn-tower", "gqn-epipolar-improved"),
        samples=4,
    ),
    "information-gain": Analysis(
        title="The predicted information gain chooses the next view well",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204",
        needs="images predicted from views, with latents of the query",
        runs=("gqn-epipolar-improved",),
        scenes=100,
        samples=4,
    ),
    "extrapolation": Analysis(
        title="More context views, more objects and other cameras than in training are used",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204",
        needs="images predicted from views",
        runs=("gqn-tower", "gqn-epipolar-improved"),
        samples=4,
    ),
    "tsne": Analysis(
        title="r of views of one scene lies together, whatever the viewpoint",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204 (figure 3, t-SNE)",
        needs="a representation r pooled over images of the scene, or a VAE to compare with",
        runs=("draw-improved-one-object", "vae-one-object"),
    ),
    "invariance": Analysis(
        title="r depends on the scene more than on the viewpoint",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204 (viewpoint invariance)",
        needs="a representation r pooled over images of the scene, or a VAE to compare with",
        runs=("draw-improved-one-object", "vae-one-object"),
    ),
    "factors": Analysis(
        title="Factors of the scene are linear in r",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204 (figure 3, factorisation)",
        needs="a representation r pooled over images of the scene, or a VAE to compare with; scenes of rooms",
        runs=("draw-improved-one-object", "vae-one-object"),
    ),
    "algebra": Analysis(
        title="Sums and differences of r render the scene that the factors add up to",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204 (figure 3, scene algebra)",
        needs="r as a sum or mean over single views, and images rendered from r alone; scenes of rooms",
        runs=("draw-improved-one-object",),
        scenes=100,
    ),
    "composition": Analysis(
        title="Combinations of factors that were held out of training are predicted like others",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204 (figure 3, compositionality)",
        needs="images predicted at poses given views, and data made with --hold-out that the model was trained on",
        runs=(),
    ),
    "joints": Analysis(
        title="Joints, hand and ball of a robot arm are linear in r",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204 (robot arm)",
        needs="a representation r pooled over images of the scene, or a VAE to compare with; scenes of a robot arm",
        runs=("gqn-improved-jaco",),
        scenes=1000,
    ),
    "control": Analysis(
        title="Policies that see r instead of pixels need fewer interactions to reach",
        paper="Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204 (robot arm, control)",
        needs="a representation r pooled over images of a robot arm, and the extra control",
        runs=("gqn-improved-jaco",),
        scenes=48,
        seeds=5,
        env_steps=16000,
    ),
}


def find_analysis(name: str) -> Analysis:
    """Returns an analysis by name; raises ConfigError if there is none."""
    if name not in ANALYSES:
        raise ConfigError(f"there is no analysis {name!r}{did_you_mean(name, ANALYSES)}")
    return ANALYSES[name]


def module_of(name: str) -> str:
    """Returns the name of the module of an analysis."""
    return f"zoo.analysis.{name.replace('-', '_')}"
