"""Where a localisation model believes that the camera of one image of the scene was."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from zoo.errors import ConfigError, DataError
from zoo.evaluation.localisation import Located, Search, locate
from zoo.evaluation.loop import EvaluationBatch, batch_of, evaluation_mode
from zoo.evaluation.pose_grid import PosePrior, grid_over
from zoo.figures.views import coloured
from zoo.viewer.session_state import SessionState, own_view

PLACES, TURNS = 24, 16  # cells along a side, and directions


class ProbabilityMap(NamedTuple):
    """A map over the plan, and the most probable camera."""

    name: str  # of the model
    located: Located

    @property
    def image(self) -> np.ndarray:
        """The map seen from above with +y up, [Y, X, 3] uint8; the colour is the square root of the probability."""
        mass = self.located.floor_mass
        return coloured(np.sqrt(mass / mass.max()))[::-1]


def locate_view(state: SessionState, view: int) -> ProbabilityMap:
    """Locates the camera of one of the scene's own views with the first localisation model, from the context.

    Raises:
        ConfigError: if no localisation model is shown, or there is no context.
        DataError: if the view does not exist or is context itself.
    """
    model = next((model for model in state.models if model.localises), None)
    if model is None:
        raise ConfigError("no localisation model is shown; add one, for example reversed-gqn-improved")
    query = own_view(state.scene, view)
    if not state.context:
        raise ConfigError("context: found no views, expected at least one to locate an image in")
    if any(each.view == view for each in state.context):
        raise DataError(f"{state.scene.name}: view {view} is context; choose another image")
    # The grid reaches over the scene's cameras. The prior of a localisation model is its own; this one is not used.
    known = torch.from_numpy(state.scene.cameras).double()
    prior = PosePrior("uniform", grid=grid_over(known, places=PLACES, turns=TURNS), cameras=known)
    schedule = model.trained.schedule
    shown = [*state.context, query]
    frames, cameras = (np.stack(parts)[None] for parts in zip(*((one.image, one.camera) for one in shown), strict=True))
    batch = batch_of(frames, cameras, device=schedule.sigma.device, seed=state.seed)
    part = EvaluationBatch(np.zeros(1, np.int64), batch, len(state.context))
    search = Search(samples=state.samples if model.trained.model.core.latents != "none" else 0)
    with model.computing, evaluation_mode(model.trained.model):
        located = locate(model.trained.model, part, schedule=schedule, prior=prior, search=search)
    return ProbabilityMap(model.name, located)
