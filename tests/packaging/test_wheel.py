"""The built wheel in a clean environment: its contents, and variants of a user in every way of registering them.

The wheel is built from the source distribution, which therefore holds all that it needs.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 280


def run(*command, cwd, **environment):
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Builds the wheels of the package and of the example plug-in, with nothing but the declared build requirements."""
    folder = tmp_path_factory.mktemp("wheels")
    plug_in = shutil.copytree(ROOT / "examples" / "plugin", folder / "plugin")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, plug_in, cwd=folder)
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


class Environment(NamedTuple):
    """A virtual environment with the wheels."""

    python: Path
    packages: Path

    def gqn_zoo(self, *arguments, cwd):
        """Runs the installed program."""
        return run(self.python.parent / "gqn-zoo", *arguments, cwd=cwd, OMP_NUM_THREADS="1")


@pytest.fixture(scope="module")
def environment(wheels, tmp_path_factory):
    """A virtual environment with the wheels and, so that gigabytes need not be installed, the libraries of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    installing = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet"]
    run(*installing, *wheels.values(), cwd=folder)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).strip())
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return Environment(python, packages)


def test_an_index_accepts_wheel_and_source_distribution(wheels):
    """Metadata are valid and the description renders."""
    folder = wheels["gqn_zoo"].parent
    import zoo

    files = [folder / f"gqn_zoo-{zoo.__version__}{end}" for end in ("-py3-none-any.whl", ".tar.gz")]
    out = run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=folder)
    assert out.count("PASSED") == 2


def test_the_source_distribution_holds_the_tests_and_what_they_read(wheels):
    (path,) = wheels["gqn_zoo"].parent.glob("gqn_zoo-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = run("git", "ls-files", "zoo", "tests", "docs", "benchmarks", "examples", "results/weights", cwd=ROOT)
    assert set(tracked.splitlines()) <= names
    assert {"SECURITY.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "registry.yaml", "pyproject.toml"} <= names


def test_the_wheel_holds_the_package_and_its_registry_and_nothing_else(wheels):
    with zipfile.ZipFile(wheels["gqn_zoo"]) as archive:
        names = set(archive.namelist())
        assert archive.read("zoo/registry.yaml") == (ROOT / "registry.yaml").read_bytes()
        places = {"suites": "zoo/bench/suite/shipped", "episodes": "zoo/data/episodes"}
        shipped = {
            f"{place}/{path.name}": path
            for folder, place in places.items()
            for path in (ROOT / "benchmarks" / folder).iterdir()
        }
        weights = [path for path in (ROOT / "results" / "weights").rglob("*") if path.is_file()]
        shipped |= {f"zoo/weights/{path.relative_to(ROOT / 'results' / 'weights')}": path for path in weights}
        assert all(archive.read(name) == path.read_bytes() for name, path in shipped.items())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "zoo").rglob("*.py")}
    assert modules <= names
    rest = {name for name in names - modules if ".dist-info/" not in name}
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "zoo").glob("*/templates/*")}
    assert len(templates) == 7
    assert rest - {"zoo/py.typed"} == {"zoo/registry.yaml", "zoo/registry/parameter_counts.json", *templates, *shipped}


def test_the_installed_program_works_away_from_the_checkout(environment, tmp_path):
    script = (
        "import sys, zoo, zoo.registry.sources\n"
        "print(zoo.__file__)\nprint(zoo.registry.sources.registry_path())\nprint(*sys.path, sep='\\n')\n"
    )
    package, registry, *path = run(environment.python, "-c", script, cwd=tmp_path).splitlines()
    assert Path(package) == environment.packages / "zoo" / "__init__.py"
    assert Path(registry) == environment.packages / "zoo" / "registry.yaml"
    # An empty entry is the folder in which the program was started.
    assert not [entry for entry in path if entry and Path(entry).resolve() in (ROOT, ROOT / "zoo")]
    names = "from zoo.bench.suite.settings import suite_names; print(*suite_names())"
    suites = run(environment.python, "-c", names, cwd=tmp_path)
    assert suites.split() == sorted(path.stem for path in (ROOT / "benchmarks" / "suites").iterdir())
    folder = "from zoo.results.weights import weights_folder; print(weights_folder())"
    weights = Path(run(environment.python, "-c", folder, cwd=tmp_path).strip())
    assert weights == environment.packages / "zoo" / "weights" and (weights / "README.md").is_file()
    import zoo

    assert environment.gqn_zoo("--version", cwd=tmp_path) == f"gqn-zoo {zoo.__version__}\n"
    assert '"variant": "vae"' in environment.gqn_zoo("describe", "vae", "--size", "smoke", "--json", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


CORE = '''\
"""A core of a file beside the registry file: every pixel is a linear function of representation and pose."""

import torch
from pydantic import Field

from zoo.config.settings import Settings
from zoo.episode import CoreOutput
from zoo.model.interfaces import LatentCore


class Linear(LatentCore):
    """p(x^q | v^q, r) = p(x^q | W (r, v^q)), without latents."""

    class Config(Settings):
        """Its one setting."""

        bias: bool = Field(default=True, description="adds a bias")

    required_features = frozenset({"pooled"})
    latents = "none"

    def __init__(self, config, *, shapes):
        super().__init__(config, shapes=shapes)
        _, *size = shapes.target
        self.shape = (shapes.prediction_channels, *size)
        width = shapes.representation.channels + shapes.query_width
        self.linear = torch.nn.Linear(width, shapes.prediction_channels * size[0] * size[1], bias=config.bias)
        with torch.no_grad():
            self.linear.weight.mul_(0.1)
            self.linear.bias.fill_(0.5)

    def _predict(self, context, query, encode):
        pooled = encode(context).pooled.mean((-2, -1))[:, None].expand(-1, query.shape[1], -1)
        return self.linear(torch.cat([pooled, query.to(pooled.dtype)], dim=-1)).unflatten(-1, self.shape)

    def forward(self, episode, encode, schedule):
        prediction = self._predict(episode.context, episode.query, encode)
        zero = prediction.new_zeros(prediction.shape[0])
        return CoreOutput(prediction=prediction, kl=zero[:, None], log_ratio=zero)

    def predict(self, context, query, key, *, encode, schedule, num_samples):
        return self._predict(context, query, encode).expand(num_samples, -1, -1, -1, -1, -1)
'''
REGISTRY = """\
version: 1
variants:
  pasted: {base: cvae, title: Pasted, core: {z_channels: 6}, sizes: {smoke: {core: {z_channels: 3}}}}
  filed: {base: deterministic, title: From a file, core: {use: ./linear.py:Linear}, sizes: {smoke: {core: {use: ./linear.py:Linear}}}}
"""
THEIRS = {"pasted", "filed", "lab/film-vae", "lab/gqn-strided", "lab/cvae-logistic"}


def test_variants_of_a_user_are_listed_checked_trained_measured_and_compared(environment, tmp_path):
    """An entry in ./registry.yaml, a core in a file beside it, and a plug-in; nothing of them lies in the checkout."""
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    (tmp_path / "linear.py").write_text(CORE)
    listed = json.loads(environment.gqn_zoo("list", "--json", cwd=tmp_path))
    assert set(listed) >= THEIRS
    assert listed["filed"]["file"] == str(tmp_path / "registry.yaml")
    sizes = ("--train", "12", "--validation", "4", "--test", "4", "--image-size", "16", "--views", "4", "-j", "0")
    environment.gqn_zoo("data", "make", "rooms_ring_camera", "-o", "scenes", *sizes, cwd=tmp_path)
    for name in ("filed", "lab/film-vae"):
        assert "failed" not in environment.gqn_zoo("check", name, cwd=tmp_path)
    train = ("train", "filed", "--size", "smoke", "--data", "scenes", "-o", "run", "--cpu", "-j", "0")
    environment.gqn_zoo(*train, cwd=tmp_path)
    environment.gqn_zoo("evaluate", "run", "--data", "scenes", "--cpu", "--repeats", "0", cwd=tmp_path)
    bench = (
        "bench",
        "--data",
        "scenes",
        "-o",
        "results",
        "--size",
        "smoke",
        "--repeats",
        "1",
        "--cpu",
        "--parallel",
        "2",
    )
    environment.gqn_zoo(*bench, "--models", "pasted,filed,lab/film-vae", "--steps", "2", "-j", "0", cwd=tmp_path)
    rows = {row["variant"].partition("@")[0]: row for row in map(read, (tmp_path / "results" / "rows").glob("*.json"))}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert set(rows) == {"pasted", "filed", "lab/film-vae"}
    assert rows["pasted"]["provenance"]["components"] is None
    core = rows["filed"]["provenance"]["components"]["core"]
    assert core["distribution"] is None and len(core["sha256"]) == 16
    core = rows["lab/film-vae"]["provenance"]["components"]["core"]
    assert (core["distribution"], core["version"]) == ("gqn-zoo-lab", "0.1.0")
    compared = environment.gqn_zoo("compare", "results", cwd=tmp_path)
    assert all(name in compared for name in rows)


def read(path):
    return json.loads(path.read_text())
