"""The page of one visitor: connects the controls and the plan to the session, and shows its frames."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import ZooError
from zoo.viewer.camera_mapping import from_viser, to_viser
from zoo.viewer.panel import NO_VIEW, Panel
from zoo.viewer.plan import FIELD_OF_VIEW, PHASES, Plan
from zoo.viewer.plan_geometry import clicked_camera
from zoo.viewer.probability_map import locate_view
from zoo.viewer.render_loop import Detail, RenderLoop
from zoo.viewer.rendering import path_of, predicted_spread, render_frame, write_animation
from zoo.viewer.session import ViewerSession
from zoo.viewer.session_state import SessionState

if TYPE_CHECKING:
    import viser

FRAMES, RATE = 48, 12.0  # of an animation: number, and frames per second
NOTICE_SECONDS = 10.0


class Page:
    """Shows a session to one client. Mistakes become notifications; the page stays usable."""

    def __init__(self, client: viser.ClientHandle, session: ViewerSession, *, state_file: Path) -> None:
        """Shows the session; ``state_file`` is where it is saved and loaded from."""
        self.session = session
        self._client, self._state_file = client, state_file
        self._selected: int | None = None
        self._showing = threading.RLock()  # callbacks of one page run in several threads
        self._playing = threading.Lock()
        self._closed = threading.Event()
        client.camera.fov = FIELD_OF_VIEW
        self._panel = Panel(client.gui, session.state)
        self._plan = Plan(
            client.scene, on_own_view=lambda view: self._act(lambda: session.add_own_view(view)), on_view=self._select
        )
        self._plan.add_gizmo("view", self._view_dragged)
        self._plan.add_gizmo("camera", self._camera_dragged)
        self._loop = RenderLoop(self._draw)
        self._connect_actions()
        self._attempt(self._show_scene)

    def close(self) -> None:
        """Ends the frames of this page."""
        self._closed.set()
        self._loop.close()

    def _attempt(self, action: Callable[[], Any], *, notify: bool = True) -> bool:
        """Runs an action and returns whether it succeeded; a mistake is shown as a notification."""
        try:
            action()
        except (ZooError, OSError) as error:
            if notify:
                self._client.add_notification(
                    "That did not work", str(error), color="red", auto_close_seconds=NOTICE_SECONDS
                )
            return False
        return True

    def _connect_actions(self) -> None:
        """Connects the controls; after what changes the session the page shows the new state."""
        panel, session = self._panel, self.session
        actions: list[tuple[Any, Callable[[], Any]]] = [
            (panel.new_sample, session.draw_noise),
            (panel.remove_view, self._remove_selected),
            (panel.clear_views, session.clear_views),
            (panel.add_own_view, lambda: session.add_own_view(int(panel.own_view.value))),
            (panel.add_model, lambda: session.add_model(panel.model_name.value)),
            (panel.remove_model, lambda: session.remove_model(panel.shown.value)),
            (panel.add_keyframe, session.add_keyframe),
            (panel.clear_keyframes, session.clear_keyframes),
        ]
        for button, action in actions:
            button.on_click(lambda _, action=action: self._act(action))
        others: list[tuple[Any, Callable[[], Any]]] = [
            (panel.open_scene, self._open_scene),
            (panel.load, self._load),
            (panel.save, self._save),
            (panel.play, self._play),
            (panel.export, self._export),
            (panel.from_above, self._view_from_above),
            (panel.spread, self._show_spread),
            (panel.locate, self._locate),
            (panel.clear_marks, self._clear_marks),
        ]
        for button, action in others:
            button.on_click(lambda _, action=action: self._attempt(action))
        self._on_input(panel.samples, lambda: self._act(lambda: session.set_samples(int(panel.samples.value))))
        self._on_input(panel.selected, self._selection_changed)
        self._client.scene.on_click()(self._scene_clicked)
        self._on_input(panel.position, self._pose_typed)
        self._on_input(panel.angles, self._pose_typed)
        self._on_input(panel.fly, self._fly_changed)
        self._client.camera.on_update(self._browser_moved)

    def _on_input(self, control: Any, action: Callable[[], Any]) -> None:
        """Runs an action when the visitor changes a control, not when the page does."""
        control.on_update(lambda event: action() if event.client_id is not None else None)

    def _act(self, action: Callable[[], Any]) -> None:
        self._attempt(action)
        self._show_state()

    def _show_state(self) -> None:
        with self._showing:
            state = self.session.state
            if self._selected is not None and self._selected >= len(state.context):
                self._selected = None
            self._panel.show(state, selected=self._selected)
            self._plan.show_context(state, selected=self._selected)
        self._loop.request()

    def _show_scene(self) -> None:
        with self._showing:
            self._selected = None
            self._clear_marks()
            self._extent = self._plan.show_scene(self.session.state.scene)
            self._show_state()
            self._moved(self.session.state.camera)
            self._view_from_above()

    # Context views

    def _remove_selected(self) -> None:
        selected = self._selected
        if selected is None:
            raise ZooError("context: no view is selected; click one in the plan or choose one in the list")
        self.session.remove_view(selected)
        self._selected = None

    def _select(self, index: int | None) -> None:
        with self._showing:
            self._selected = index
            self._show_state()

    def _selection_changed(self) -> None:
        chosen = self._panel.selected.value
        self._select(None if chosen == NO_VIEW else int(chosen))

    def _scene_clicked(self, event: viser.SceneClickEvent) -> None:
        if not self._panel.click_adds.value:
            return
        origin, direction = np.array(event.ray_origin), np.array(event.ray_direction)
        self._act(lambda: self.session.add_view_at(clicked_camera(self._extent, origin=origin, direction=direction)))

    def _view_dragged(self, camera: np.ndarray, phase: PHASES) -> None:
        selected = self._selected
        if selected is None or phase == "start":
            return
        moved = self._attempt(lambda: self.session.move_view(selected, camera), notify=phase == "end")
        if moved or phase == "end":
            self._show_state()

    # Camera

    def _pose_typed(self) -> None:
        pose = (*self._panel.position.value, *self._panel.angles.value)
        if self._attempt(lambda: self.session.look_from_pose(pose)):
            with self._showing:
                self._plan.show_camera(self.session.state.camera, flying=self._panel.fly.value)
                self._put_browser_at_camera()
            self._loop.request()

    def _camera_dragged(self, camera: np.ndarray, phase: PHASES) -> None:
        if phase != "start":
            self._moved(camera)

    def _browser_moved(self, camera: viser.CameraHandle) -> None:
        if self._panel.fly.value:
            self._attempt(lambda: self._moved(from_viser(camera.wxyz, camera.position)), notify=False)

    def _moved(self, camera: np.ndarray) -> None:
        with self._showing:
            self.session.look_from(camera)
            self._panel.show_camera(camera)
            self._plan.show_camera(camera, flying=self._panel.fly.value)
        self._loop.request()

    def _fly_changed(self) -> None:
        with self._showing:
            self._plan.show_camera(self.session.state.camera, flying=self._panel.fly.value)
            if not self._panel.fly.value:
                self._view_from_above()
            self._put_browser_at_camera()

    def _put_browser_at_camera(self) -> None:
        if self._panel.fly.value:
            camera = to_viser(self.session.state.camera)
            with self._client.atomic():
                self._client.camera.up_direction = (0.0, 0.0, 1.0)
                self._client.camera.position = camera.position
                self._client.camera.wxyz = camera.wxyz

    def _view_from_above(self) -> None:
        self._panel.fly.value = False
        x, y, _ = map(float, self._extent.centre)
        height = 2.6 * self._extent.half_width
        with self._client.atomic():
            self._client.camera.up_direction = (0.0, 0.0, 1.0)
            # Not exactly from above, where the direction of up would not be defined.
            self._client.camera.position = (x, y - 0.35 * height, height)
            self._client.camera.look_at = (x, y, 0.0)

    # Scene and state

    def _open_scene(self) -> None:
        self.session.open_scene(self._panel.place.value.strip(), split=self._panel.split.value)
        self._show_scene()

    def _save(self) -> None:
        self.session.save(self._state_file)
        self._client.add_notification("Saved", str(self._state_file), auto_close_seconds=NOTICE_SECONDS)

    def _load(self) -> None:
        self.session.load(self._state_file)
        self._show_scene()

    # Frames

    def _draw(self, detail: Detail) -> None:
        """Draws the session's camera: with one sample as a draft, with all of them in full."""

        def draw() -> None:
            frame = render_frame(self.session.state, samples=1 if detail == "draft" else None)
            if not self._closed.is_set():
                self._panel.show_frame(frame)

        self._attempt(draw, notify=detail == "full")

    def _play(self) -> None:
        if not self._playing.acquire(blocking=False):
            return
        try:
            keyframes = self.session.state.keyframes
            for camera in path_of(self.session.state, num_cameras=FRAMES):
                if self._closed.wait(1.0 / RATE) or self.session.state.keyframes is not keyframes:
                    return
                self._moved(camera)
                self._put_browser_at_camera()
        finally:
            self._playing.release()

    def _export(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = write_animation(
                Path(folder) / "flight.gif", self.session.state, num_frames=FRAMES, frames_per_second=RATE
            )
            content = path.read_bytes()
        self._client.send_file_download("flight.gif", content)

    # On the plan

    def _show_spread(self) -> None:
        state = self.session.state
        found = predicted_spread(state)
        low, high = found.values.min(), found.values.max()
        words = f"Predicted spread of the images: {low:.3f} to {high:.3f}"
        self._mark(state, lambda: self._plan.show_spread(found), words)

    def _locate(self) -> None:
        state = self.session.state
        found = locate_view(state, int(self._panel.own_view.value))
        words = f"{found.name}: estimate (green) {found.located.summary} from the truth (orange)"
        self._mark(state, lambda: self._plan.show_map(found), words)

    def _mark(self, state: SessionState, show: Callable[[], None], words: str) -> None:
        """Shows marks and what they mean, unless the visitor went to another scene while they were computed."""
        with self._showing:
            if self.session.state.scene is state.scene:
                show()
                self._panel.marks.content = words

    def _clear_marks(self) -> None:
        with self._showing:
            self._plan.clear_marks()
            self._panel.marks.content = ""
