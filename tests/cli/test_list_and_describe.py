"""``gqn-zoo list`` and ``describe``: contents, filters, widths, suggestions, and neither torch nor a second."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.data.render.recipes import RECIPES
from zoo.registry.components import available
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

MINE = "version: 1\nvariants:\n  mine: {base: vae, core: {z_channels: 7}}\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """--registry sets a variable of the environment, which is restored after each test."""
    monkeypatch.setenv("GQN_ZOO_REGISTRY", "")


def names_of(out):
    return [line.split()[0] for line in out.splitlines()[1:]]


def test_variants_are_listed_with_components_and_parameters(gqn_zoo):
    code, out, err = gqn_zoo("list")
    assert (code, err) == (0, "")
    assert names_of(out) == default_registry().names()
    (line,) = [line for line in out.splitlines() if line.startswith("vae ")]
    count = build(default_registry().variant("vae")).num_parameters
    assert line.split() == ["vae", "none", "vae", f"{count / 1e6:.2f}M"]


def test_a_terminal_of_80_columns_shows_whole_names(gqn_zoo, monkeypatch):
    monkeypatch.setattr("zoo.cli.screen.WIDTH_WITHOUT_TERMINAL", 80)
    for line, name in zip(gqn_zoo("list").out.splitlines()[1:], default_registry().names(), strict=True):
        entry = default_registry().entry(name)[0]
        assert len(line) <= 80 and line.split()[:3] == [name, entry.use("encoder"), entry.use("core")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["gqn-*", "--exclude", "*-tower*"], lambda name, entry: name.startswith("gqn-") and "-tower" not in name),
        (["--task", "regress"], lambda name, entry: entry.use("task") == "regress"),
        (["--core", "GQN"], None),
        (["--core", "gqn_*"], lambda name, entry: entry.use("core").startswith("gqn_")),
        (["--encoder", "tower", "--status", "baseline"], lambda name, entry: (entry.use("encoder"), entry.status) == ("tower", "baseline")),
        (["GQN-TOWER"], lambda name, entry: name == "gqn-tower"),
    ],
)  # fmt: skip
def test_filters(gqn_zoo, options, expected):
    code, out, err = gqn_zoo("list", *options)
    if expected is None:
        assert (code, out) == (2, "") and err.startswith(
            "gqn-zoo: --core: no variant has core 'GQN'; did you mean 'gqn'"
        )
        return
    registry = default_registry()
    assert code == 0 and names_of(out) == [name for name in registry.names() if expected(name, registry.entry(name)[0])]


def test_what_matches_nothing_is_answered_with_similar_names(gqn_zoo):
    assert "no variant matches 'gqn-towr'; did you mean 'gqn-tower'" in gqn_zoo("list gqn-towr").err
    assert "no variant matches 'vae' with core 'gqn'" in gqn_zoo("list vae --core gqn").err
    assert "--core: filters variants, found --kind encoder" in gqn_zoo("list --kind encoder --core gqn").err


def test_listing_as_json_can_be_read_by_a_program(gqn_zoo):
    listed = json.loads(gqn_zoo("list --json").out)
    assert sorted(listed) == default_registry().names()
    assert listed["vae"]["core"] == "vae" and listed["vae"]["sizes"][0] == "full" and listed["vae"]["parameters"] > 0


@pytest.mark.parametrize("kind", ["encoder", "core", "likelihood", "dataset"])
def test_components_and_data_sets_are_listed_with_a_description(gqn_zoo, kind):
    code, out, _ = gqn_zoo("list", "--kind", kind)
    assert code == 0 and names_of(out) == (sorted(RECIPES) if kind == "dataset" else available(kind))
    listed = json.loads(gqn_zoo("list", "--kind", kind, "--json").out)
    assert list(listed) == names_of(out) and all(each["description"] for each in listed.values())


@pytest.mark.parametrize("options", ["", "--set core.steps=3"])
def test_a_variant_is_described_with_every_setting(gqn_zoo, options):
    changes = options.split()[1:]
    code, out, err = gqn_zoo(f"describe gqn-tower --size smoke {options}")
    assert (code, err) == (0, "")
    for line in ("core.kernel_size = 3", "training.batch_size = 4", "training.beta.end = 1.0", *changes):
        assert line.replace("core.steps=3", "core.steps = 3    L, groups of latents") in out
    found = json.loads(gqn_zoo(f"describe gqn-tower --size smoke {options} --json").out)
    variant = default_registry().variant("gqn-tower", size="smoke", overrides=changes)
    assert found["config"] == variant.config()
    assert found["parameters"] == build(variant).num_parameters


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("gqn", "variant 'gqn' is not registered; did you mean 'gqn-jump', 'gqn-pool', 'gqn-mazes', 'gqn-tower'"),
        ("VAE", "did you mean 'vae'"),
        ("tower", "'gqn-tower'"),
        ("gqn-p*", "expected the name of one variant; it matches 'gqn-pixel-sigma', 'gqn-pool', 'gqn-pyramid'"),
        ("nothing-*", "it matches nothing"),
    ],
)
def test_a_name_that_is_not_registered_is_answered_with_similar_names(gqn_zoo, name, part):
    code, out, err = gqn_zoo("describe", name)
    assert (code, out) == (2, "") and part in err


def test_the_option_registry_reads_further_files(gqn_zoo, tmp_path):
    path = tmp_path / "lab.yaml"
    path.write_text(MINE)
    code, out, err = gqn_zoo("list", "mine", "--registry", path)
    assert (code, err) == (0, "") and out.splitlines()[1].split()[:3] == ["mine", "none", "vae"]
    assert out.splitlines()[2] == f"also read: {path}"
    assert os.environ["GQN_ZOO_REGISTRY"] == str(path), "processes that this one starts read it as well"
    assert "core.z_channels = 7" in gqn_zoo("describe", "mine", "--registry", path).out


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "lab.yaml: cannot be read"),
        ("version: 1\nvariants: [", "is not valid YAML"),
        ("x: 1\n", "unknown key 'x'"),
    ],
)
def test_a_named_file_that_is_no_registry_file_is_refused(gqn_zoo, tmp_path, text, part):
    path = tmp_path / "lab.yaml"
    if text is not None:
        path.write_text(text)
    code, out, err = gqn_zoo("list", "--registry", path)
    assert (code, out) == (2, "") and part in err and err.count("\n") == 1


def test_a_broken_file_of_the_working_directory_is_a_line_of_warning(tmp_path):
    (tmp_path / "registry.yaml").write_text(MINE + "  other: {base: cvea}\n")
    command = [sys.executable, "-m", "zoo", "list", "mine"]
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root})
    assert done.returncode == 0 and "mine" in done.stdout
    assert done.stderr.startswith("gqn-zoo: warning: ") and "there is no variant 'cvea'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["list"], ["describe", "gqn-tower"], ["list", "--kind", "core"]])
def test_listing_and_describing_take_less_than_a_second_of_computing_and_no_torch(arguments):
    script = f"import sys; from zoo.cli.main import main\ntry: main({arguments!r})\nexcept SystemExit as end: assert not end.code\nimport time; print(time.process_time(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seconds, torch_imported = done.stdout.split()[-2:]
    assert torch_imported == "False" and float(seconds) < 1.0
