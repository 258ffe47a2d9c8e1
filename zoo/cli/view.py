"""``gqn-zoo view``."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import screen
from zoo.cli.options import Checkpoint, Cpu, RegistryFiles
from zoo.cli.scene_options import ScenePlace, SceneSplit

DEFAULT_MODEL = "gqn-epipolar-improved"


def run(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN]...",
            show_default=False,
            help="Folders of runs or checkpoints, or shipped names (list --pretrained), side by side under one camera; "
            f"default: {DEFAULT_MODEL}.",
        ),
    ] = [],
    scene: ScenePlace = None,
    split: SceneSplit = "test",
    samples: Annotated[
        int, typer.Option("-S", "--samples", min=1, max=64, help="Samples of the latents while the camera rests.")
    ] = 4,
    state: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the page saves its state and loads it from, JSON.")
    ] = Path("view.json"),
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other computers in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8080,
    checkpoint: Checkpoint = "best",
    cpu: Cpu = False,
    registry_files: RegistryFiles = [],
) -> None:
    """Look through trained models in the browser: any camera, context views, samples, uncertainty (extra viewer)."""
    from zoo.training.run import device_of
    from zoo.viewer.library import ModelLibrary
    from zoo.viewer.server import ViewerServer, check_address, import_viser
    from zoo.viewer.session import ViewerSession

    import_viser()
    check_address(host=host, port=port)
    library = ModelLibrary(device=device_of(cpu=cpu), checkpoint=checkpoint)
    session = ViewerSession.open(library, runs or [DEFAULT_MODEL], place=scene, split=split, samples=samples)
    server = ViewerServer(library, session.state, state_file=state, host=host, port=port)
    # A visitor may leave while a frame is on its way.
    warnings.filterwarnings("ignore", message="Queued a .* on a closed connection", category=UserWarning)
    screen.log(f"open {server.address} in a browser; Ctrl-C ends")
    try:
        while True:
            time.sleep(3600.0)
    finally:
        server.stop()
