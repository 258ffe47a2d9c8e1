"""The errors that a user of the zoo can cause, each told in one sentence.

The command line prints such an error without a traceback and leaves with its ``exit_code``; everything else that is
raised is a defect of the program.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(ValueError):
    """A mistake that the user can mend: the message names the file, the field, what was found and what was expected."""

    exit_code = 2


class ConfigError(ZooError):
    """A setting is unknown, missing, of the wrong type or out of range."""


class RegistryError(ZooError):
    """A registry file, a variant or a combination of components is not valid."""


class DataError(ZooError):
    """A scene set is missing, incomplete, corrupt or does not fit the request."""


class CheckpointError(ZooError):
    """A checkpoint is missing, damaged or belongs to another variant."""


class ResultError(ZooError):
    """A result row is missing, damaged or not comparable with another."""


class DiskFullError(ZooError):
    """A file could not be written; what was there before is untouched."""


class NonFiniteError(ZooError):
    """The loss or a gradient is not finite; the update was not made."""

    exit_code = 4


class OutOfMemoryError(ZooError):
    """The model and its batch do not fit into the memory of the device."""

    exit_code = 5


MOST_SUGGESTIONS = 5


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x', 'y'?"`` with the nearest names, or the list of names if none is near.

    Names that begin with ``name`` come first, then those spelt alike, then those that contain it, whatever the case.
    """
    names = sorted(known)
    if not names:
        return ""
    folded = {candidate: candidate.lower() for candidate in names}
    wanted = name.lower()
    begins = [candidate for candidate in names if wanted and folded[candidate].startswith(wanted)]
    alike = set(difflib.get_close_matches(wanted, folded.values(), n=3, cutoff=0.5))
    close = sorted(
        (candidate for candidate in names if folded[candidate] in alike),
        key=lambda candidate: -difflib.SequenceMatcher(None, folded[candidate], wanted).ratio(),
    )
    contains = [candidate for candidate in names if wanted and wanted in folded[candidate]]
    near = list(dict.fromkeys([*begins, *close, *contains]))[:MOST_SUGGESTIONS]
    if near:
        return "; did you mean " + ", ".join(repr(candidate) for candidate in near) + "?"
    return "; known are " + ", ".join(names)
