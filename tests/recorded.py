"""Runs a command and writes what it printed into a Markdown file, with date, commit, hardware and versions.

python -m tests.recorded results/trust/faults.md pytest -m faults -q --no-header
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from zoo.files import write_text
from zoo.provenance import Provenance, anonymous_command, collect

ROOT = Path(__file__).resolve().parent.parent
CODE = ("zoo", "tests")


def sources_of(root: Path) -> dict[str, str]:
    """Returns the newest commit of main that a checkout contains, and the Git trees of its code.

    The commits of a branch are replaced when it is merged by rebasing; the commit of main stays, and a tree is a hash of contents.
    """
    git = shutil.which("git")
    if git is None:
        return {}

    def ask(*arguments: str) -> str:
        done = subprocess.run([git, "-C", root, *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    head = ask("rev-parse", "HEAD")
    if not head:
        return {}
    commit = ask("merge-base", "HEAD", "main") or head
    later = ask("rev-list", "--count", f"{commit}..HEAD")
    state = commit if later == "0" else f"{commit} of main, and {later} of a branch on top of it"
    if ask("status", "--porcelain", "--", *CODE):
        state += ", with changes that are not committed"
    trees = ", ".join(f"{name} {ask('rev-parse', f'HEAD:{name}')}" for name in CODE)
    return {"commit": state, "trees": trees}


def page_of(
    provenance: Provenance,
    *,
    sources: dict[str, str],
    command: list[str],
    code: int,
    seconds: float,
    load: float,
    output: str,
) -> str:
    """Returns the file's text; of paths below the project, and of those of pytest's temporary folder, the rest is left."""
    hardware = provenance.hardware
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items() if version)
    facts = {
        "command": f"`{anonymous_command(command)}`",
        "date": provenance.utc,
        **sources,
        "hardware": f"{hardware.cpu}, {hardware.cores} cores, {hardware.threads} threads of torch",
        "versions": versions,
        "load": f"{load:.0f} processes that wanted a core, mean of the last 15 minutes",
        "time": f"{seconds:.0f} s",
        "exit code": str(code),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    shown = output.replace(f"{ROOT}{os.sep}", "").replace(str(ROOT), ".")
    shown = shown.replace(f"{sysconfig.get_path('purelib')}{os.sep}", "").strip()
    shown = re.sub(rf"{re.escape(tempfile.gettempdir())}/pytest-of-[^/]+/pytest-\d+/", "", shown)
    return f"| | |\n|---|---|\n{table}\n\n```text\n{shown}\n```\n"


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    target, command = Path(sys.argv[1]), sys.argv[2:]
    provenance, sources = collect(seed=0, command=command, config={}), sources_of(ROOT)
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, errors="replace", check=False)
    seconds = time.perf_counter() - started
    page = page_of(
        provenance,
        sources=sources,
        command=command,
        code=done.returncode,
        seconds=seconds,
        load=os.getloadavg()[2],
        output=done.stdout,
    )
    write_text(target, page)
    print(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
