import json

import pytest

import zoo

COMMANDS = [
    "list",
    "describe vae",
    "doctor",
    "cards",
    "check vae",
    "quickstart",
    "train vae",
    "evaluate",
    "export",
    "push",
    "pull",
    "bench",
    "compare",
    "diff",
    "claims",
    "report",
    "analyse",
    "view",
    "data",
    "data make",
    "data import",
    "data show",
    "data inspect",
    "data convert",
    "data episodes",
]


@pytest.mark.parametrize("command", ["", *(command.removesuffix(" vae") for command in COMMANDS)])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself(gqn_zoo, command, option):
    code, out, err = gqn_zoo(*command.split(), option)
    assert code == 0 and err == ""
    assert "Usage:" in out and len(out.splitlines()) > 5


def test_the_help_names_every_command(gqn_zoo):
    out = gqn_zoo("--help").out
    for command in (
        "list",
        "describe",
        "doctor",
        "cards",
        "check",
        "quickstart",
        "train",
        "evaluate",
        "export",
        "push",
        "pull",
        "bench",
        "compare",
        "diff",
        "claims",
        "report",
        "analyse",
        "view",
        "data",
    ):
        assert f" {command} " in out


def test_the_version_is_printed(gqn_zoo):
    assert gqn_zoo("--version") == (0, f"gqn-zoo {zoo.__version__}\n", "")


def test_a_variant_is_checked(gqn_zoo):
    from zoo.checks.runner import CHECKS

    code, out, err = gqn_zoo("check vae")
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"vae: {title}: ok" for title in ("build", *CHECKS)]


def test_a_variant_that_breaks_the_contract_exits_with_code_1(gqn_zoo, monkeypatch):
    from types import MappingProxyType

    import zoo.checks.runner
    from zoo.checks.failures import CheckFailedError

    def broken(fixture):
        raise CheckFailedError("scene 0 changes with scene 1", location="core.py:7")

    checks = {"shapes": lambda fixture: None, "scene independence": broken, "padding": broken}
    monkeypatch.setattr(zoo.checks.runner, "CHECKS", MappingProxyType(checks))
    code, out, err = gqn_zoo("check vae")
    assert code == 1 and err == "gqn-zoo: 2 check(s) failed\n"
    assert out.splitlines() == [
        "vae: build: ok",
        "vae: shapes: ok",
        "vae: scene independence: failed: scene 0 changes with scene 1 (core.py:7)",
        "vae: padding: failed: as in scene independence (core.py:7)",
    ]
    code, out, err = gqn_zoo("check vae --json")
    assert code == 1
    assert [(record["check"], record["status"], record["location"]) for record in json.loads(out)] == [
        ("build", "ok", ""),
        ("shapes", "ok", ""),
        ("scene independence", "failed", "core.py:7"),
        ("padding", "failed", "core.py:7"),
    ]


def test_debug_prints_the_traceback(monkeypatch):
    from zoo.cli.main import main
    from zoo.errors import RegistryError

    with pytest.raises(RegistryError):
        main(["--debug", "describe", "vea"])
