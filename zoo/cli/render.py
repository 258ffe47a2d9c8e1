"""``gqn-zoo render``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli import screen
from zoo.cli.options import RegistryFiles
from zoo.cli.scene_options import SceneOptions, Viewpoint, open_viewpoint
from zoo.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

DEFAULT_PANELS = "context,truth,mean,samples,uncertainty"
NOISE = {
    "scene": "one draw of the scene's latents for all frames of a sample",
    "query": "latents are drawn for each frame, all frames of a sample from the same noise",
    "none": "the model has no latents: one prediction for each frame",
}


def run(
    given: SceneOptions,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="A .gif or .mp4 of one frame after the other, or an image of a strip."),
    ] = Path("orbit.gif"),
    path: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Fly through the cameras of this YAML or JSON file, cameras: [[x, y, z, yaw, pitch], ...] with angles in "
            "degrees (closed: true returns to the first).",
        ),
    ] = None,
    orbit: Annotated[
        bool, typer.Option("--orbit", help="Circle round what the scene's cameras look at; without --path the default.")
    ] = False,
    frames: Annotated[int, typer.Option(min=1, max=10_000, help="Cameras along the path.")] = 48,
    rate: Annotated[float, typer.Option(min=0.1, max=120.0, help="Frames per second; at most 50 in a GIF.")] = 12.0,
    show: Annotated[str, typer.Option(help="Panels, separated by commas.")] = DEFAULT_PANELS,
    registry_files: RegistryFiles = [],
) -> None:
    """Fly through a scene as a model sees it: an orbit or a path of cameras, beside the true views where they are known."""
    from zoo.figures.sheets import check_format
    from zoo.figures.views import ANIMATIONS, animation, check_animation, check_panels, strip

    moving = output.suffix.lower() in ANIMATIONS
    if moving:
        check_animation(output, frames_per_second=rate)
    else:
        check_format(output)
    if orbit and path is not None:
        raise ConfigError("--orbit and --path: found both, expected one of them")
    viewpoint = open_viewpoint(given)
    cameras = _cameras(viewpoint, path=path, frames=frames)
    truth = viewpoint.scene.render(cameras)
    wanted = [name.strip() for name in show.split(",")]
    if show == DEFAULT_PANELS and truth is None:
        wanted.remove("truth")
    panels = check_panels(wanted, has_truth=truth is not None, option="--show")
    prediction = viewpoint.predict(cameras)
    if moving:
        animation(output, prediction, truth=truth, panels=panels, frames_per_second=rate, title=viewpoint.title)
    else:
        strip(output, prediction, truth=truth, panels=panels, title=viewpoint.title)
    screen.log(f"{len(cameras)} frames, {given.samples} samples: {NOISE[viewpoint.trained.model.core.latents]}")
    screen.log(f"wrote {output}")


def _cameras(viewpoint: Viewpoint, *, path: Path | None, frames: int) -> np.ndarray:
    from zoo.data.camera_path import orbit, read_path

    return orbit(viewpoint.scene.cameras, num_cameras=frames) if path is None else read_path(path, num_cameras=frames)
