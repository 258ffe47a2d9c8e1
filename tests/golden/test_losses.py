"""A change that does not mean to change the computation leaves every variant's first losses where they were.

The tolerance of 1e-7 is a tenth of a millinat of a loss of about a thousand nats. It leaves room for what differs
between kinds of processors: float64 sums (1e-15 relative), and the logarithms, sines and normal initial weights that are
computed in float32. Moving all noise by 3e-7 and all initial weights by 1.2e-7 of their sizes at random, which is more
than any two libraries of mathematics differ, moves these losses by at most 1.2e-8.

After a change that is meant: ``python tests/golden/regenerate.py``, and read what it prints.
"""

import json
from pathlib import Path

import pytest
from losses_of import STEPS, losses_of, variants

GOLDEN = json.loads((Path(__file__).parent / "losses.json").read_text())


def test_every_variant_has_golden_losses():
    assert sorted(GOLDEN) == variants()
    assert all(len(losses) == STEPS for losses in GOLDEN.values())


@pytest.mark.parametrize("name", variants())
def test_the_first_losses_are_those_of_before(name):
    assert losses_of(name) == pytest.approx(GOLDEN[name], rel=1e-7), "see the head of this file"
