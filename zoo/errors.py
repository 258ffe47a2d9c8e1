"""The errors that a user of the zoo can cause; each message is one sentence.

The command line prints such an error without a traceback and exits with its ``exit_code``; any other exception is a
defect of the program.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(ValueError):
    """A mistake of the user: the message names the file, the field, what was found and what was expected."""

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


class ZooWarning(UserWarning):
    """Something that the user should know and that stops nothing; the command line prints it as one line."""


MOST_SUGGESTIONS = 5


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x', 'y'?"`` with similar names, or the list of names if none is similar.

    Names that begin with ``name`` come first (the shortest first), then those of similar spelling, then those that
    contain it, ignoring case.
    """
    names = {candidate.lower(): candidate for candidate in sorted(known)}
    wanted = name.lower()
    begin = sorted((key for key in names if wanted and key.startswith(wanted)), key=len)
    spelt = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    contain = [key for key in names if wanted and wanted in key]
    close = [names[key] for key in dict.fromkeys([*begin, *spelt, *contain])][:MOST_SUGGESTIONS]
    if close:
        return "; did you mean " + ", ".join(map(repr, close)) + "?"
    return "; known are " + ", ".join(names.values()) if names else ""
