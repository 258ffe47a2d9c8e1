"""COLMAP models: what its text and its binary files have in common.

An image has a rotation and a translation from the world to the camera, whose axes are those of OpenCV (right, down,
forward). The world of a reconstruction has no defined orientation; COLMAP's is close to that of its first camera, so -y
is taken as up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data.captures.capture import Capture, CaptureFormat, Intrinsics, PosedImage, check_image_size, check_rotation
from zoo.errors import DataError

IMAGE_FOLDER = "images"
# Where a model may lie in the folder of a capture; the first that holds one is read.
MODEL_FOLDERS = ("", "sparse/0", "sparse", "colmap/sparse/0")
_OPENCV_TO_OPENGL = np.diag([1.0, -1.0, -1.0])


class ColmapCamera(NamedTuple):
    """An entry of ``cameras.txt``; parameters are f, cx, cy or fx, fy, cx, cy in pixels."""

    model: str
    width: int
    height: int
    parameters: tuple[float, ...]


class ColmapImage(NamedTuple):
    """An entry of ``images.txt``."""

    name: str  # of the file, relative to the folder of the images
    camera: int
    rotation: np.ndarray  # [3, 3] float64: from the world to the axes of OpenCV
    translation: np.ndarray  # [3] float64, world units


def build_capture(
    folder: Path,
    *,
    model: Path,
    format_name: CaptureFormat,
    cameras: Mapping[int, ColmapCamera],
    images: Iterable[ColmapImage],
) -> Capture:
    """Makes a capture of a model; images are sorted by name, as a model lists them in no defined order.

    Args:
        folder: of the capture, with the images in ``images``.
        model: folder of the model's files.
        format_name: text or binary.
        cameras: camera number -> camera.
        images: of the model.

    Raises:
        DataError: if the model has no images, an image or its camera is missing, an image is unreadable or of another
            size than its camera, or the camera is no pinhole camera.
    """
    suffix = ".txt" if format_name == "COLMAP text" else ".bin"
    files = tuple(str((model / name).relative_to(folder)) + suffix for name in ("cameras", "images"))
    if not (folder / IMAGE_FOLDER).is_dir():
        raise DataError(f"{folder / IMAGE_FOLDER}: is missing; expected the folder with the images of {files[1]}")
    posed = []
    for image in sorted(images, key=lambda image: image.name):
        if image.camera not in cameras:
            raise DataError(f"{folder / files[1]}: {image.name}: camera {image.camera} is not in {files[0]}")
        intrinsics = _intrinsics(cameras[image.camera], origin=f"{folder / files[0]}: camera {image.camera}")
        path = folder / IMAGE_FOLDER / image.name
        check_image_size(path, origin=files[0], expected=(intrinsics.width, intrinsics.height))
        world_to_camera = check_rotation(image.rotation, origin=f"{folder / files[1]}: {image.name}")
        posed.append(
            PosedImage(
                path=path,
                intrinsics=intrinsics,
                rotation=world_to_camera.T @ _OPENCV_TO_OPENGL,
                position=-world_to_camera.T @ image.translation,
            )
        )
    if not posed:
        raise DataError(f"{folder / files[1]}: lists no images, expected at least one")
    return Capture(folder=folder, format=format_name, files=files, up="-y", images=tuple(posed))


def _intrinsics(camera: ColmapCamera, *, origin: str) -> Intrinsics:
    counts = {"SIMPLE_PINHOLE": 3, "PINHOLE": 4}
    if camera.model not in counts:
        raise DataError(
            f"{origin}: the model is {camera.model}, expected {' or '.join(counts)}; 'colmap image_undistorter' makes "
            "images without distortion"
        )
    if len(camera.parameters) != counts[camera.model]:
        raise DataError(
            f"{origin}: {camera.model} has {len(camera.parameters)} parameters, expected {counts[camera.model]}"
        )
    *focal, centre_x, centre_y = camera.parameters
    if not (np.isfinite(camera.parameters).all() and min(focal) > 0.0):
        raise DataError(f"{origin}: the parameters are {camera.parameters}, expected a positive focal length")
    return Intrinsics(
        width=camera.width,
        height=camera.height,
        focal_x=focal[0],
        focal_y=focal[-1],
        centre_x=centre_x,
        centre_y=centre_y,
    )
