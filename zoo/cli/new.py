"""``gqn-zoo new``."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from typing import Annotated

import typer

from zoo.config.settings import load_yaml, parse_yaml
from zoo.errors import ConfigError
from zoo.files import write_text, writing_directory
from zoo.registry.registry import default_registry

TEMPLATES = Path(__file__).parent / "templates"  # of files that are written
BASES = {"core": "cvae", "encoder": "gqn-tower-shared"}  # the variants from which new ones derive
VARIANT = """  {name}:
    base: {base}
    title: {title}
    status: extension
    {kind}: {{use: "{use}"}}
"""
REGISTRY = """# The variants of this folder. Settings that an entry leaves out are those of its base.
version: 1
variants:
"""


def run(
    kind: Annotated[str, typer.Argument(metavar="core|encoder|plugin", help="What to start.")],
    name: Annotated[str, typer.Argument(help="Of the new variant, or of the plug-in.")],
    folder: Annotated[Path, typer.Option("-o", "--output", help="Where to write it.")] = Path(),
) -> None:
    """Write a small, working start of a core, an encoder or a plug-in, which passes gqn-zoo check.

    core, encoder: NAME.py and a variant NAME in registry.yaml, both in the current folder. plugin: a Python package
    with a core, an encoder and a variant of each. Nothing is overwritten.
    """
    if kind not in (*BASES, "plugin"):
        raise ConfigError(f"new: found {kind!r}, expected core, encoder or plugin")
    module = _module_name(name, folder=folder)
    if kind == "plugin":
        _write_plugin(folder / name, name=name, module=module)
        typer.echo(f"Wrote {folder / name}. Next: pip install -e {folder / name} && gqn-zoo check {name}/core")
        return
    _write_component(folder, kind=kind, name=name, module=module)
    enter = "" if folder == Path() else f"cd {folder} && "
    typer.echo(f"Wrote {folder / (module + '.py')} and {folder / 'registry.yaml'}. Next: {enter}gqn-zoo check {name}")


def _module_name(name: str, *, folder: Path) -> str:
    """Returns the name of the Python module for a variant or plug-in."""
    if not re.fullmatch(r"[a-z][a-z0-9._-]*", name):
        raise ConfigError(
            f"NAME: found {name!r}, expected a lower-case letter, then lower-case letters, digits, '.', '_' and '-'"
        )
    module = re.sub(r"[.-]", "_", name)
    for path in (folder / f"{module}.py", folder / name):
        if path.exists():
            raise ConfigError(f"{path}: exists already; choose another name")
    if keyword.iskeyword(module) or importlib.util.find_spec(module) is not None:
        raise ConfigError(f"NAME: {module!r} is the name of a Python module or keyword already; choose another name")
    return module


def _template(file: str) -> str:
    return (TEMPLATES / f"{file}.txt").read_text(encoding="utf-8")


def _code(kind: str, *, class_name: str, name: str) -> str:
    text = _template(f"{kind}.py")
    return text.replace(f"My{kind.capitalize()}", class_name).replace("check NAME", f"check {name}")


def _entry(kind: str, *, name: str, use: str) -> str:
    title = f"{use.rpartition(':')[2]}, derived from {BASES[kind]}"
    return VARIANT.format(name=name, base=BASES[kind], title=title, kind=kind, use=use)


def _write_component(folder: Path, *, kind: str, name: str, module: str) -> None:
    """Writes a component's file, and its variant into the folder's registry file."""
    code, registry = folder / f"{module}.py", folder / "registry.yaml"
    class_name = "".join(word[:1].upper() + word[1:] for word in module.split("_"))
    if name in default_registry().names():
        raise ConfigError(f"NAME: {name!r} is a registered variant already; choose another name")
    entry = _entry(kind, name=name, use=f"./{code.name}:{class_name}")
    before = REGISTRY
    if registry.exists():
        variants = load_yaml(registry).get("variants") or {}
        if name in variants:
            raise ConfigError(f"{registry}: variants.{name}: exists already; choose another name")
        before = registry.read_text(encoding="utf-8").rstrip() + "\n\n"
        try:
            extended = parse_yaml(before + entry, file=str(registry))["variants"]
        except ConfigError:
            extended = {}
        if extended != {**variants, **parse_yaml(entry, file="entry")}:
            raise ConfigError(
                f"{registry}: variants: found no block of variants at the end of the file, with two spaces before each "
                f"name, to which {name!r} could be added; add it by hand, or choose another folder with -o"
            )
    write_text(code, _code(kind, class_name=class_name, name=name))
    write_text(registry, before + entry)


def _write_plugin(folder: Path, *, name: str, module: str) -> None:
    """Writes a package with a core, an encoder and a registry file."""
    entries = [_entry(kind, name=kind, use=f"{module}.{kind}:My{kind.capitalize()}") for kind in BASES]
    texts = {
        "__init__.py": f'"""Components for gqn-zoo; variants are called {name}/NAME."""\n',
        "registry.yaml": REGISTRY + "\n".join(entries),
        **{f"{kind}.py": _code(kind, class_name=f"My{kind.capitalize()}", name=f"{name}/{kind}") for kind in BASES},
    }
    with writing_directory(folder) as written:
        write_text(written / "pyproject.toml", _template("pyproject.toml").format(name=name, module=module))
        for file, text in texts.items():
            write_text(written / module / file, text)
