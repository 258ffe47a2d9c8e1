"""The wheel holds everything: installed by itself, away from the checkout, the program finds its registry."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

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
def wheel(tmp_path_factory):
    """Builds the wheel, in an environment with nothing but the declared build requirements."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_its_registry_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.read("zoo/registry.yaml") == (ROOT / "registry.yaml").read_bytes()
        places = {"suites": "zoo/suites/shipped", "episodes": "zoo/data/episodes"}
        shipped = {
            f"{place}/{path.name}": path
            for folder, place in places.items()
            for path in (ROOT / "benchmarks" / folder).iterdir()
        }
        assert all(archive.read(name) == path.read_bytes() for name, path in shipped.items())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "zoo").rglob("*.py")}
    assert modules <= names
    rest = {name for name in names - modules if ".dist-info/" not in name}
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "zoo/report/templates").iterdir()}
    assert len(templates) == 3
    assert rest == {"zoo/registry.yaml", *templates, *shipped}


def test_the_installed_program_works_away_from_the_checkout(wheel, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel, cwd=tmp_path)
    # The libraries of this environment, so that gigabytes need not be installed again; the package itself comes first.
    libraries = run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=tmp_path).strip()
    (Path(libraries) / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = (
        "import sys, zoo, zoo.registry.sources\n"
        "print(zoo.__file__)\nprint(zoo.registry.sources.registry_path())\nprint(*sys.path, sep='\\n')\n"
    )
    package, registry, *path = run(python, "-c", script, cwd=elsewhere).splitlines()
    assert Path(package) == Path(libraries) / "zoo" / "__init__.py"
    assert Path(registry) == Path(libraries) / "zoo" / "registry.yaml"
    # An empty entry is the folder in which the program was started.
    assert not [entry for entry in path if entry and Path(entry).resolve() in (ROOT, ROOT / "zoo")]
    suites = run(python, "-c", "from zoo.bench.suite.settings import suite_names; print(*suite_names())", cwd=elsewhere)
    assert suites.split() == sorted(path.stem for path in (ROOT / "benchmarks" / "suites").iterdir())
    program = environment / "bin" / "gqn-zoo"
    assert "gqn-tower" in run(program, "list", cwd=elsewhere)
    import zoo

    assert run(program, "--version", cwd=elsewhere) == f"gqn-zoo {zoo.__version__}\n"
    describe = run(program, "describe", "vae", "--size", "smoke", "--json", cwd=elsewhere, OMP_NUM_THREADS="1")
    assert '"variant": "vae"' in describe
    assert list(elsewhere.iterdir()) == []
