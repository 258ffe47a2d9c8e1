"""Draws the camera convention: ``python docs/figures/camera_convention.py docs/camera.png``.

Axes and pixels come from the functions of ``zoo.data.camera`` that models and renderers use.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor

from zoo.data.camera import FIELD_OF_VIEW_DEGREES, camera_axes, image_plane

Axes3D = Any  # the three-dimensional axes of matplotlib carry no types

YAW, PITCH = 0.80, 0.50
POSITION = (0.45, 0.35, 0.85)

AXIS_COLOURS = ("#c43c39", "#3f8f3f", "#3a66b0")
YAW_COLOUR, PITCH_COLOUR, CAMERA_COLOUR = "#b8730a", "#8a3fa0", "#222222"


def _arrow(axes: Axes3D, start: np.ndarray, offset: np.ndarray, colour: str) -> None:
    axes.quiver(*start, *offset, color=colour, linewidth=1.8, arrow_length_ratio=0.10)


def _arc(axes: Axes3D, points: np.ndarray, colour: str) -> None:
    axes.plot(*points.T, color=colour, linewidth=2.0)
    step = points[-1] - points[-4]
    axes.quiver(*points[-4], *step, color=colour, linewidth=2.0, arrow_length_ratio=1.2)


def _forward(yaw: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    cameras = torch.zeros(len(yaw), 5, dtype=torch.float64)
    cameras[:, 3], cameras[:, 4] = torch.from_numpy(yaw), torch.from_numpy(pitch)
    return camera_axes(cameras).forward.numpy()


def _draw_world(axes: Axes3D) -> None:
    origin = np.zeros(3)
    for name, direction, colour in zip("xyz", np.eye(3), AXIS_COLOURS, strict=True):
        length = 1.5
        _arrow(axes, origin, direction * length, colour)
        axes.text(*(direction * (length + 0.12)), name, color=colour, fontsize=13, fontweight="bold")
    grid = np.linspace(-0.4, 1.6, 6)
    for value in grid:
        axes.plot([value, value], [grid[0], grid[-1]], [0, 0], color="#dddddd", linewidth=0.7)
        axes.plot([grid[0], grid[-1]], [value, value], [0, 0], color="#dddddd", linewidth=0.7)


def _draw_camera(axes: Axes3D, camera: Tensor) -> None:
    eye = np.array(POSITION)
    forward, right, up = (axis.numpy() for axis in camera_axes(camera))
    start, end = image_plane(512)[[0, -1]].tolist()
    places = ((start, start), (end, start), (end, end), (start, end))  # right and down, from the upper left corner
    corners = np.array([eye + 0.75 * (forward + x * right - y * up) for x, y in places])
    for corner in corners:
        axes.plot(*np.stack([eye, corner]).T, color=CAMERA_COLOUR, linewidth=0.8)
    outline = np.concatenate([corners, corners[:1]])
    axes.plot(*outline.T, color=CAMERA_COLOUR, linewidth=1.4)
    axes.text(*(corners[0] + [0.0, 0.02, 0.07]), "row 0, column 0", fontsize=8, color=CAMERA_COLOUR, ha="center")
    axes.scatter(*corners[0], color=CAMERA_COLOUR, s=18)
    axes.scatter(*eye, color=CAMERA_COLOUR, s=30)
    axes.plot(*np.stack([eye, eye * [1, 1, 0]]).T, color="#bbbbbb", linewidth=0.9, linestyle=":")
    axes.text(*(eye + np.array([0.06, 0.0, -0.09])), "(x, y, z)", fontsize=10, color=CAMERA_COLOUR)
    _arrow(axes, eye, forward * 1.35, CAMERA_COLOUR)

    swing = np.linspace(0.0, 1.0, 60)
    level = eye + 1.0 * _forward(swing * YAW, swing * 0.0)
    rise = eye + 1.0 * _forward(np.full_like(swing, YAW), swing * PITCH)
    for end in (level[0], level[-1]):
        axes.plot(*np.stack([eye, end]).T, color="#888888", linewidth=0.9, linestyle="--")
    axes.text(*(level[0] + [0.04, 0.0, -0.06]), "yaw 0, pitch 0", fontsize=8, color="#666666")
    _arc(axes, level, YAW_COLOUR)
    _arc(axes, rise, PITCH_COLOUR)
    axes.text(*(level[20] + [0.08, 0.0, -0.02]), "yaw > 0", color=YAW_COLOUR, fontsize=11)
    axes.text(*(rise[34] + [0.27, 0.0, 0.0]), "pitch > 0", color=PITCH_COLOUR, fontsize=11)


def _draw_pixels(axes: Axes) -> None:
    size = 4
    for row in range(size):
        for column in range(size):
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor="#f4f4f4", edgecolor="#999999"))
            axes.plot(column + 0.5, row + 0.5, ".", color=CAMERA_COLOUR, markersize=4)
    axes.text(0.5, 0.3, "[0, 0]", ha="center", va="center", fontsize=9)
    axes.text(size - 0.5, size - 0.7, "[H-1, W-1]", ha="center", va="center", fontsize=7.5)
    axes.annotate("(0.5, 0.5)", (0.5, 0.55), (0.5, 0.86), ha="center", va="center", fontsize=7.5)
    for start, end in (((0, -0.35), (size, -0.35)), ((-0.35, 0), (-0.35, size))):
        axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=CAMERA_COLOUR))
    axes.text(size / 2, -0.55, "column, to the right", ha="center", va="bottom", fontsize=10)
    axes.text(-0.55, size / 2, "row, downwards", ha="right", va="center", rotation=90, fontsize=10)
    axes.text(
        size / 2,
        size + 0.35,
        f"square image, {FIELD_OF_VIEW_DEGREES:g}\N{DEGREE SIGN} field of view\npixel centres at + 0.5",
        ha="center",
        va="top",
        fontsize=10,
    )
    axes.set(xlim=(-1.1, size + 0.2), ylim=(size + 1.1, -1.1), aspect="equal")
    axes.axis("off")


def draw_camera_convention(path: Path) -> None:
    """Draws world axes, a camera with its two angles, and the pixels of an image; the suffix decides the format."""
    figure = Figure(figsize=(9.6, 5.0), dpi=110, facecolor="white")
    scene: Axes3D = figure.add_axes((0.0, 0.0, 0.64, 1.0), projection="3d")
    _draw_world(scene)
    _draw_camera(scene, torch.tensor([*POSITION, YAW, PITCH], dtype=torch.float64))
    scene.view_init(elev=24.0, azim=-112.0)
    scene.set(xlim=(-0.2, 1.6), ylim=(-0.2, 1.6), zlim=(-0.2, 1.6))
    scene.set_box_aspect((1, 1, 1), zoom=1.08)
    scene.set_axis_off()
    _draw_pixels(figure.add_axes((0.66, 0.08, 0.32, 0.84)))
    figure.text(0.32, 0.95, "right-handed world, z up; angles in radians, no roll", ha="center", fontsize=11)
    pose = "pose = (x, y, z, cos yaw, sin yaw, cos pitch, sin pitch)"
    figure.text(0.32, 0.035, pose, ha="center", fontsize=11, family="monospace")
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    draw_camera_convention(Path(sys.argv[1]))
