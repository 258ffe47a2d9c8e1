"""One version everywhere, bounds of dependencies, and what accompanies a release."""

import os
import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import zoo
from zoo.config.settings import load_yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS = {
    "": PROJECT["project"]["dependencies"],
    **PROJECT["project"]["optional-dependencies"],
}


def test_the_version_has_one_source():
    """The build reads zoo.__version__; what cannot import it says the same."""
    assert PROJECT["project"]["dynamic"] == ["version"] and "version" not in PROJECT["project"]
    source = ROOT / PROJECT["tool"]["hatch"]["version"]["path"]
    assert source.samefile(zoo.__file__)
    assert load_yaml(ROOT / "CITATION.cff")["version"] == zoo.__version__
    sections = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert sections[0] == zoo.__version__
    assert sections == sorted(sections, key=lambda text: tuple(map(int, text.split("."))), reverse=True)


@pytest.mark.parametrize("extra", REQUIREMENTS)
def test_every_requirement_has_a_lowest_and_a_highest_version(extra):
    for requirement in map(Requirement, REQUIREMENTS[extra]):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert ">=" in operators, requirement
        assert "<" in operators or requirement.name == "pillow", requirement  # which has no breaking releases


def test_an_extra_and_the_tests_ask_for_the_same_versions():
    found = {}
    for requirement in map(Requirement, [each for listed in REQUIREMENTS.values() for each in listed]):
        assert found.setdefault(requirement.name, requirement.specifier) == requirement.specifier, requirement


def test_the_constraints_of_the_lowest_versions_name_every_requirement():
    lower_bounds = runpy.run_path(str(ROOT / ".ci" / "lower_bounds.py"))["lower_bounds"]
    for extra in filter(None, REQUIREMENTS):
        pinned = {Requirement(line).name: line for line in lower_bounds(PROJECT["project"], [extra])}
        for requirement in map(Requirement, [*REQUIREMENTS[""], *REQUIREMENTS[extra]]):
            (lowest,) = Requirement(pinned[requirement.name]).specifier
            assert lowest.operator == "==" and requirement.specifier.contains(lowest.version), requirement


def test_the_tests_with_the_lowest_versions_exist():
    named = re.findall(r"tests/[\w/.]+", (ROOT / ".ci" / "lowest_versions").read_text())
    assert len(named) > 10 and [name for name in named if not (ROOT / name).exists()] == []


def test_an_audit_that_skips_packages_fails(tmp_path):
    """As pip-audit does it: with --strict a package that the service does not know is fatal, without it a line of output."""
    python = tmp_path / "python3"
    python.write_text(
        "#!/usr/bin/env bash\nmkdir $3/bin\nprintf '#!/bin/sh\\n' | tee $3/bin/pip > $3/bin/pip-audit\n"
        "echo 'case \"$*\" in *--strict*) exit 1;; esac' >> $3/bin/pip-audit\nchmod +x $3/bin/*\n"
    )
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([ROOT / ".ci" / "audit"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_issue_forms_are_valid(path):
    form = load_yaml(path)
    if path.stem == "config":
        assert set(form) == {"blank_issues_enabled", "contact_links"}
        return
    assert set(form) == {"name", "description", "labels", "body"}
    identifiers = [field["id"] for field in form["body"]]
    assert len(set(identifiers)) == len(identifiers)
    for field in form["body"]:
        assert field["type"] in {"input", "textarea", "checkboxes", "dropdown"}
        assert field["attributes"]["label"] and set(field) <= {"type", "id", "attributes", "validations"}
