"""Failures of checks: what is wrong, in one sentence, and the file and line of the component to look at."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from pathlib import Path

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.model.contract import ContractError

PACKAGE = Path(__file__).resolve().parent.parent
COMPONENT_FOLDERS = frozenset(PACKAGE / name for name in ("encoders", "cores", "likelihoods"))
INSTALLED = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
LONGEST_MESSAGE = 300  # characters of the message of an exception


class CheckFailedError(ZooError):
    """A variant breaks the contract.

    Attributes:
        location: ``file:line`` of the code to look at; empty if no single place is to blame.
    """

    exit_code = 1

    def __init__(self, message: str, *, location: str = "") -> None:
        super().__init__(message)
        self.location = location


def require(condition: bool | Tensor, message: str) -> None:
    """Raises CheckFailedError with a message unless a condition holds, everywhere if it is a tensor."""
    if not torch.as_tensor(condition).all():
        raise CheckFailedError(message)


def close(one: Tensor, other: Tensor, *, tolerance: float = 1e-9) -> bool:
    """Returns whether two tensors are equal up to rounding in float64."""
    return bool(torch.allclose(one, other, rtol=tolerance, atol=tolerance))


def definition_of(component: object, method: str) -> str:
    """Returns ``file:line`` of the definition of a component's method; empty if it is not written in Python."""
    code = getattr(inspect.unwrap(getattr(type(component), method)), "__code__", None)
    return "" if code is None else _place(code.co_filename, code.co_firstlineno)


def failure_from(error: Exception, *, component_folders: frozenset[Path] = frozenset()) -> CheckFailedError:
    """Turns any exception into a failure that names the file and line of the component that raised it.

    ``component_folders`` are those in which the components of the variant are defined.
    """
    if isinstance(error, CheckFailedError):
        return error
    message = " ".join(str(error).split())
    if isinstance(error, ContractError):
        return CheckFailedError(message.removesuffix(f" ({error.location})"), location=_relative(error.location))
    if not isinstance(error, ZooError):
        message = f"{type(error).__name__}: {message[:LONGEST_MESSAGE]}"
    return CheckFailedError(message, location=_crash_location(error, component_folders))


def _crash_location(error: Exception, component_folders: frozenset[Path]) -> str:
    """Returns ``file:line`` of the innermost frame in a third party's component, else in one of ours."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    if isinstance(chain[-1], SyntaxError) and chain[-1].filename:
        return _place(chain[-1].filename, chain[-1].lineno or 1)
    frames = [frame for each in reversed(chain) for frame in reversed(traceback.extract_tb(each.__traceback__))]
    third_party = [frame for frame in frames if _is_third_party(Path(frame.filename), component_folders)]
    ours = [frame for frame in frames if Path(frame.filename).parent in COMPONENT_FOLDERS]
    frame = next(iter([*third_party, *ours]), None)
    return "" if frame is None else _place(frame.filename, frame.lineno or 1)


def _is_third_party(file: Path, component_folders: frozenset[Path]) -> bool:
    if file.is_relative_to(PACKAGE) or str(file).startswith("<"):
        return False
    return file.parent in component_folders or not any(file.is_relative_to(folder) for folder in INSTALLED)


def _place(file: str, line: int) -> str:
    return _relative(f"{file}:{line}")


def _relative(location: str) -> str:
    return location.removeprefix(f"{Path.cwd()}/")
