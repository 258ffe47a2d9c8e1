"""Imports go down the levels of the package; read from the code itself."""

import ast
from pathlib import Path

import pytest

from zoo.config.settings import load_yaml

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT / "zoo"

# From the bottom to the top: a module imports from lower levels, a folder of zoo also from itself.
LEVELS = (
    ("errors",),
    ("episode", "files", "provenance"),
    ("nn",),
    ("config",),
    ("results",),
    ("data",),
    ("model",),
    ("comparison",),
    ("registry",),
    ("encoders", "cores", "likelihoods"),
    ("evaluation",),
    ("checks",),
    ("figures",),
    ("training",),
    ("control",),
    ("bench",),
    ("analysis",),
    ("report", "viewer"),
    ("cli",),
    ("__main__",),
)
# The package itself imports lazily, inside its functions.
FRONT_DOOR = "__init__"


def modules():
    return {
        ".".join(path.relative_to(ZOO).with_suffix("").parts).removesuffix(".__init__") or FRONT_DOOR: path
        for path in sorted(ZOO.rglob("*.py"))
    }


MODULES = modules()


def level_of(module):
    return next(number for number, names in enumerate(LEVELS) if module.split(".")[0] in names)


def imports(path, *, only_when_imported=False):
    """Returns (module below zoo, line) for every import of a module of ours.

    Args:
        path: the file.
        only_when_imported: leaves out what stands in functions and under TYPE_CHECKING.
    """
    found = []

    def visit(node):
        if only_when_imported and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if only_when_imported and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide the level"
            # 'from zoo.data import plan' imports the module zoo.data.plan.
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            found.extend((name if name.removeprefix("zoo.") in MODULES else node.module, node.lineno) for name in full)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
    return [(name, line) for name, line in found]


def ours(path, **options):
    return [(name.removeprefix("zoo."), line) for name, line in imports(path, **options) if name.startswith("zoo.")]


def test_every_module_has_a_level():
    listed = {name.split(".")[0] for names in LEVELS for name in names}
    here = {module.split(".")[0] for module in MODULES} - {FRONT_DOOR}
    assert listed == here


@pytest.mark.parametrize("module", sorted(set(MODULES) - {FRONT_DOOR}))
def test_imports_go_to_lower_levels_or_to_siblings(module):
    package = module.split(".")[0]
    for target, line in ours(MODULES[module]):
        sibling = target.startswith(f"{package}.") or ("." in module and target == package)
        lower = level_of(target) < level_of(module)
        assert sibling or lower, f"{MODULES[module]}:{line}: {module} must not import {target}"


def test_tasks_know_cameras_and_nothing_else_of_data():
    assert {target for target, _ in ours(MODULES["model.tasks"]) if target.startswith("data")} == {
        "data.camera",
        "data.source",
    }


def test_nothing_goes_in_a_circle_when_it_is_imported():
    graph = {
        module: {target for target, _ in ours(path, only_when_imported=True) if target in MODULES}
        for module, path in MODULES.items()
    }
    done = set()

    def visit(module, chain):
        assert module not in chain, " -> ".join([*chain, module])
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, [*chain, module])
            done.add(module)

    for module in graph:
        visit(module, [])


def test_the_front_door_imports_nothing_of_the_house_when_it_is_imported():
    assert ours(MODULES[FRONT_DOOR], only_when_imported=True) == []
    assert {target for target, _ in ours(MODULES[FRONT_DOOR])} >= {"registry.registry", "training.trained_model"}


def test_the_house_imports_neither_tests_nor_benchmarks():
    for path in MODULES.values():
        for name, line in imports(path):
            assert name.split(".")[0] not in {"tests", "benchmarks", "pytest", "hypothesis"}, f"{path}:{line}"


def test_a_module_that_looks_upwards_is_found(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from zoo import registry\n"
        "def f():\n    import zoo.cli.main\nfrom zoo.model.scene_model import SceneModel\nfrom zoo.data import plan\n"
    )
    assert ours(path) == [("registry", 3), ("cli.main", 5), ("model.scene_model", 6), ("data.plan", 7)]
    assert ours(path, only_when_imported=True) == [("model.scene_model", 6), ("data.plan", 7)]


def test_no_name_of_a_variant_stands_where_all_variants_are_treated_alike():
    names = set(load_yaml(ROOT / "registry.yaml")["variants"])
    assert {"vae", "gqn-tower"} <= names
    paths = [*(ZOO / "model").rglob("*.py"), *(ZOO / "training").rglob("*.py"), *(ZOO / "evaluation").rglob("*.py")]
    assert len(paths) > 5
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = set()
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = {node.value, node.value.lower()}
            elif isinstance(node, ast.Name):
                words = {node.id.lower()}
            elif isinstance(node, ast.Attribute):
                words = {node.attr.lower()}
            assert not words & names, f"{path}:{node.lineno}: names the variant {words & names}"
