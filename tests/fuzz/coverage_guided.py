"""Fuzzes targets with atheris, which instruments this package and keeps inputs that reach new branches.

python -m tests.fuzz.coverage_guided FOLDER [options of libFuzzer]

The package is instrumented once; every target runs in a fork, one after the other, on the inputs in FOLDER/TARGET/corpus, and leaves
its output in FOLDER/TARGET/output and its exit code in FOLDER/TARGET/code.
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["zoo"]):
    from tests.fuzz.targets import TARGETS, read_input


def fuzz(name: str, place: Path, arguments: list[str]) -> None:
    """Fuzzes a target; ends the process."""
    with (place / "output").open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        prepared = TARGETS[name](Path(folder))

        def read_one(data: bytes) -> None:
            read_input(prepared, data)

        atheris.Setup([*arguments, f"-artifact_prefix={place}/", str(place / "corpus")], read_one)
        atheris.Fuzz()


def main() -> None:
    program, root, *options = sys.argv
    for place in sorted(path for path in Path(root).iterdir() if path.name in TARGETS):
        child = os.fork()
        if child == 0:
            fuzz(place.name, place, [program, *options])
        _, status = os.waitpid(child, 0)
        (place / "code").write_text(str(os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    main()
