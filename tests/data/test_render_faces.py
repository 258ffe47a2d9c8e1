import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from camera_projection import look_at, project

from zoo.data.render.faces import FACE_SIZE, FACE_TEXELS, SIDES, face_texels
from zoo.data.render.raycaster import render
from zoo.data.render.scene import Room, Scene, SceneObject, stack_scenes

ROOM = Room(width=7.0, wall_height=1.5, wall="red", floor="white floor")
HALF = 0.7
BLANK = bytes(FACE_SIZE**2)


def image(fill):
    """Makes an image from a function of row and column, each 0 to 1 from the top left."""
    places = (np.arange(FACE_SIZE) + 0.5) / FACE_SIZE
    rows, columns = np.meshgrid(places, places, indexing="ij")
    return (fill(rows, columns) * 255).astype(np.uint8).tobytes()


# White but for one corner, the upper left.
CORNER = image(lambda row, column: (row < 0.5) & (column < 0.5))


def cube(faces, turn=0.0, shape="box"):
    return SceneObject(shape, (0.0, 0.0, HALF), (HALF,) * 3, turn, (1.0, 1.0, 1.0), faces, (0.0, 0.0, 0.0))


def shot(scene, position, image_size=96, **options):
    eye = torch.tensor(position, dtype=torch.float64)
    yaw, pitch = look_at(eye, target=torch.tensor([0.0, 0.0, HALF], dtype=torch.float64))
    camera = torch.cat([eye, yaw[None], pitch[None]])
    frames = render(stack_scenes([scene]), cameras=camera[None, None], image_size=image_size, **options)
    return frames[0, 0].double().mean(-1), camera


def brightness(frame, camera, point):
    where = project(torch.tensor(point, dtype=torch.float64), cameras=camera, image_size=frame.shape[0])
    column, row = where.coordinates.long().tolist()
    return frame[row, column].item()


# For every side: where to look from, and what is right and up on it, as that viewer has it.
GEOMETRY = {
    "+x": ((3.0, 0.01, HALF), (1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "+y": ((0.01, 3.0, HALF), (0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "-x": ((-3.0, 0.01, HALF), (-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "-y": ((0.01, -3.0, HALF), (0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "top": ((0.0, -0.01, 4.0), (0, 0, 1), (1, 0, 0), (0, 1, 0)),
    "bottom": ((0.0, 0.01, -3.0), (0, 0, -1), (1, 0, 0), (0, -1, 0)),
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("turn", [0.0, 0.6, -2.5])
def test_an_image_is_upright_on_its_side_only(side, turn):
    position, outwards, right, up = (np.array(vector, float) for vector in GEOMETRY[side])
    cosine, sine = math.cos(turn), math.sin(turn)
    spin = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    middle = np.array([0.0, 0.0, HALF])
    for own in SIDES:
        faces = tuple(CORNER if name == own else BLANK for name in SIDES)
        frame, camera = shot(Scene((cube(faces, turn),), (1.0, 0.5, 4.0)), tuple(spin @ (position - middle) + middle))
        for across in (-0.5, 0.5):
            for above in (-0.5, 0.5):
                point = middle + spin @ (outwards + across * right + above * up) * HALF
                is_ink = own == side and across < 0 < above
                assert (brightness(frame, camera, point) < 20) == is_ink, (own, across, above)


def test_ink_and_paper_mix_by_the_grey_level():
    ramp = image(lambda row, column: column)
    thing = replace(cube((ramp,)), colour=(0.8, 0.4, 0.2), ink=(0.2, 0.6, 0.1))
    lamp = (1.0, 0.5, 4.0)
    plain = {name: replace(thing, faces=(), colour=getattr(thing, name)) for name in ("colour", "ink")}
    frames = {}
    for name, item in {"mixed": thing, **plain}.items():
        yaw = torch.tensor([3.0, 0.0, HALF, math.pi, 0.0], dtype=torch.float64)
        frames[name] = render(stack_scenes([Scene((item,), lamp)]), cameras=yaw[None, None], image_size=64)[
            0, 0
        ].double()
    row, columns = 32, range(20, 44)
    for column in columns:
        # How far right on the face the middle of the pixel is.
        right = ((column + 0.5) / 32 - 1) * math.tan(math.radians(25.0)) * (3.0 - HALF) / HALF * 0.5 + 0.5
        expected = frames["colour"] + right * (frames["ink"] - frames["colour"])
        torch.testing.assert_close(frames["mixed"][row, column], expected[row, column], atol=3.0, rtol=0.0)


def test_distant_images_are_averaged_not_sampled():
    """Fine stripes, seen from so far that a pixel holds many of them, are an even grey."""
    stripes = image(lambda row, column: np.floor(column * FACE_SIZE) % 2)
    near, _ = shot(Scene((cube((stripes,)),), (3.0, 0.0, 2.0)), (3.0, 0.0, HALF), image_size=256, samples_per_side=1)
    far, _ = shot(Scene((cube((stripes,)),), (3.0, 0.0, 2.0)), (30.0, 0.0, HALF), image_size=256, samples_per_side=1)
    assert near[128, 100:150].std() > 20
    assert far[128, 124:132].std() < 5


def test_levels_are_means_of_the_finer_ones():
    texels = face_texels(image(lambda row, column: row * column)).astype(float)
    assert texels.shape == (FACE_TEXELS,)
    fine = texels[: FACE_SIZE**2].reshape(FACE_SIZE // 2, 2, FACE_SIZE // 2, 2).mean((1, 3))
    coarse = texels[FACE_SIZE**2 :][: (FACE_SIZE // 2) ** 2].reshape(fine.shape)
    assert np.abs(fine - coarse).max() <= 0.5
    assert (face_texels(bytes([255]) * FACE_SIZE**2) == 255).all()


def test_objects_without_images_look_the_same_beside_one_with_images():
    plain = Scene(
        (cube(()), SceneObject("cone", (1.6, 0.3, 0.4), (0.4,) * 3, 0.3, (0.9, 0.2, 0.2))), (1.0, 2.0, 4.0), ROOM
    )
    imaged = replace(plain, objects=(cube((CORNER,) * 5), *plain.objects[1:]))
    cameras = torch.tensor([[[3.0, 0.3, 1.0, 3.1, -0.2], [-3.0, 0.0, 1.4, 0.1, -0.2]]])
    alone = {
        name: render(stack_scenes([scene]), cameras=cameras, image_size=32)
        for name, scene in {"plain": plain, "imaged": imaged}.items()
    }
    both = render(stack_scenes([plain, imaged]), cameras=cameras.expand(2, -1, -1), image_size=32)
    assert torch.equal(both[:1], alone["plain"]) and torch.equal(both[1:], alone["imaged"])
    assert not torch.equal(*alone.values())
    assert stack_scenes([plain]).texels.shape == (1, 2, 0)
