"""Runs a command and writes what it printed into a Markdown file, with date, commit, hardware and versions.

python -m tests.recorded results/trust/faults.md pytest -m faults -q --no-header
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from zoo.files import write_text
from zoo.provenance import Provenance, anonymous_command, collect

ROOT = Path(__file__).resolve().parent.parent


def page_of(provenance: Provenance, *, command: list[str], code: int, seconds: float, load: float, output: str) -> str:
    """Returns the file's text; of paths below the project the part behind it is left."""
    hardware, git = provenance.hardware, provenance.git
    state = "unknown" if git is None else git.commit + (", with changes that are not committed" if git.dirty else "")
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items() if version)
    facts = {
        "command": f"`{anonymous_command(command)}`",
        "date": provenance.utc,
        "commit": state,
        "hardware": f"{hardware.cpu}, {hardware.cores} cores, {hardware.threads} threads of torch",
        "versions": versions,
        "load": f"{load:.0f} processes that wanted a core, mean of the last 15 minutes",
        "time": f"{seconds:.0f} s",
        "exit code": str(code),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    shown = output.replace(f"{ROOT}{os.sep}", "").replace(str(ROOT), ".")
    shown = shown.replace(f"{sysconfig.get_path('purelib')}{os.sep}", "").strip()
    return f"| | |\n|---|---|\n{table}\n\n```text\n{shown}\n```\n"


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    target, command = Path(sys.argv[1]), sys.argv[2:]
    provenance, started = collect(seed=0, command=command, config={}), time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, errors="replace", check=False)
    seconds = time.perf_counter() - started
    page = page_of(
        provenance, command=command, code=done.returncode, seconds=seconds, load=os.getloadavg()[2], output=done.stdout
    )
    write_text(target, page)
    print(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
