"""Damaged files and command lines: a mistake of a user is one sentence, whatever the bytes are.

``pytest -m fuzz`` spends GQN_ZOO_FUZZ_SECONDS (600), half on edits that hypothesis draws, half on atheris, which keeps the
inputs that reach new code; the extra ``fuzz`` installs it.
"""

import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from byte_edits import EDITS, TOKENS, edited
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, read_input

ROOT = Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("GQN_ZOO_FUZZ_SECONDS", "600"))
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None
SHARE = SECONDS / len(TARGETS) / (2 if HAS_ATHERIS else 1)  # of each target and tool
FEW, BATCH = 5, 50  # examples

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.filterwarnings("ignore"),  # numbers that overflow are warned of before they are refused
]


def read_examples(prepared, *, count, number):
    """Reads edited seeds; returns how many were read and how many of them were accepted."""
    found = []

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.sampled_from(prepared.seeds), edits=EDITS)
    def read(data, edits):
        found.append(read_input(prepared, edited(data, edits)))

    read()
    return len(found), sum(found)


@pytest.mark.parametrize("name", TARGETS)
def test_some_damage_to_every_kind_of_file_is_one_sentence(tmp_path, name):
    prepared = TARGETS[name](tmp_path)
    for data in prepared.seeds:
        prepared.read(data)
    read_examples(prepared, count=FEW, number=0)


@pytest.mark.slow
@pytest.mark.timeout(3600 + SECONDS)
@pytest.mark.parametrize("name", TARGETS)
def test_much_damage_to_every_kind_of_file_is_one_sentence(tmp_path, name, record_property):
    prepared, deadline = TARGETS[name](tmp_path), time.monotonic() + SHARE
    inputs = accepted = number = 0
    while time.monotonic() < deadline:
        number += 1
        read, good = read_examples(prepared, count=BATCH, number=number)
        inputs, accepted = inputs + read, accepted + good
    record_property("inputs", inputs)
    record_property("accepted", accepted)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory, request):
    """The folder in which atheris fuzzed every target whose test was selected."""
    root = tmp_path_factory.mktemp("fuzzed")
    for name in [item.callspec.params["name"] for item in request.session.items if "fuzzed" in item.fixturenames]:
        (root / name / "corpus").mkdir(parents=True)
        for index, data in enumerate(TARGETS[name](tmp_path_factory.mktemp("work")).seeds):
            (root / name / "corpus" / str(index)).write_bytes(data)
    dictionary = root / "tokens"
    short = [token for token in TOKENS if len(token) <= 64]
    dictionary.write_text("\n".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"' for token in short))
    command = [
        *(sys.executable, "-m", "tests.fuzz.coverage_guided", str(root), f"-dict={dictionary}"),
        *(f"-max_total_time={max(1, round(SHARE))}", "-timeout=120", "-rss_limit_mb=4096", "-print_final_stats=1"),
        "-max_len=100000",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return root


@pytest.mark.slow
@pytest.mark.timeout(7200 + 2 * SECONDS)
@pytest.mark.skipif(not HAS_ATHERIS, reason="atheris is not installed: pip install 'gqn-zoo[fuzz]'")
@pytest.mark.parametrize("name", TARGETS)
def test_what_a_coverage_guided_fuzzer_finds_is_one_sentence(name, fuzzed, record_property):
    output = (fuzzed / name / "output").read_text(encoding="utf-8", errors="replace")
    assert (fuzzed / name / "code").read_text() == "0", output[-12000:]
    inputs = re.findall(r"stat::number_of_executed_units: +(\d+)", output)
    coverage = re.findall(r"cov: (\d+)", output)
    record_property("inputs", inputs[-1] if inputs else "unknown")
    record_property("branches reached", f"{coverage[0]} to {coverage[-1]}" if coverage else "unknown")
