"""``gqn-zoo predict``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import screen
from zoo.cli.options import Json, RegistryFiles
from zoo.cli.scene_options import SceneOptions, Viewpoint, open_viewpoint
from zoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    from zoo.evaluation.views import ViewPrediction

MOST_OWN_VIEWS = 4  # of the scene's own cameras, without --pose


def run(
    given: SceneOptions,
    pose: Annotated[
        list[str],
        typer.Option(
            metavar="X,Y,Z,YAW,PITCH",
            help="A camera to look from: a place in scene units, yaw (0 looks along +x, 90 along +y) and pitch (0 is level, "
            "positive looks up) in degrees; may be given several times; default: cameras of the scene's other views.",
        ),
    ] = [],
    output: Annotated[Path, typer.Option("-o", "--output", help="The figure.")] = Path("view.png"),
    as_json: Json = False,
    registry_files: RegistryFiles = [],
) -> None:
    """Predict views of a scene: truth, mean, samples and their spread, from the views that the model is given."""
    from zoo.figures.sheets import check_format
    from zoo.figures.views import PANELS, view_sheet

    check_format(output)
    viewpoint = open_viewpoint(given)
    cameras, truth = _queries(viewpoint, pose)
    prediction = viewpoint.predict(cameras)
    facts = [_facts(prediction, truth, index) for index in range(len(cameras))]
    labels = [_label(one) for one in facts]
    view_sheet(output, prediction, truth=truth, panels=PANELS, labels=labels, title=viewpoint.title)
    if as_json:
        document = {
            "scene": viewpoint.scene.name,
            "split": given.split,
            "context": viewpoint.context,
            "samples": given.samples,
            "views": facts,
        }
        typer.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        typer.echo("\n".join(labels))
    screen.log(f"wrote {output}")


def _queries(viewpoint: Viewpoint, poses: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns cameras [Q, 5] and the true images [Q, H, W, 3] uint8, None if they are not known."""
    import numpy as np

    scene = viewpoint.scene
    if poses:
        cameras = np.stack([parse_pose(text) for text in poses])
        return cameras, scene.render(cameras)
    others = [view for view in range(scene.num_views) if view not in viewpoint.context][:MOST_OWN_VIEWS]
    if not others:
        raise ConfigError(
            f"{scene.name}: every one of its {scene.num_views} views is context; give a camera with --pose"
        )
    return scene.cameras[others], scene.frames[others]


def parse_pose(text: str) -> np.ndarray:
    """Parses ``x,y,z,yaw,pitch`` with angles in degrees; returns the camera [5] in radians.

    Raises:
        DataError: if there are not five numbers, or one is out of range.
    """
    from zoo.data.camera_path import camera_of

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise DataError(f"--pose: found {text!r}, expected five numbers, for example 3.1,0,1.35,180,-18") from None
    return camera_of(numbers, origin=f"--pose {text}")


def _facts(prediction: ViewPrediction, truth: np.ndarray | None, index: int) -> dict[str, Any]:
    from zoo.evaluation.views import psnr_of

    x, y, z, yaw, pitch = map(float, prediction.cameras[index])
    facts: dict[str, Any] = {
        "x": x,
        "y": y,
        "z": z,
        "yaw_degrees": math.degrees(yaw),
        "pitch_degrees": math.degrees(pitch),
        "mean_spread": float(prediction.spread[index].mean()),
    }
    if truth is not None:
        facts["psnr"] = psnr_of(prediction.mean[index], truth[index])
    return facts


def _label(facts: dict[str, Any]) -> str:
    place = ", ".join(f"{facts[name]:.2f}" for name in "xyz")
    text = f"at ({place}), yaw {facts['yaw_degrees']:.0f}, pitch {facts['pitch_degrees']:.0f} degrees: "
    quality = f"PSNR {facts['psnr']:.1f} dB, " if "psnr" in facts else ""
    return f"{text}{quality}spread {facts['mean_spread']:.3f}"
