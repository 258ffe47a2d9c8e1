"""Reading COLMAP models: ``cameras.txt`` and ``images.txt``, or the binary files with the extra ``colmap`` (pycolmap).

An image has a rotation and a translation from the world to the camera, whose axes are those of OpenCV (right, down,
forward). The world of a reconstruction has no defined orientation; COLMAP's is close to that of its first camera, so -y
is taken as up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from zoo.data.captures.capture import Capture, CaptureFormat, Intrinsics, PosedImage, check_image_size, check_rotation
from zoo.errors import DataError

IMAGE_FOLDER = "images"
# Where a model may lie in the folder of a capture; the first that holds one is read.
MODEL_FOLDERS = ("", "sparse/0", "sparse", "colmap/sparse/0")
_BYTES_BEFORE_NAME, _BYTES_OF_POINT = (
    64,
    24,
)  # of a binary image: number, quaternion, translation, camera; of a point in it
_NORM_TOLERANCE = 1e-3  # by which the length of a quaternion may differ from 1
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


def read_colmap_text(folder: Path, *, model: Path) -> Capture:
    """Reads a model whose text files lie in the folder ``model``.

    Raises:
        DataError: naming file, line, found and expected; see also :func:`build_capture`.
    """
    return build_capture(
        folder,
        model=model,
        format_name="COLMAP text",
        cameras=_read_cameras(model / "cameras.txt"),
        images=_read_images(model / "images.txt"),
    )


def _lines(path: Path) -> list[tuple[str, str]]:
    """Returns the lines of a file without comments, each with its place for messages."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing, expected beside the other text files of the model") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text: {error}") from error
    lines = ((f"{path}: line {number}", line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(place, line) for place, line in lines if not line.startswith("#")]


def _read_cameras(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    for place, line in _lines(path):
        if line:
            try:
                number, model, width, height, *parameters = line.split()
                cameras[int(number)] = ColmapCamera(model, int(width), int(height), tuple(map(float, parameters)))
            except ValueError as error:
                expected = "CAMERA_ID MODEL WIDTH HEIGHT PARAMS"
                raise DataError(f"{place}: found {line[:80]!r}, expected {expected}") from error
    return cameras


def _read_images(path: Path) -> Iterator[ColmapImage]:
    """Yields the images; each has a line of its own and one with its points, which may be empty."""
    lines = iter(_lines(path))
    for place, line in lines:
        if not line:
            continue
        yield _image(line, place=place)
        place, points = next(lines, (place, ""))
        if len(points.split()) % 3:
            raise DataError(f"{place}: found {points[:80]!r}, expected X Y POINT3D_ID of every point, or an empty line")


def _image(line: str, *, place: str) -> ColmapImage:
    fields = line.split(maxsplit=9)  # the name, which comes last, may have spaces
    try:
        pose = np.array(fields[1:8], dtype=np.float64)
        camera, name = int(fields[8]), fields[9]
    except (ValueError, IndexError) as error:
        expected = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
        raise DataError(f"{place}: found {line[:80]!r}, expected {expected}") from error
    length = float(np.linalg.norm(pose[:4]))
    if not (np.isfinite(pose).all() and abs(length - 1.0) < _NORM_TOLERANCE):
        raise DataError(f"{place}: the quaternion QW QX QY QZ has length {length:g}, expected 1 and finite numbers")
    return ColmapImage(name, camera, Rotation.from_quat(pose[:4], scalar_first=True).as_matrix(), pose[4:])


def read_colmap_binary(folder: Path, *, model: Path) -> Capture:
    """Reads a model whose binary files lie in the folder ``model``; images without a pose are left out.

    Raises:
        DataError: if pycolmap is not installed or cannot read the model, or the file of images ends early; see also
            :func:`build_capture`.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise DataError(
            f"{model}: this COLMAP model is binary; convert it with 'colmap model_converter --input_path {model} "
            f"--output_path {model} --output_type TXT', or install the extra: pip install 'gqn-zoo[colmap]'"
        ) from error
    _check_end(model / "images.bin")
    try:
        reconstruction = pycolmap.Reconstruction(str(model))
        cameras = {
            number: ColmapCamera(camera.model.name, camera.width, camera.height, tuple(camera.params.tolist()))
            for number, camera in reconstruction.cameras.items()
        }
        images = []
        for image in reconstruction.images.values():
            if image.has_pose:
                pose = image.cam_from_world()
                rotation, translation = np.array(pose.rotation.matrix()), np.array(pose.translation)
                images.append(ColmapImage(image.name, image.camera_id, rotation, translation))
    except Exception as error:  # a C++ library, which raises IndexError, ValueError or RuntimeError for damaged files
        raise DataError(f"{model}: pycolmap cannot read this model: {error}") from error
    return build_capture(folder, model=model, format_name="COLMAP binary", cameras=cameras, images=images)


def _check_end(path: Path) -> None:
    """Checks that a file of images holds all that it announces.

    pycolmap does not notice the end of the file within a name, and adds to the name until the memory is full.
    """
    data = path.read_bytes()
    count, place = int.from_bytes(data[:8], "little"), 8
    for number in range(count):
        end = data.find(b"\0", place + _BYTES_BEFORE_NAME)
        place = end + 9 + _BYTES_OF_POINT * int.from_bytes(data[end + 1 : end + 9], "little")
        if end < 0 or place > len(data):
            raise DataError(f"{path}: ends within image {number + 1}, expected {count} images")
