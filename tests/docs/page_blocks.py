"""The fenced blocks of the pages, and how a test runs them.

A page is run from top to bottom in a folder of its own: bash, Python and registry entries, whose names and files later blocks
use. A comment before a block says otherwise::

    <!-- not run: REASON -->     the block is not executed; REASON is one of REASONS
    <!-- file: NAME -->          the block is written into the file NAME

``gqn-zoo`` runs in this process, everything else in one of its own. What a page shows takes up to hours, so that commands
are given other sizes: SIZES is the only place that says which.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "CONTRIBUTING.md",
    ROOT / "results" / "README.md",
]

REASONS = {
    "installs": "changes the environment in which the tests run",
    "hub": "needs an account of a model hub",
    "network": "reads from the network",
    "GPU": "needs GPUs or a cluster",
    "server": "serves until it is interrupted",
    "minutes": "takes minutes at any size",
    "elsewhere": "is run by a test of its own",
    "form": "shows the form of a call, with a name that stands for yours",
}

# Options that replace or join those of a command, by the words with which it begins, the first that fit. None takes an option away.
SIZES: dict[str, dict[str, str | None]] = {
    "data make": {"--train": "8", "--validation": "4", "--test": "24", "-j": "0"},
    "train": {"--size": "smoke", "--steps": "2", "-b": "2", "--validation-scenes": "4", "--cpu": ""},
    "evaluate": {"-K": "2", "--prediction-samples": "2", "--repeats": "1", "--limit": "4", "--cpu": ""},
    "export": {"--prediction-samples": "2", "--repeats": "1", "--cpu": ""},
    "predict": {"--samples": "2"},
    "render": {"--frames": "3", "--samples": "2"},
    "localise": {"--scenes": "1", "--grid": "3", "--yaws": "2", "--starts": "1", "--steps": "1", "--cpu": ""},
    "analyse control": {"-n": "2", "--seeds": "2", "--env-steps": "1600", "--cpu": ""},
    "analyse": {"-n": "20", "--samples": "2", "--cpu": ""},
    "quickstart": {"--dry-run": ""},
    "bench": {"--dry-run": "", "--parallel": None, "--cluster": None, "--cluster-option": None},
}
FLAGS = {"--cpu", "--dry-run"}
SHORT = {"--batch-size": "-b", "--importance-samples": "-K", "--workers": "-j", "--scenes": "-n"}
LONG = {"-S": "--samples"}
NEEDS_IMAGE_SIZE = "train"  # at size smoke a model has the images of its data: --set image_size=N


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str  # path from the root
    line: int  # of its fence, from 1
    language: str
    text: str
    directive: str = ""  # "not run", "file" or nothing
    argument: str = ""

    @property
    def name(self) -> str:
        """The page and the first line, by which a block is known when other lines of the page change."""
        return f"{self.page}: {self.text.strip().partition(chr(10))[0]}"


FENCE = re.compile(
    r"^(?:<!-- (?P<directive>not run|file): (?P<argument>[^\n]+?) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks_of(path: Path) -> list[Block]:
    """Returns the fenced blocks of a page in their order."""
    content, page = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
    return [
        Block(
            page=page,
            line=content.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            text=found["text"],
            directive=found["directive"] or "",
            argument=found["argument"] or "",
        )
        for found in FENCE.finditer(content)
    ]


def commands_of(block: Block) -> Iterator[list[str]]:
    """Yields the words of every command of a bash block; ``&&`` and ends of lines separate them."""
    for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word != "&&":
                words.append(word)
            elif words:
                yield words
                words = []


def with_sizes(words: Sequence[str], *, folder: Path) -> list[str]:
    """Returns the words of a command of ``gqn-zoo``, without that first word, at the sizes of tests."""
    begin = next((key for key in SIZES if list(words[: len(key.split())]) == key.split()), None)
    if begin is None:
        return list(words)
    changes = dict(SIZES[begin])
    if begin == "data make" and "--factors" in words:
        changes = {"-j": "0"}
    changed = _without(words, changes)
    for option, value in changes.items():
        changed += [] if value is None else [option] if option in FLAGS else [option, value]
    if begin == NEEDS_IMAGE_SIZE and not any(word.startswith("image_size=") for word in words):
        changed += ["--set", f"image_size={_image_size(words, folder=folder)}"]
    for word in words:
        if word.startswith("training.contexts.minimum="):  # size smoke has at most two context views
            changed += ["--set", word.replace("minimum", "maximum")]
    return changed


def _without(words: Sequence[str], options: dict[str, str | None]) -> list[str]:

    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in options or SHORT.get(word) in options or LONG.get(word) in options:
            skip = word not in FLAGS
        else:
            kept.append(word)
    return kept


def _image_size(words: Sequence[str], *, folder: Path) -> int:
    meta = folder / words[words.index("--data") + 1] / "meta.json"
    return int(json.loads(meta.read_text(encoding="utf-8"))["image_size"])
