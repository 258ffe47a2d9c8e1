import numpy as np
import pytest
from speed_records import number, record_of

from benchmarks.speed.scaling import fit


@pytest.fixture
def record():
    """Both networks, 1 query: shared 2.5 and unshared 0.9 times as fast; times along one axis."""
    sizes = (1, 2, 4)
    seconds = np.array([[0.1, 0.1], [0.2, 0.21], [0.4, 0.41]])
    return record_of(
        [
            number("shared", "training, 1 query", "speed-up", [2.4, 2.5, 2.6]),
            number("unshared", "training, 1 query", "speed-up", [0.9, 0.9, 0.95]),
            number("shared", "training, 1 query", "time, fast", [0.1, 0.1, 0.1], unit="s"),
            number("shared", "training, 1 query", "saved activations, fast", 3 * 2**20, unit="bytes"),
            number("shared", "training, 1 query", "fraction of the convolution, fast", [0.7, 0.8, 0.9], unit="1"),
            number("shared", "training, 1 query", "difference", 3e-7, unit="relative"),
        ],
        [fit(sizes, seconds, axis="queries", action="training", subject=side) for side in ("fast", "plain")],
    )
