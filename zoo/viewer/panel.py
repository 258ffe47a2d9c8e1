"""The controls beside the 3-D view, and the images that the models predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zoo.viewer.image_rows import BLANK, largest_spread, samples_of, spreads_of, truth_and_means
from zoo.viewer.rendering import Frame
from zoo.viewer.saved_page import MOST_SAMPLES, pose_of
from zoo.viewer.session_state import SessionState

if TYPE_CHECKING:
    import viser

NO_VIEW = "none"


class Panel:
    """Controls of one visitor; :class:`zoo.viewer.page.Page` connects them to actions."""

    def __init__(self, gui: viser.GuiApi, state: SessionState) -> None:
        x, y, z, yaw, pitch = pose_of(state.camera)
        self.means = gui.add_image(BLANK, label="truth and predictions", format="png")
        self.caption = gui.add_markdown("")
        self.samples_image = gui.add_image(BLANK, label="samples", format="png")
        self.spread_image = gui.add_image(BLANK, label="uncertainty", format="png")
        self.new_sample = gui.add_button("New sample", hint="other noise for the latents")
        with gui.add_folder("Camera"):
            self.fly = gui.add_checkbox("fly", False, hint="mouse and keys (W A S D, arrows) move the camera itself")
            self.position = gui.add_vector3("x, y, z", (x, y, z), step=0.01)
            self.angles = gui.add_vector2("yaw, pitch (degrees)", (yaw, pitch), step=0.1)
            self.from_above = gui.add_button("Plan from above")
        with gui.add_folder("Context views"):
            self.selected = gui.add_dropdown("selected", (NO_VIEW,), hint="a gizmo in the plan moves it")
            self.remove_view = gui.add_button("Remove the selected view")
            self.clear_views = gui.add_button("Remove all views")
            self.own_view = gui.add_dropdown("view of the scene", ("0",))
            self.add_own_view = gui.add_button("Add this view")
            self.click_adds = gui.add_checkbox("a click on the plan adds a view", False)
        with gui.add_folder("Models and scene"):
            self.shown = gui.add_dropdown("models", ("",))
            self.remove_model = gui.add_button("Remove this model")
            self.model_name = gui.add_text("run or shipped name", "")
            self.add_model = gui.add_button("Add model")
            self.place = gui.add_text("scene (DATA:INDEX)", state.place)
            self.split = gui.add_dropdown("split", ("train", "validation", "test"), initial_value=state.split)
            self.open_scene = gui.add_button("Open scene")
            self.samples = gui.add_slider("samples", 1, MOST_SAMPLES, 1, state.samples)
        with gui.add_folder("Keyframes"):
            self.keyframes = gui.add_markdown("")
            self.add_keyframe = gui.add_button("Add keyframe")
            self.clear_keyframes = gui.add_button("Clear keyframes")
            self.play = gui.add_button("Play")
            self.export = gui.add_button("Export GIF")
        with gui.add_folder("On the plan"):
            self.spread = gui.add_button("Predicted spread", hint="of the first model's images, at cameras on a circle")
            self.locate = gui.add_button("Locate the view", hint="of 'view of the scene', with a localisation model")
            self.clear_marks = gui.add_button("Clear")
            self.marks = gui.add_markdown("")
        with gui.add_folder("Page"):
            self.save = gui.add_button("Save state")
            self.load = gui.add_button("Load state")
        self.show(state, selected=None)

    def show(self, state: SessionState, *, selected: int | None) -> None:
        """Shows the values of a state, except those of the camera."""
        names = [str(index) for index in range(len(state.context))]
        _set_options(self.selected, [NO_VIEW, *names], NO_VIEW if selected is None else str(selected))
        views = [str(view) for view in range(state.scene.num_views)]
        given = {str(each.view) for each in state.context}
        others = [view for view in views if view not in given] or views
        _set_options(self.own_view, views, self.own_view.value if self.own_view.value in others else others[0])
        _set_options(self.shown, [model.name for model in state.models], self.shown.value)
        self.place.value, self.split.value, self.samples.value = state.place, state.split, state.samples
        self.keyframes.content = f"{len(state.keyframes)} keyframes"

    def show_camera(self, camera: np.ndarray) -> None:
        """Shows a camera [5] as numbers."""
        x, y, z, yaw, pitch = pose_of(camera)
        self.position.value = (round(x, 3), round(y, 3), round(z, 3))
        self.angles.value = (round(yaw, 2), round(pitch, 2))

    def show_frame(self, frame: Frame) -> None:
        """Shows images and caption of a frame."""
        names = ", ".join(model.name for model in frame.models)
        self.means.label = f"truth, {names}" if names else "truth"
        self.means.image = truth_and_means(frame)
        self.samples_image.image = samples_of(frame)
        self.spread_image.image = spreads_of(frame)
        self.spread_image.label = f"uncertainty, 0 to {largest_spread(frame):.2g}"
        self.caption.content = frame.caption


def _set_options(dropdown: viser.GuiDropdownHandle[str], options: list[str], value: str) -> None:
    """Sets options and value of a dropdown; a value that is no option becomes the first of them."""
    if list(dropdown.options) != options:
        dropdown.options = options
    wanted = value if value in options else options[0]
    if dropdown.value != wanted:
        dropdown.value = wanted
