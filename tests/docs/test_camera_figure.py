"""The figure of the camera convention can be drawn."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def test_the_script_draws_the_figure(tmp_path):
    script = ROOT / "docs" / "figures" / "camera_convention.py"
    subprocess.run([sys.executable, script, tmp_path / "camera.png"], check=True, cwd=ROOT, timeout=120)
    pixels = np.asarray(Image.open(tmp_path / "camera.png").convert("L"))
    assert pixels.shape == (550, 1056)
    assert 0.01 < (pixels < 200).mean() < 0.2
