"""Actions take turns."""

import numpy as np

from zoo.evaluation.timing import time_interleaved


def test_actions_are_done_in_turns_and_only_those_after_the_warm_up_count():
    done = []
    actions = {"a": lambda: done.append("a"), "b": lambda: done.append("b"), "c": lambda: done.append("c")}
    seconds = time_interleaved(actions, repeats=3, warmup=2)
    assert "".join(done) == "abcabcabcabcabc"
    assert list(seconds) == ["a", "b", "c"]
    assert all(values.shape == (3,) and np.all(values > 0) for values in seconds.values())
