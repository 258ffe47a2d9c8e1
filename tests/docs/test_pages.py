"""Every command, Python block and registry entry of README and docs works."""

import ast
import os
import re
import shutil
import signal
import subprocess
import warnings
from collections import Counter

import pytest
import typer.main
from accelerate.state import AcceleratorState
from page_blocks import PAGES, REASONS, ROOT, SIZES, Block, blocks_of, commands_of, with_sizes

from zoo.cli.main import app, main
from zoo.config.settings import parse_yaml
from zoo.errors import ZooWarning

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUN = {"bash", "python", "yaml"}
# Run by every test run; the other pages by pytest -m docs.
QUICK = {"docs/how-to/register.md", "docs/how-to/gqn-datasets.md", "docs/reference/data.md"}
# The scenes and runs that do not ship, of which committed results of the gallery are.
GALLERY_RUNS = (
    "data make rooms_ring_camera -o held --image-size 32 --hold-out shape=cone,colour=red",
    "train gqn-tower --data held -o held-run",
    "data make jaco_front -o data/jaco --image-size 32",
    "train gqn-improved --data data/jaco -o runs/jaco",
)
# Blocks that no test executes; a new one is added here, with its reason in the page.
NOT_RUN = {
    "CONTRIBUTING.md": 3,
    "README.md": 2,
    "docs/how-to/gqn-datasets.md": 1,
    "docs/how-to/own-images.md": 1,
    "docs/how-to/register.md": 1,
    "docs/how-to/several-gpus.md": 3,
    "docs/how-to/speed.md": 3,
    "docs/how-to/suites.md": 1,
    "docs/how-to/training.md": 1,
    "docs/how-to/views.md": 1,
    "docs/how-to/weights.md": 2,
    "docs/installation.md": 3,
    "docs/scale.md": 2,
    "docs/tutorials/first-view.md": 2,
}


def pages_with_blocks():
    names = dict.fromkeys(block.page for block in BLOCKS if block.language in RUN and block.directive != "not run")
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.docs, id=name) for name in names]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with what the pages take for granted: the committed results under git, and rows of the quickstart."""
    folder = tmp_path / "work"
    shutil.copytree(ROOT / "results" / "rows", folder / "results" / "rows", ignore=shutil.ignore_patterns("*.png"))
    for name in ("README.md", "claims.yaml"):
        shutil.copy(ROOT / "results" / name, folder / "results")
    shutil.copytree(ROOT / "results" / "quickstart" / "rows", folder / "out" / "rows")
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "commit.gpgsign=false")
    subprocess.run([*git, "init", "-q"], cwd=folder, check=True)
    subprocess.run([*git, "add", "results"], cwd=folder, check=True)
    for number in range(2):
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", str(number)], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    yield folder
    for key in ("GQN_ZOO_REGISTRY", "GQN_ZOO_DEBUG"):
        os.environ.pop(key, None)


def execute(block, *, folder, names):
    """Runs a block in a folder; ``names`` are those that the Python blocks of a page share."""
    if block.directive == "not run":
        return
    if block.directive == "file":
        (folder / block.argument).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.argument).write_text(block.text, encoding="utf-8")
        return
    if block.language == "python":
        exec(compile(block.text, f"{block.page}:{block.line}", "exec"), names)
    elif block.language == "yaml":
        (folder / "registry.yaml").write_text(block.text, encoding="utf-8")
        for name in parse_yaml(block.text, file=block.name)["variants"]:
            run(["describe", name], folder=folder, place=block.name)
    elif block.language == "bash":
        for words in commands_of(block):
            if words[0] == "gqn-zoo":
                run(with_sizes(words[1:], folder=folder), folder=folder, place=block.name)
            else:
                subprocess.run(words, cwd=folder, check=True, timeout=600, env={**os.environ, "PYTHONPATH": str(ROOT)})


def run(arguments, *, folder, place):
    """Runs gqn-zoo in this process; a claim or a comparison that does not hold at these sizes exits with code 1."""
    handler, show = signal.getsignal(signal.SIGTERM), warnings.showwarning
    try:
        with warnings.catch_warnings(), pytest.raises(SystemExit) as leave:
            warnings.simplefilter("ignore", ZooWarning)
            main([str(word) for word in arguments])
    finally:
        signal.signal(signal.SIGTERM, handler)
        warnings.showwarning = show
        AcceleratorState._reset_state(reset_partial_state=True)
    assert leave.value.code in (0, 1, None), f"{place}: gqn-zoo {' '.join(arguments)}"


def start(page, *, folder):
    """Makes the scenes and the run of the README's training, as far as the page uses them and does not make them itself."""
    text = "".join(block.text for block in blocks_of(ROOT / page) if block.directive != "not run")
    (training,) = [block for block in BLOCKS if block.page == "README.md" and "-o runs/gqn" in block.text]
    make, train = commands_of(training)
    places = [words[words.index("-o") + 1] for words in (make, train)]
    used = [place in text and f"-o {place}" not in text for place in places]
    for words, is_used in zip((make, train), (any(used) and f"-o {places[0]}" not in text, used[1]), strict=True):
        if is_used:
            run(with_sizes(words[1:], folder=folder), folder=folder, place=training.name)
    for command in GALLERY_RUNS if page == "docs/gallery.md" else ():
        run(with_sizes(command.split(), folder=folder), folder=folder, place=page)


@pytest.mark.parametrize("page", pages_with_blocks())
@pytest.mark.timeout(1800)
def test_the_blocks_of_a_page_run_in_order(page, workspace):
    start(page, folder=workspace)
    names = {"__name__": "page"}
    for block in blocks_of(ROOT / page):
        execute(block, folder=workspace, names=names)


def test_few_blocks_are_not_run_and_each_says_why():
    skipped = [block for block in BLOCKS if block.directive == "not run"]
    assert {block.argument for block in skipped} <= set(REASONS)
    assert Counter(block.page for block in skipped) == NOT_RUN


def command_lines():
    reproduce = ROOT / "docs" / "how-to" / "reproduce.md"  # its commands stand in tables
    inline = re.findall(r"`(gqn-zoo [^`]*)`", reproduce.read_text(encoding="utf-8"))
    tables = [Block(page="docs/how-to/reproduce.md", line=0, language="bash", text=text) for text in inline]
    return [
        pytest.param(words[1:], id=" ".join(words))
        for block in (*BLOCKS, *tables)
        if block.language == "bash"
        for words in commands_of(block)
        if words[0] == "gqn-zoo" and not words[1].startswith("--")
    ]


@pytest.mark.parametrize("words", command_lines())
def test_every_command_line_has_options_that_exist(words):
    """Also those of blocks that are not run; nothing is executed."""
    command, rest = typer.main.get_command(app), list(words)
    context = command.make_context("gqn-zoo", [], resilient_parsing=True)
    while hasattr(command, "get_command"):
        name, command = rest[0], command.get_command(context, rest[0])
        assert command is not None, name
        context = command.make_context(
            name, rest := rest[1:], parent=context, resilient_parsing=hasattr(command, "get_command")
        )


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=block.name) for block in BLOCKS if block.language == "python"]
)
def test_python_blocks_are_python(block):
    ast.parse(block.text)


@pytest.mark.parametrize("begin", SIZES)
def test_sizes_are_of_commands_that_pages_show(begin):
    lines = [words[1:] for block in BLOCKS if block.language == "bash" for words in commands_of(block)]
    assert any(words[: len(begin.split())] == begin.split() for words in lines)


def test_a_command_gets_the_sizes_of_tests(tmp_path):
    (tmp_path / "meta.json").write_text('{"image_size": 32}')
    words = ["train", "gqn-tower", "--size", "small", "--data", ".", "-b", "8", "--set", "core.steps=2"]
    given = with_sizes(words, folder=tmp_path)
    assert given[:6] == ["train", "gqn-tower", "--data", ".", "--set", "core.steps=2"]
    assert given[given.index("--size") + 1] == "smoke" and given[given.index("-b") + 1] == "2"
    assert given[-1] == "image_size=32" and "--cpu" in given
    assert with_sizes(["list", "gqn-*"], folder=tmp_path) == ["list", "gqn-*"]
    assert with_sizes(["bench", "--suite", "cpu", "--parallel", "2"], folder=tmp_path) == [
        *("bench", "--suite", "cpu", "--dry-run")
    ]
