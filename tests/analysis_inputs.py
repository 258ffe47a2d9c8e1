"""Inputs of analyses for tests: models that are not trained, and scenes in memory."""

from pathlib import Path

from zoo.analysis.findings import AnalysisInputs
from zoo.training.trained_model import TrainedModel, TrainingCost


def trained_model(model, variant):
    """Returns a model as if it had been trained."""
    return TrainedModel(
        model=model.eval(),
        variant=variant,
        run=Path("run"),
        config={"seed": 0, "data": {"name": "arrays"}},
        step=0,
        seconds=0.0,
        spent=TrainingCost(0, 0.0),
    )


def make_inputs(models, scenes, *, num_samples=4, folder=Path("nowhere")):
    """Returns inputs with all scenes."""
    return AnalysisInputs(
        models=models,
        scenes=scenes,
        other=None,
        num_scenes=scenes.num_scenes,
        num_samples=num_samples,
        seed=0,
        folder=folder,
        log=lambda sentence: None,
    )
