"""Fuzzes one target with atheris, which instruments this package and keeps inputs that reach new branches.

python -m tests.fuzz.coverage_guided TARGET CORPUS [options of libFuzzer]
"""

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["zoo"]):
    from tests.fuzz.targets import TARGETS, read_input


def main() -> None:
    warnings.simplefilter("ignore")
    program, name, *options = sys.argv
    with tempfile.TemporaryDirectory() as folder:
        prepared = TARGETS[name](Path(folder))

        def read_one(data: bytes) -> None:
            read_input(prepared, data)

        atheris.Setup([program, *options], read_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
