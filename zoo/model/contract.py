"""The classes of components: what their interface demands, where they are defined, which one a module defines."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import ClassVar, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from zoo.errors import RegistryError
from zoo.model.interfaces import Component

ComponentType = TypeVar("ComponentType", bound=Component)


class ContractError(RegistryError):
    """A class lacks something of its interface.

    Attributes:
        location: ``file:line`` of the class.
    """

    def __init__(self, message: str, *, location: str) -> None:
        super().__init__(message)
        self.location = location


def contract_problems(component: type[Component], /) -> list[str]:
    """Returns what a class lacks of its interface: abstract methods, and attributes missing or of the wrong type."""
    problems = [f"does not implement {name}()" for name in sorted(getattr(component, "__abstractmethods__", ()))]
    bases = [base for base in component.__mro__ if base.__module__ == Component.__module__]
    for name, annotation in (
        item for base in reversed(bases) for item in inspect.get_annotations(base, eval_str=True).items()
    ):
        if get_origin(annotation) is not ClassVar:
            continue
        if not hasattr(component, name):
            problems.append(f"lacks the class attribute {name!r}")
            continue
        value = getattr(component, name)
        try:
            TypeAdapter(get_args(annotation)[0]).validate_python(value)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            problems.append(f"declares {name} = {value!r}: {reason[:1].lower()}{reason[1:]}")
    return problems


def source_of(component: type[Component], /) -> str:
    """Returns ``file:line`` of the definition of a class, or its module where the source is not known."""
    try:
        return f"{inspect.getsourcefile(component)}:{inspect.getsourcelines(component)[1]}"
    except (OSError, TypeError):
        return component.__module__


def find_unique_subclass(module: ModuleType, kind: type[ComponentType], /) -> type[ComponentType]:
    """Returns the one concrete class derived from ``kind`` that a module defines.

    Raises:
        LookupError: if it defines none or several.
    """
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, kind)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if len(found) != 1:
        raise LookupError(
            f"{module.__name__} defines {len(found)} classes derived from {kind.__name__}, expected exactly one"
        )
    return found[0]
