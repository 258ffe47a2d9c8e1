"""How much memory this process takes, and took at most since it was last asked to forget."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from pathlib import Path

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # what /proc/self/clear_refs is told to set the highest mark back


def give_back() -> None:
    """Returns freed memory to the system, so that the next mark does not count it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # of the GNU C library alone
        ctypes.CDLL(None).malloc_trim(0)


def resident() -> int:
    """Returns the resident memory of this process, bytes; its highest mark where the system does not tell more."""
    return _status("VmRSS")


def peak() -> int:
    """Returns the highest mark of this process's resident memory since it was set back, bytes."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Sets the highest mark back to what is resident now, where the system can."""
    with contextlib.suppress(OSError):
        _FORGET.write_text(_FORGET_PEAK, encoding="ascii")


def _status(field: str) -> int:
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    mark = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return mark if sys.platform == "darwin" else mark * 1024
