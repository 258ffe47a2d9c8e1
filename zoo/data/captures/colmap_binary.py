"""Reading binary COLMAP models with the extra ``colmap`` (pycolmap)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.data.captures.capture import Capture
from zoo.data.captures.colmap import ColmapCamera, ColmapImage, build_capture
from zoo.errors import DataError


def read_colmap_binary(folder: Path, *, model: Path) -> Capture:
    """Reads a model whose binary files lie in the folder ``model``; images without a pose are left out.

    Raises:
        DataError: if pycolmap is not installed or cannot read the model; see also
            :func:`zoo.data.captures.colmap.build_capture`.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise DataError(
            f"{model}: this COLMAP model is binary; convert it with 'colmap model_converter --input_path {model} "
            f"--output_path {model} --output_type TXT', or install the extra: pip install 'gqn-zoo[colmap]'"
        ) from error
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
