"""Recognising the format of a capture by the files of its folder."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.data.captures.capture import Capture
from zoo.data.captures.colmap import MODEL_FOLDERS
from zoo.data.captures.colmap_binary import read_colmap_binary
from zoo.data.captures.colmap_text import read_colmap_text
from zoo.data.captures.transforms import NERFSTUDIO_FILE, SYNTHETIC_FILES, read_transforms
from zoo.errors import DataError


def read_capture(folder: str | os.PathLike[str]) -> Capture:
    """Reads a folder in the first format that it has files of.

    In this order: ``transforms.json`` (nerfstudio), ``transforms_train.json``, ``_val`` and ``_test`` (NeRF-synthetic,
    joined), ``cameras.txt`` and ``images.txt`` (COLMAP), ``cameras.bin`` and ``images.bin`` (COLMAP). A COLMAP model may
    lie in any of ``MODEL_FOLDERS``; text is preferred.

    Raises:
        DataError: if the folder is missing or has no such files, or from the reader of the format.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder, expected one with the images and cameras of a scene")
    if (folder / NERFSTUDIO_FILE).is_file():
        return read_transforms(folder, names=(NERFSTUDIO_FILE,), format_name="nerfstudio")
    if present := tuple(name for name in SYNTHETIC_FILES if (folder / name).is_file()):
        return read_transforms(folder, names=present, format_name="NeRF-synthetic")
    for suffix, read in ((".txt", read_colmap_text), (".bin", read_colmap_binary)):
        for place in MODEL_FOLDERS:
            if (folder / place / f"images{suffix}").is_file():
                return read(folder, model=folder / place)
    raise DataError(
        f"{folder}: has neither {NERFSTUDIO_FILE} nor {SYNTHETIC_FILES[0]} nor a COLMAP model (images.txt or images.bin "
        "in it, in sparse or in sparse/0)"
    )
