"""Reading binary COLMAP models with the extra ``colmap`` (pycolmap)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.data.captures.capture import Capture
from zoo.data.captures.colmap import ColmapCamera, ColmapImage, build_capture
from zoo.errors import DataError

_BYTES_BEFORE_NAME, _BYTES_OF_POINT = 64, 24  # of an image: number, quaternion, translation, camera; of a point in it


def read_colmap_binary(folder: Path, *, model: Path) -> Capture:
    """Reads a model whose binary files lie in the folder ``model``; images without a pose are left out.

    Raises:
        DataError: if pycolmap is not installed or cannot read the model, or the file of images ends early; see also
            :func:`zoo.data.captures.colmap.build_capture`.
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
