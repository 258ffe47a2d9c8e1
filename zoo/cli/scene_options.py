"""What ``predict`` and ``render`` look at: a trained model, one scene, and its context views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from zoo.cli.options import Checkpoint, Cpu, Run, parse_contexts
from zoo.config.settings import LARGEST_SEED

if TYPE_CHECKING:
    import numpy as np

    from zoo.data.scene import Scene
    from zoo.evaluation.views import ViewPrediction
    from zoo.training.trained_model import TrainedModel


ScenePlace = Annotated[
    str | None,
    typer.Option(
        metavar="DATA:INDEX",
        help="A scene, counted from 0, of a folder of scenes or a built-in data set; default: scene 0 of the data set "
        "that the (first) model was trained on.",
    ),
]
SceneSplit = Annotated[Literal["train", "validation", "test"], typer.Option(help="Split of the scene.")]


class SceneOptions(NamedTuple):
    """Options of commands that predict views of one scene."""

    run: Run
    scene: ScenePlace = None
    split: SceneSplit = "test"
    contexts: Annotated[
        str | None,
        typer.Option(
            help="Views of the scene, counted from 0, that the model is given, for example 0,3,5; 'none' gives none; "
            "default: the first ones, as many as in training at most."
        ),
    ] = None
    samples: Annotated[int, typer.Option("-S", "--samples", min=1, max=1024, help="Samples of the latents.")] = 8
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the latents' noise.")] = 0
    checkpoint: Checkpoint = "best"
    cpu: Cpu = False


class Viewpoint(NamedTuple):
    """A model in front of a scene."""

    trained: TrainedModel
    scene: Scene
    context: list[int]  # the views that the model is given
    options: SceneOptions

    def predict(self, cameras: np.ndarray) -> ViewPrediction:
        """Predicts the views at cameras [Q, 5], radians."""
        return self.trained.predict(
            self.scene, cameras, context=self.context, samples=self.options.samples, seed=self.options.seed
        )

    @property
    def title(self) -> str:
        """What was predicted from what, for figures."""
        from zoo.bench.prediction_sheets import title_of

        return title_of(self.trained, f"{self.scene.name}, {self.options.split}")


def open_viewpoint(options: SceneOptions) -> Viewpoint:
    """Loads the model and the scene.

    Raises:
        ZooError: if something is missing, or the model does not predict views of scenes.
    """
    from zoo.data.scene import Scene
    from zoo.evaluation.views import require_views
    from zoo.training.run import device_of
    from zoo.training.trained_model import load_trained

    trained = load_trained(options.run, device=device_of(cpu=options.cpu), which=options.checkpoint)
    require_views(trained.model)
    place = f"{trained.data_name}:0" if options.scene is None else options.scene
    scene = Scene.load(place, split=options.split, image_size=trained.variant.image_size)
    if options.contexts is None:
        context = trained.default_context(scene)
    else:
        context = [] if options.contexts == "none" else parse_contexts(options.contexts)
    return Viewpoint(trained, scene, context, options)
