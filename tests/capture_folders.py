"""Folders of images with cameras, as nerfstudio, NeRF-synthetic and COLMAP write them, for tests of their import."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from zoo.data.camera import camera_axes
from zoo.data.render import raycaster
from zoo.data.render.rooms import RING, draw_room
from zoo.data.render.sampling import RayGrid
from zoo.data.render.scene import stack_scenes


class Lens(NamedTuple):
    """Intrinsics in pixels; images are squares of ``size`` pixels, of which the first ``height`` rows are kept."""

    size: int
    height: int
    focal_x: float
    focal_y: float
    centre_x: float
    centre_y: float


class Shot(NamedTuple):
    """An image of a camera that is rolled by so many radians."""

    camera: torch.Tensor  # [5] float64
    roll: float
    lens: Lens
    pixels: np.ndarray  # [height, size, 3 or 4] uint8

    @property
    def rotation(self):
        """Columns right, up and backward in the world, [3, 3]."""
        forward, right, up = (axis.numpy() for axis in camera_axes(self.camera))
        cosine, sine = math.cos(self.roll), math.sin(self.roll)
        return np.stack([cosine * right + sine * up, cosine * up - sine * right, -forward], axis=1)

    @property
    def matrix(self):
        """Camera to world, [4, 4]."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.camera[:3].numpy()
        return matrix


def central_lens(size, *, degrees):
    """A square image with square pixels that spans so many degrees."""
    focal = size / 2 / math.tan(math.radians(degrees) / 2)
    return Lens(size, size, focal, focal, size / 2, size / 2)


def room():
    """A built-in room."""
    return stack_scenes([draw_room(np.random.default_rng(3), fewest=2)])


def ring_cameras(count):
    """Cameras [count, 5] float64 on a ring that look about at the middle."""
    cameras = torch.tensor([RING.camera(2 * math.pi * i / count - 3) for i in range(count)], dtype=torch.float64)
    return cameras + torch.linspace(-0.08, 0.09, count * 5, dtype=torch.float64).view(count, 5).flip(0)


def cast(scenes, camera, *, lens, roll, monkeypatch, samples=3):
    """Casts the rays of an image with another lens and with roll; no image is resampled."""

    def rays(image_size, *, device, samples_per_side):
        places = torch.arange(image_size, dtype=torch.float64).view(1, -1) + (
            (torch.arange(samples_per_side, dtype=torch.float64) + 0.5) / samples_per_side
        ).view(-1, 1)
        shape = (samples_per_side, samples_per_side, image_size, image_size)
        right = ((places - lens.centre_x) / lens.focal_x)[None, :, None, :].expand(shape).flatten()
        up = ((lens.centre_y - places) / lens.focal_y)[:, None, :, None].expand(shape).flatten()
        cosine, sine = math.cos(roll), math.sin(roll)
        turned = [cosine * right - sine * up, sine * right + cosine * up]
        angle = 1.0 / lens.focal_x / samples_per_side
        return RayGrid(*(part.float() for part in turned), angle, image_size, samples_per_side)

    with monkeypatch.context() as patch:
        patch.setattr(raycaster, "ray_grid", rays)
        frames = raycaster.render(scenes, cameras=camera[None, None], image_size=lens.size, samples_per_side=samples)
    return frames[0, 0, : lens.height].numpy()


def shots_of_room(*, lens, rolls, monkeypatch):
    """Images of one room, one per roll (degrees)."""
    scenes, cameras = room(), ring_cameras(len(rolls))
    return [
        Shot(
            camera,
            math.radians(roll),
            lens,
            cast(scenes, camera, lens=lens, roll=math.radians(roll), monkeypatch=monkeypatch),
        )
        for camera, roll in zip(cameras, rolls, strict=True)
    ]


def plain_shots(count, *, size=24, degrees=60.0, channels=3):
    """Flat grey images, which are quick to make."""
    lens = central_lens(size, degrees=degrees)
    cameras = ring_cameras(count)
    shots = []
    for index, camera in enumerate(cameras):
        pixels = np.full((size, size, channels), 40 + 10 * index, dtype=np.uint8)
        pixels[:, :, 3:] = 255  # opaque
        shots.append(Shot(camera, 0.0, lens, pixels))
    return shots


def _write_images(folder, shots):
    folder.mkdir(parents=True)
    for index, shot in enumerate(shots):
        Image.fromarray(shot.pixels).save(folder / f"{index:03}.png")


def write_nerfstudio(folder, shots, *, intrinsics="file", **further):
    """Intrinsics are stated for the whole ``file`` or for every ``frame``."""
    _write_images(folder / "images", shots)
    lens = shots[0].lens
    stated = {"w": lens.size, "h": lens.height, "fl_x": lens.focal_x, "fl_y": lens.focal_y}
    stated |= {"cx": lens.centre_x, "cy": lens.centre_y, "k1": 0.0, "camera_model": "OPENCV"}
    frames = [
        {"file_path": f"images/{index:03}.png", "transform_matrix": shot.matrix.tolist()}
        for index, shot in enumerate(shots)
    ]
    if intrinsics == "frame":
        frames = [{**frame, **stated} for frame in frames]
    top = stated if intrinsics == "file" else {"w": 1, "k1": 9.0}
    (folder / "transforms.json").write_text(json.dumps({**top, **further, "frames": frames, "ply_file_path": "a.ply"}))
    return folder


def write_synthetic(folder, shots, *, splits=("train", "val", "test")):
    """Shots are dealt out to the splits in blocks."""
    angle = 2 * math.atan(shots[0].lens.size / 2 / shots[0].lens.focal_x)
    for split, indices in zip(splits, np.array_split(np.arange(len(shots)), len(splits)), strict=True):
        _write_images(folder / split, [shots[index] for index in indices])
        frames = [
            {"file_path": f"./{split}/{place:03}", "rotation": 0.1, "transform_matrix": shots[index].matrix.tolist()}
            for place, index in enumerate(indices)
        ]
        (folder / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    return folder


def write_colmap(folder, shots, *, model="sparse/0", simple=False, names=None):
    """A text model; listed from last to first, as COLMAP promises no order."""
    _write_images(folder / "images", shots)
    (folder / model).mkdir(parents=True, exist_ok=True)
    lens = shots[0].lens
    parameters = f"{lens.focal_x!r} {lens.centre_x!r} {lens.centre_y!r}"
    kind = "SIMPLE_PINHOLE" if simple else "PINHOLE"
    parameters = parameters if simple else f"{lens.focal_x!r} {lens.focal_y!r} {lens.centre_x!r} {lens.centre_y!r}"
    (folder / model / "cameras.txt").write_text(f"# comment\n7 {kind} {lens.size} {lens.height} {parameters}\n")
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME"]
    for index, shot in reversed(list(enumerate(shots))):
        to_camera = (shot.rotation @ np.diag([1.0, -1.0, -1.0])).T
        x, y, z, w = Rotation.from_matrix(to_camera).as_quat()
        translation = -to_camera @ shot.camera[:3].numpy()
        numbers = " ".join(repr(float(number)) for number in (w, x, y, z, *translation))
        lines += [f"{index + 1} {numbers} 7 {index:03}.png", "1.5 2.5 -1" if index % 2 else ""]
    (folder / model / "images.txt").write_text("\n".join(lines) + "\n")
    (folder / model / "points3D.txt").write_text("")
    return folder
