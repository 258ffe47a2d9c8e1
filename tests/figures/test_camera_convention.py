import numpy as np
import pytest
from PIL import Image

from zoo.errors import DiskFullError
from zoo.figures.camera_convention import draw_camera_convention


def test_the_drawing_is_a_image_with_something_in_it(tmp_path):
    draw_camera_convention(tmp_path / "camera.png")
    pixels = np.asarray(Image.open(tmp_path / "camera.png").convert("L"))
    assert pixels.shape == (550, 1056)
    assert 0.01 < (pixels < 200).mean() < 0.2
    assert [path.name for path in tmp_path.iterdir()] == ["camera.png"]


def test_a_place_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskFullError, match=r"camera\.png"):
        draw_camera_convention(tmp_path / "file" / "camera.png")
