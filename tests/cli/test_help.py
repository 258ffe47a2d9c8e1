import json

import pytest

import zoo
from zoo.registry.registry import default_registry

COMMANDS = [
    "list",
    "describe vae",
    "check vae",
    "quickstart",
    "train vae",
    "evaluate",
    "bench",
    "compare",
    "conclude",
    "report",
    "data",
    "data make",
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
        "check",
        "quickstart",
        "train",
        "evaluate",
        "bench",
        "compare",
        "conclude",
        "report",
        "data",
    ):
        assert f" {command} " in out


def test_the_version_is_printed(gqn_zoo):
    assert gqn_zoo("--version") == (0, f"gqn-zoo {zoo.__version__}\n", "")


def test_variants_are_listed_with_their_parts(gqn_zoo):
    code, out, err = gqn_zoo("list")
    assert (code, err) == (0, "")
    for name in default_registry().names():
        assert name in out
    only = gqn_zoo("list", "gqn-*", "--exclude", "*-tower*").out
    assert "gqn-pool" in only and "gqn-tower" not in only and "cvae" not in only


def test_listing_as_json_can_be_read_by_a_program(gqn_zoo):
    listed = json.loads(gqn_zoo("list --json").out)
    assert sorted(listed) == default_registry().names()
    assert listed["vae"]["core"] == "vae" and listed["vae"]["sizes"][0] == "full"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("encoder", "tower"), ("core", "gqn"), ("likelihood", "annealed_gaussian"), ("dataset", "rooms_ring_camera")],
)
def test_parts_and_data_sets_are_listed_one_a_line(gqn_zoo, kind, name):
    code, out, _ = gqn_zoo("list", "--kind", kind)
    assert code == 0 and name in out.splitlines() and out.splitlines() == sorted(out.splitlines())
    assert json.loads(gqn_zoo("list", "--kind", kind, "--json").out) == out.splitlines()


def test_a_variant_is_described_with_every_setting(gqn_zoo):
    code, out, err = gqn_zoo("describe gqn-tower --size smoke --set core.steps=3")
    assert (code, err) == (0, "")
    for line in ("core.steps = 3", "core.kernel_size = 3", "training.batch_size = 4", "training.beta.end = 1.0"):
        assert line in out
    config = json.loads(gqn_zoo("describe gqn-tower --size smoke --set core.steps=3 --json").out)["config"]
    assert config == default_registry().variant("gqn-tower", size="smoke", overrides=["core.steps=3"]).config()


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

    checks = {"shapes": lambda fixture: None, "scene independence": broken}
    monkeypatch.setattr(zoo.checks.runner, "CHECKS", MappingProxyType(checks))
    code, out, err = gqn_zoo("check vae")
    assert code == 1 and err == "gqn-zoo: 1 check(s) failed\n"
    assert out.splitlines() == [
        "vae: build: ok",
        "vae: shapes: ok",
        "vae: scene independence: failed: scene 0 changes with scene 1 (core.py:7)",
    ]
    code, out, err = gqn_zoo("check vae --json")
    assert code == 1
    assert [(record["check"], record["status"], record["location"]) for record in json.loads(out)] == [
        ("build", "ok", ""),
        ("shapes", "ok", ""),
        ("scene independence", "failed", "core.py:7"),
    ]


def test_a_traceback_is_shown_when_it_is_asked_for(monkeypatch):
    from zoo.cli.main import main
    from zoo.errors import RegistryError

    with pytest.raises(RegistryError):
        main(["--debug", "describe", "vea"])
