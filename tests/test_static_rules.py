"""What no file of the program may do, read from the code itself: nothing that was loaded is ever executed."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*(ROOT / "zoo").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.spawnl"}


def keyword(call, name):
    for given in call.keywords:
        if given.arg == name:
            return given.value.value if isinstance(given.value, ast.Constant) else ...
    return None


def faults(source):
    """Returns a sentence for everything in a source text that is not allowed."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"imports {alias.name}" for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
                found.append(f"imports {node.module}")
            loads = [alias.name for alias in node.names if alias.name in ("load", "system", "popen")]
            if node.module in ("torch", "numpy", "os") and loads:
                found.append(f"imports {loads[0]} from {node.module} by its bare name")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN_CALLS:
                found.append(f"calls {name}")
            if name == "torch.load" and keyword(node, "weights_only") is not True:
                found.append("calls torch.load without weights_only=True")
            if name in ("np.load", "numpy.load") and keyword(node, "allow_pickle") is not False:
                found.append("calls np.load without allow_pickle=False")
            if name == "YAML" and keyword(node, "typ") != "safe":
                found.append("makes a YAML loader that is not safe")
            if keyword(node, "allow_pickle") not in (None, False):
                found.append(f"passes allow_pickle=True to {name}")
            if keyword(node, "shell") not in (None, False):
                found.append(f"passes shell to {name}")
            if name.split(".")[-1] == "extractall" and keyword(node, "filter") != "data":
                found.append("extracts an archive without filter='data'")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_was_loaded_is_executed(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import _pickle as p",
        "from dill import load",
        "import yaml",
        "from yaml import load",
        "eval('1')",
        "exec(text)",
        "compile(text, 'f', 'exec')",
        "__import__('os')",
        "os.system('ls')",
        "from os import system",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "from torch import load",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.savez(path, allow_pickle=True)",
        "subprocess.run('ls', shell=True)",
        "subprocess.Popen(text, shell=flag)",
        "YAML()",
        "YAML(typ='unsafe')",
        "archive.extractall(folder)",
    ],
)
def test_each_rule_finds_its_fault(source):
    assert faults(source)


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "subprocess.run(['ls'], shell=False)",
        "YAML(typ='safe', pure=True)",
        "model.eval()",
        "torch.compile(model)",
        "re.compile('x')",
        "from safetensors.torch import load_file",
    ],
)
def test_what_is_harmless_is_let_through(source):
    assert faults(source) == []


def test_there_is_something_to_look_at():
    assert len(FILES) > 60
