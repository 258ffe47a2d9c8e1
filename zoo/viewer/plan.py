"""The 3-D view of the page: the floor from above, cameras as frusta, gizmos, and marks on the plan."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from zoo.data.camera import FIELD_OF_VIEW_DEGREES
from zoo.data.scene import Scene
from zoo.figures.views import coloured
from zoo.viewer.camera_mapping import from_viser, to_viser
from zoo.viewer.plan_geometry import PlanExtent, plan_extent, plan_image
from zoo.viewer.probability_map import ProbabilityMap
from zoo.viewer.rendering import PredictedSpread
from zoo.viewer.session_state import SessionState

if TYPE_CHECKING:
    import viser

FIELD_OF_VIEW = math.radians(FIELD_OF_VIEW_DEGREES)
# Seen from below, an image of viser has its x axis to the right and y down; half a turn about x puts it on the floor.
FACING_UP = (0.0, 1.0, 0.0, 0.0)
CAMERA, CONTEXT, SELECTED, OWN = (213, 94, 0), (0, 114, 178), (0, 158, 115), (150, 150, 150)
Colour = tuple[int, int, int]
PHASES = Literal["start", "update", "end"]
Moved = Callable[[np.ndarray, PHASES], None]  # camera [5] of a gizmo that was dragged


class Plan:
    """What the 3-D view of one visitor shows."""

    def __init__(self, scene: viser.SceneApi, *, on_own_view: Callable[[int], None], on_view: Callable[[int], None]):
        """Calls ``on_own_view`` with the scene's view, ``on_view`` with the index of the context view, when clicked."""
        self._scene = scene
        self._on_own_view, self._on_view = on_own_view, on_view
        self._context: list[viser.CameraFrustumHandle] = []
        self._own: list[viser.CameraFrustumHandle] = []
        self._gizmos: dict[str, viser.TransformControlsHandle] = {}
        self._camera: viser.CameraFrustumHandle | None = None
        self._marks: list[viser.SceneNodeHandle] = []
        self._size = 0.3

    def show_scene(self, scene: Scene) -> PlanExtent:
        """Shows the floor and the scene's own cameras; returns what the plan covers."""
        extent = plan_extent(scene)
        self._size = 0.07 * extent.half_width
        width = 2.0 * extent.half_width
        centre = (float(extent.centre[0]), float(extent.centre[1]), 0.0)
        image = plan_image(scene)
        if image is None:
            self._scene.remove_by_name("/floor")
            self._scene.add_grid("/grid", width, width, position=centre)
        else:
            self._scene.remove_by_name("/grid")
            self._scene.add_image("/floor", image, width, width, wxyz=FACING_UP, position=centre)
        # The size of frusta is that of the scene.
        for handle in (*self._own, *self._context, *([self._camera] if self._camera else [])):
            handle.remove()
        self._context, self._camera = [], None
        self._own = [self._frustum(f"/own/{view}", scene.cameras[view], 0.5, OWN) for view in range(scene.num_views)]
        for view, handle in enumerate(self._own):
            handle.on_click(lambda _, view=view: self._on_own_view(view))
        return extent

    def show_context(self, state: SessionState, *, selected: int | None) -> None:
        """Shows the context views as frusta with their images; a gizmo moves the selected one."""
        for handle in self._context[len(state.context) :]:
            handle.remove()
        del self._context[len(state.context) :]
        for index, view in enumerate(state.context):
            if index == len(self._context):
                self._context.append(self._frustum(f"/context/{index}", view.camera, 1.5, CONTEXT))
                self._context[index].on_click(lambda _, index=index: self._on_view(index))
            handle = self._context[index]
            handle.wxyz, handle.position = to_viser(view.camera)
            handle.image = view.image
            handle.color = SELECTED if index == selected else CONTEXT
        chosen = None if selected is None else state.context[selected].camera
        self._place_gizmo("view", chosen)

    def show_camera(self, camera: np.ndarray, *, flying: bool) -> None:
        """Shows the camera of the predictions with its gizmo; hides both while the browser's camera is the same."""
        if self._camera is None:
            self._camera = self._frustum("/camera", camera, 2.0, CAMERA)
        self._camera.wxyz, self._camera.position = to_viser(camera)
        self._camera.visible = not flying
        self._place_gizmo("camera", None if flying else camera)

    def add_gizmo(self, name: str, moved: Moved) -> None:
        """Adds a hidden gizmo, which calls ``moved`` when it is dragged."""
        handle = self._scene.add_transform_controls(
            f"/gizmo/{name}", scale=0.9, line_width=2.0, depth_test=False, visible=False
        )
        handle.on_update(lambda event: moved(from_viser(handle.wxyz, handle.position), event.phase))
        self._gizmos[name] = handle

    def _place_gizmo(self, name: str, camera: np.ndarray | None) -> None:
        handle = self._gizmos[name]
        handle.visible = camera is not None
        if camera is not None:
            handle.wxyz, handle.position = to_viser(camera)

    def show_spread(self, found: PredictedSpread) -> None:
        """Marks the cameras of the ring with colours from black, no spread, to light yellow, the largest."""
        self.clear_marks()
        colours = coloured(found.values[None] / max(float(found.values.max()), 1e-6))[0]
        for index, (camera, colour) in enumerate(zip(found.cameras, colours, strict=True)):
            rgb = (int(colour[0]), int(colour[1]), int(colour[2]))
            name, radius, place = f"/marks/{index}", 0.5 * self._size, to_viser(camera).position
            self._marks.append(self._scene.add_icosphere(name, radius=radius, color=rgb, position=place))

    def show_map(self, found: ProbabilityMap) -> None:
        """Lays a map of probability over the plan, with the estimated camera as a frustum."""
        self.clear_marks()
        low_x, high_x, low_y, high_y = found.located.grid.extent
        middle = (0.5 * (low_x + high_x), 0.5 * (low_y + high_y), 0.02)
        width, height = high_x - low_x, high_y - low_y
        self._marks = [
            self._scene.add_image("/marks/map", found.image, width, height, wxyz=FACING_UP, position=middle),
            self._frustum("/marks/estimate", found.located.estimate, 2.0, SELECTED),
            self._frustum("/marks/truth", found.located.truth, 2.0, CAMERA),
        ]

    def clear_marks(self) -> None:
        """Removes what was laid over the plan."""
        for handle in self._marks:
            handle.remove()
        self._marks = []

    def _frustum(self, name: str, camera: np.ndarray, scale: float, color: Colour) -> viser.CameraFrustumHandle:
        """Adds a camera; ``scale`` is relative to the size of the scene."""
        pose = to_viser(camera)._asdict()
        return self._scene.add_camera_frustum(name, FIELD_OF_VIEW, 1.0, scale=scale * self._size, color=color, **pose)
