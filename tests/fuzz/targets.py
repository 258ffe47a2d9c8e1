"""What is fuzzed: every kind of file that the program reads, and its command line.

A target makes valid inputs in a folder, and reads an input, whatever its bytes are. Reading raises nothing but a ZooError,
or an OSError, which the program reports on one line with exit code 2.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydantic
import torch
from torch import nn

from tests.registry_entry import ENTRY
from zoo.bench.suite.settings import load_suite, suites_folder
from zoo.cli.main import main
from zoo.comparison.claim_file import load_claims
from zoo.comparison.leaderboards import leaderboards_of
from zoo.comparison.markup import to_markdown
from zoo.comparison.tables import tables_of
from zoo.data.built_in import BuiltIn
from zoo.data.captures.importing import read_capture
from zoo.data.convert import DeepMindWriter
from zoo.data.deepmind import DeepMindScenes
from zoo.data.factors.parsing import parse_factors, read_factor_file
from zoo.data.inspection import verify_store
from zoo.data.render.recipes import RECIPES
from zoo.data.scene import render_scene
from zoo.data.store import SceneStore, StoreMeta
from zoo.data.store_writer import StoreWriter
from zoo.data.tfrecord import RecordWriter, read_record
from zoo.errors import ZooError
from zoo.registry.registry import Registry, variant_from_config
from zoo.registry.sources import RegistryFile
from zoo.results.row import ResultRow
from zoo.results.store import load_rows, save_row
from zoo.training import checkpoint, run_checkpoints
from zoo.viewer.library import ModelLibrary
from zoo.viewer.session import ViewerSession

REFUSED = (ZooError, OSError)
EXIT_CODES = {0, 1, 2, 3}
FACTOR_RECIPES = ("rooms_ring_camera", "shepard_metzler_5_parts", "mazes")


class Prepared(NamedTuple):
    """A target in its folder."""

    seeds: Sequence[bytes]  # valid inputs
    read: Callable[[bytes], object]


Prepare = Callable[[Path], Prepared]


def read_input(prepared: Prepared, data: bytes) -> bool:
    """Reads an input and returns whether it was accepted; an exception that is no mistake of a user is raised."""
    try:
        prepared.read(data)
    except REFUSED as error:
        assert str(error).strip(), "an error without a sentence"
        return False
    return True


def _scenes(count: int, *, views: int = 2, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (count, views, size, size, 3), dtype=np.uint8)
    return frames, generator.normal(size=(count, views, 5)).clip(-1.5, 1.5).astype(np.float32)


def _read_all(source: DeepMindScenes | SceneStore) -> None:
    views = np.broadcast_to(np.arange(source.num_views), (source.num_scenes, source.num_views))
    _, cameras = source.read(np.arange(source.num_scenes), views)
    assert np.isfinite(cameras).all()


def tfrecord(folder: Path) -> Prepared:
    """A TFRecord file of DeepMind's format."""
    with DeepMindWriter(folder / "toy") as writer:
        writer.add("test", *_scenes(2))
    (path,) = (folder / "toy" / "test").iterdir()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(ZooError):
            _read_all(DeepMindScenes(path.parents[1], "test", on_bad_record="skip"))
        _read_all(DeepMindScenes(path.parents[1], "test"))

    return Prepared([path.read_bytes()], read)


def tfrecord_message(folder: Path) -> Prepared:
    """The message in a record, with good checksums."""
    with DeepMindWriter(folder / "toy") as writer:
        writer.add("test", *_scenes(1))
    (path,) = (folder / "toy" / "test").iterdir()
    message = read_record(path)

    def read(data: bytes) -> None:
        path.unlink()
        writer = RecordWriter(path)
        writer.write(data)
        writer.close()
        _read_all(DeepMindScenes(path.parents[1], "test"))

    return Prepared([message], read)


def registry(folder: Path) -> Prepared:
    """A registry file."""
    path = folder / "registry.yaml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        found = Registry([RegistryFile(path)])
        for name in found.names():
            for size in ("full", "smoke"):
                with contextlib.suppress(ZooError):
                    variant_from_config(found.variant(name, size=size).config(), file="config.yaml", registry=found)

    text = f"version: 1\nvariants:\n  one:\n{ENTRY}    sizes:\n      smoke: {{core: {{channels: 4}}}}\n  two: {{base: one}}\n"
    return Prepared([text.encode()], read)


def suite(folder: Path) -> Prepared:
    """The file of a benchmark suite."""
    path = folder / "suite.yaml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_suite(str(path))

    return Prepared([(suites_folder() / f"{name}.yaml").read_bytes() for name in ("smoke", "cpu")], read)


def claims(folder: Path) -> Prepared:
    """A file of claims."""
    path = folder / "claims.yaml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_claims(path)

    text = """\
version: 2
title: t
data: {rooms: {dataset: rooms, image_size: 32, sigma: 0.7}}
families: [learns, geometry]
claims:
  - {text: one, data: rooms, contexts: 4, family: learns, variants: ["gqn-*"], better_than: {variants: [vae]}}
  - {text: two, data: rooms, contexts: 4, family: geometry, variants: [gqn], better_than: {contexts: 1}}
  - {text: three, data: rooms, contexts: 4, family: geometry, variants: [gqn], same_as: [gqn-copy]}
"""
    return Prepared([text.encode()], read)


def _model() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model(torch.ones(5, 3)).square().sum().backward()
    optimizer.step()
    return model, optimizer


def _checkpoint_file(name: str, *, checked: bool) -> Prepare:
    """A file of a checkpoint; ``checked`` gives it the checksum that its manifest names."""

    def prepare(folder: Path) -> Prepared:
        model, optimizer = _model()
        state = {"config": {"variant": "one"}, "seed": 0, "seconds": 1.5}
        path = checkpoint.save(folder, step=1, model=model, optimizer=optimizer, ema=None, state=state)
        seed, manifest = (path / name).read_bytes(), json.loads((path / checkpoint.MANIFEST).read_text())

        def read(data: bytes) -> None:
            (path / name).write_bytes(data)
            if checked:
                digest = hashlib.sha256(data).hexdigest()
                (path / checkpoint.MANIFEST).write_text(json.dumps({**manifest, name: digest}))
            found = run_checkpoints.find(folder)
            checkpoint.load_tensors(found.path / checkpoint.MODEL, model)
            other = torch.optim.Adam(model.parameters(), lr=1e-3)
            checkpoint.load_optimizer(found, other)
            other.step()

        return Prepared([seed], read)

    prepare.__doc__ = f"{name} of a checkpoint" + (", with the checksum of the manifest." if checked else ".")
    return prepare


def result_row(folder: Path) -> Prepared:
    """A result row, as it is and with the id of its contents; accepted ones become tables."""
    rows = sorted((suites_folder().parents[1] / "results" / "quickstart" / "rows").glob("*.json"))
    path = folder / rows[0].name

    def read(data: bytes) -> None:
        path.write_bytes(data)
        try:
            found = load_rows([path])
        except ZooError:
            try:
                row = ResultRow.model_validate({**json.loads(data), "id": ""})
            except (pydantic.ValidationError, ValueError, TypeError, RecursionError):
                raise ZooError("not a row") from None
            shutil.rmtree(folder / "rows", ignore_errors=True)
            found = load_rows([save_row(row, folder / "rows")])
        tables = [table for board in leaderboards_of(found) for table in tables_of([board])]
        to_markdown(tables)

    return Prepared([_shortened(row) for row in rows[:2]], read)


def _shortened(row: Path) -> bytes:
    """Returns a row of three scenes, so that edits hit other fields than values per scene."""
    contents = json.loads(row.read_text())
    contents["id"] = ""
    contents["per_scene"] = {name: values[:3] for name, values in contents["per_scene"].items()}
    for name, values in contents["per_scene"].items():
        if name in contents["metrics"]:
            contents["metrics"][name] |= {"value": sum(values) / 3, "n": 3}
    return json.dumps(contents, indent=1).encode()


def _document(recipe: BuiltIn, index: int) -> str:
    return recipe.factors_of(recipe.draw(seed=0, split="train", index=index).scene).model_dump_json()


def _store(folder: Path) -> Path:
    documents = [json.loads(_document(RECIPES[FACTOR_RECIPES[0]], index)) for index in range(3)]
    with StoreWriter(folder / "store", name="toy", image_size=4, num_views=2, provenance={"recipe": "x"}) as writer:
        for split in ("train", "test"):
            writer.add(split, *_scenes(3, size=4), factors=documents)
    return folder / "store"


def store_meta(folder: Path) -> Prepared:
    """``meta.json`` of a scene store, as it is and with the revision of its contents."""
    path = _store(folder) / "meta.json"

    def read(data: bytes) -> None:
        with contextlib.suppress(ValueError, RecursionError):
            meta = StoreMeta.model_validate_json(data)
            data = meta.model_copy(update={"revision": meta.contents_revision()}).model_dump_json().encode()
        path.write_bytes(data)
        found = SceneStore(path.parent, "test")
        _read_all(found)
        found.read_factors(np.arange(found.num_scenes))
        verify_store(path.parent)

    return Prepared([path.read_bytes()], read)


def store_cameras(folder: Path) -> Prepared:
    """The cameras of a scene store."""
    path = _store(folder) / "test" / "cameras.npy"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        _read_all(SceneStore(path.parents[1], "test"))

    return Prepared([path.read_bytes()], read)


def store_factors(folder: Path) -> Prepared:
    """The factors of a scene store, a line per scene."""
    path = _store(folder) / "test" / "factors.jsonl"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        for document in SceneStore(path.parents[1], "test").read_factors(np.arange(3)):
            parse_factors(document, origin="scene")

    return Prepared([path.read_bytes()], read)


def factors(folder: Path) -> Prepared:
    """Factors of rooms, blocks and mazes that a user wrote; accepted ones are rendered."""
    path = folder / "factors.jsonl"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        for each in read_factor_file(path)[:2]:
            render_scene(each, np.array([[1.0, 0.5, 1.0, 3.0, 0.0]]), image_size=4)

    return Prepared([_document(RECIPES[name], 0).encode() for name in FACTOR_RECIPES], read)


def _capture_file(write: str, name: str) -> Prepare:
    def prepare(folder: Path) -> Prepared:
        sys.path.append(str(Path(__file__).resolve().parents[1]))
        import capture_folders

        root = folder / "a" / "capture"
        getattr(capture_folders, write)(root, capture_folders.plain_shots(3))
        path = root / name

        def read(data: bytes) -> None:
            path.write_bytes(data)
            read_capture(root)

        return Prepared([path.read_bytes()], read)

    prepare.__doc__ = f"{name} of a capture."
    return prepare


def colmap_binary(folder: Path) -> Prepared:
    """``images.bin`` of a capture, which pycolmap reads."""
    import pycolmap

    prepared = _capture_file("write_colmap", "sparse/0/images.txt")(folder)
    model = folder / "a" / "capture" / "sparse" / "0"
    pycolmap.Reconstruction(str(model)).write_binary(str(model))
    for file in model.glob("*.txt"):
        file.unlink()
    path = model / "images.bin"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_capture(folder / "a" / "capture")

    assert prepared.seeds
    return Prepared([path.read_bytes()], read)


def saved_page(folder: Path) -> Prepared:
    """The saved page of the viewer."""
    path = folder / "page.json"
    session = ViewerSession.open(ModelLibrary(), ["gqn-tower"], place="rooms_ring_camera:3", samples=1)
    session.add_view_at(session.state.camera)
    session.add_keyframe()
    session.save(path)
    seed = path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        session.load(path)

    return Prepared([seed], read)


LINES = """\
list gqn-* --kind core --exclude x --json
list --pretrained
describe gqn-tower --size smoke --set core.steps=2
describe gqn-tower --json
compare rows --sort psnr --columns kl,ssim --format latex
compare rows --all --wide --pareto -o tables --group-by contexts
compare rows --json
diff rows rows --fail nelbo_excess:0.5 --only-changed
claims rows --allow-missing --fail
report nothing -o page.html
train vae --data missing -o run --steps 4 -b 2 --set training.beta.end=0.5 --mixed-precision no
evaluate missing --data missing --contexts 1,3 -K 4 --samples 2
predict missing --scene missing:3 --contexts 0,3 --pose 1,0,1,180,-18 -o view.png
render missing --scene missing:3 --frames 4 -o orbit.gif
localise missing --scene missing:3 --view 2
export missing -o weights
bench --suite smoke --models none -o out --dry-run
analyse surprise missing -o out
data inspect missing --verify
data import missing -o store --views 4
data convert missing store --to tfrecord
new core mycore
check missing"""


def command_line(folder: Path) -> Prepared:
    """A command line, split at blanks."""
    work = folder / "work"
    rows = sorted((suites_folder().parents[1] / "results" / "quickstart" / "rows").glob("*.json"))
    (work / "rows").mkdir(parents=True)
    for row in rows:
        shutil.copy(row, work / "rows")

    def read(data: bytes) -> None:
        if b"/" in data:  # writes stay in the folder
            return
        words = data.decode("utf-8", "surrogateescape").split(" ")
        before = Path.cwd()
        os.chdir(work)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                main(words)
        except SystemExit as leave:
            assert leave.code in EXIT_CODES or leave.code is None, f"exit code {leave.code}"
        finally:
            os.environ.pop("GQN_ZOO_DEBUG", None)
            os.chdir(before)

    return Prepared([line.encode() for line in LINES.splitlines()], read)


TARGETS: dict[str, Prepare] = {
    "tfrecord": tfrecord,
    "tfrecord-message": tfrecord_message,
    "registry": registry,
    "suite": suite,
    "claims": claims,
    "manifest": _checkpoint_file(checkpoint.MANIFEST, checked=False),
    "checkpoint-state": _checkpoint_file(checkpoint.STATE, checked=True),
    "checkpoint-weights": _checkpoint_file(checkpoint.MODEL, checked=True),
    "checkpoint-moments": _checkpoint_file(checkpoint.OPTIMIZER, checked=True),
    "result-row": result_row,
    "store-meta": store_meta,
    "store-cameras": store_cameras,
    "store-factors": store_factors,
    "factors": factors,
    "transforms": _capture_file("write_nerfstudio", "transforms.json"),
    "colmap-cameras": _capture_file("write_colmap", "sparse/0/cameras.txt"),
    "colmap-images": _capture_file("write_colmap", "sparse/0/images.txt"),
    "colmap-binary": colmap_binary,
    "saved-page": saved_page,
    "command-line": command_line,
}
