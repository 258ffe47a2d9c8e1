"""Reading ``transforms.json`` of nerfstudio and ``transforms_train.json`` of NeRF-synthetic scenes.

Both list frames with a camera-to-world matrix in the axes of OpenGL (right, up, backward) and, for the whole file or for
a frame, either focal lengths ``fl_x``, ``fl_y`` in pixels or the horizontal field of view ``camera_angle_x`` in radians.
Their world has z up. The file, or a list of file names in it, says to which split an image belongs.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pydantic
from pydantic import Field, ValidationError

from zoo.config.settings import first_problem
from zoo.data.captures.capture import Capture, CaptureFormat, Intrinsics, PosedImage, check_image_size, check_rotation
from zoo.data.source import Split
from zoo.errors import DataError

NERFSTUDIO_FILE = "transforms.json"
_SPLIT_OF_FILE: dict[str, Split] = {
    "transforms_train.json": "train",
    "transforms_val.json": "validation",
    "transforms_test.json": "test",
}
SYNTHETIC_FILES = tuple(_SPLIT_OF_FILE)
# In the corner of a 50 degree image of 64 pixels a coefficient of this size moves a point by 0.02 pixels.
LARGEST_DISTORTION = 1e-3
_DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_SUFFIX = ".png"  # of files that are named without one, as in NeRF-synthetic scenes

_Pixels = Annotated[float, Field(gt=0.0, le=1e6)]
_Angle = Annotated[float, Field(gt=0.0, lt=math.pi)]
_Row = Annotated[list[float], Field(min_length=4, max_length=4)]


class _Camera(pydantic.BaseModel):
    """What a file states for all frames, or a frame for itself; keys that do not concern cameras are ignored."""

    model_config = pydantic.ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)

    camera_model: Literal["OPENCV", "PINHOLE", "SIMPLE_PINHOLE"] = "OPENCV"
    w: _Pixels | None = None
    h: _Pixels | None = None
    fl_x: _Pixels | None = None
    fl_y: _Pixels | None = None
    cx: float | None = None
    cy: float | None = None
    camera_angle_x: _Angle | None = None
    camera_angle_y: _Angle | None = None
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0
    p1: float = 0.0
    p2: float = 0.0


class _Frame(_Camera):
    file_path: Annotated[str, Field(min_length=1)]
    transform_matrix: Annotated[list[_Row], Field(min_length=3, max_length=4)]


class _Transforms(_Camera):
    frames: Annotated[list[_Frame], Field(min_length=1)]
    train_filenames: list[str] = []
    val_filenames: list[str] = []
    test_filenames: list[str] = []

    def split_of(self, frame: _Frame) -> Split | None:
        """Returns the split whose list has the image of a frame."""
        lists: dict[Split, list[str]] = {
            "train": self.train_filenames,
            "validation": self.val_filenames,
            "test": self.test_filenames,
        }
        return next((split for split, names in lists.items() if frame.file_path in names), None)


def read_transforms(folder: Path, *, names: tuple[str, ...], format_name: CaptureFormat) -> Capture:
    """Reads the frames of one file or of several, joined in the order of ``names`` and listed as in the files.

    Raises:
        DataError: naming file, field, found and expected, if a file is damaged, an image is missing, unreadable or of
            another size than stated, a camera has distortion or a matrix is not a rotation.
    """
    images = [image for name in names for image in _read_file(folder / name)]
    return Capture(folder=folder, format=format_name, files=names, up="z", images=tuple(images))


def _read_file(path: Path) -> list[PosedImage]:
    try:
        transforms = _Transforms.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise DataError(f"{path}: {first_problem(error)}{_found(error)}") from error
    except (ValueError, RecursionError) as error:  # neither UTF-8 nor JSON
        raise DataError(f"{path}: is not valid JSON: {error}") from error
    shared = transforms.model_dump(include=set(_Camera.model_fields), exclude_unset=True)
    return [
        _posed_image(
            frame.model_copy(update={**shared, **frame.model_dump(exclude_unset=True)}),
            path=path,
            index=index,
            split=_SPLIT_OF_FILE.get(path.name) or transforms.split_of(frame),
        )
        for index, frame in enumerate(transforms.frames)
    ]


def _found(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    found = "" if first["type"] in ("missing", "literal_error") else repr(first["input"])  # named already
    return f", found {found}" if 0 < len(found) <= 80 else ""


def _posed_image(frame: _Frame, *, path: Path, index: int, split: Split | None) -> PosedImage:
    origin = f"{path}: frames.{index}"
    for name in _DISTORTION:
        value = getattr(frame, name)
        if abs(value) > LARGEST_DISTORTION:
            raise DataError(
                f"{origin}: {name}: found a distortion of {value:g}, expected at most {LARGEST_DISTORTION:g} either "
                "way; undistort the images first"
            )
    file = path.parent / frame.file_path
    with_suffix = Path(f"{file}{_SUFFIX}")
    if not file.suffix or (not file.exists() and with_suffix.exists()):
        file = with_suffix
    stated = None if frame.w is None or frame.h is None else (round(frame.w), round(frame.h))
    size = check_image_size(file, origin=origin, expected=stated)
    matrix = np.array(frame.transform_matrix[:3], dtype=np.float64)
    return PosedImage(
        path=file,
        intrinsics=_intrinsics(frame, size=size, origin=origin),
        rotation=check_rotation(matrix[:, :3], origin=f"{origin}: transform_matrix"),
        position=matrix[:, 3],
        split=split,
    )


def _intrinsics(camera: _Camera, *, size: tuple[int, int], origin: str) -> Intrinsics:
    width, height = size
    if camera.fl_x is None and camera.camera_angle_x is None:
        raise DataError(f"{origin}: fl_x and camera_angle_x: both are missing, expected one of them")
    focal_x = camera.fl_x or _focal(camera.camera_angle_x, size=width) or 0.0
    return Intrinsics(
        width=width,
        height=height,
        focal_x=focal_x,
        focal_y=camera.fl_y or _focal(None if camera.fl_x else camera.camera_angle_y, size=height) or focal_x,
        centre_x=width / 2.0 if camera.cx is None else camera.cx,
        centre_y=height / 2.0 if camera.cy is None else camera.cy,
    )


def _focal(angle: float | None, *, size: int) -> float | None:
    """Returns the focal length in pixels of an angle in radians across ``size`` pixels."""
    return None if angle is None else size / 2.0 / math.tan(angle / 2.0)
