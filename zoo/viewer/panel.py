"""The controls beside the 3-D view, and the images that the models predict, enlarged so that single pixels can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.figures.views import coloured
from zoo.viewer.rendering import Frame
from zoo.viewer.saved_page import MOST_SAMPLES, pose_of
from zoo.viewer.session_state import SessionState

if TYPE_CHECKING:
    import viser

TILE = 128  # height of an image, pixels, at least
GAP = 4  # white pixels between images
MOST_SAMPLES_SHOWN = 8
NO_VIEW = "none"
BLANK = np.full((TILE, TILE, 3), 128, np.uint8)


def truth_and_means(frame: Frame) -> np.ndarray:
    """Returns the truth, grey where it is not known, and the mean prediction of every model, [h, w, 3] uint8."""
    means = [model.mean for model in frame.models]
    unknown = np.full_like(means[0], 128) if means else BLANK
    return image_row([unknown if frame.truth is None else frame.truth, *means])


def samples_of(frame: Frame) -> np.ndarray:
    """Returns a row of samples for every model, [h, w, 3] uint8."""
    if not frame.models:
        return BLANK
    return _joined([image_row(model.samples[:MOST_SAMPLES_SHOWN]) for model in frame.models], axis=0)


def spreads_of(frame: Frame) -> np.ndarray:
    """Returns the uncertainty of every model on one scale, black is 0, [h, w, 3] uint8."""
    if not frame.models:
        return BLANK
    most = largest_spread(frame)
    return image_row([coloured(model.spread / most) for model in frame.models])


def largest_spread(frame: Frame) -> float:
    """Returns the value of the lightest colour of :func:`spreads_of`."""
    return max(1e-6, *(float(model.spread.max()) for model in frame.models))


def image_row(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Puts images [H, W, 3] uint8 of one size beside each other, enlarged by a whole factor."""
    factor = max(1, -(-TILE // images[0].shape[0]))
    tiles = [image.repeat(factor, axis=0).repeat(factor, axis=1) for image in images]
    return _joined(tiles, axis=1)


def _joined(images: Sequence[np.ndarray], *, axis: int) -> np.ndarray:
    """Puts images [h, w, 3] uint8 that fit below (axis 0) or beside (axis 1) each other."""
    gap = np.full_like(images[0].take(range(GAP), axis), 255)
    return np.concatenate([part for image in images for part in (gap, image)][1:], axis=axis)


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
