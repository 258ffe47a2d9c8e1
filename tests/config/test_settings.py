import os
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import Field

from zoo.config.recipe import Range, Schedule, TrainingRecipe
from zoo.config.settings import (
    MAXIMUM_BYTES,
    MAXIMUM_DEPTH,
    Settings,
    load_yaml,
    merge,
    parse,
    parse_overrides,
    parse_yaml,
)
from zoo.errors import ConfigError, RegistryError
from zoo.registry.registry import Registry, variant_from_config
from zoo.registry.sources import RegistryFile


class Inner(Settings):
    rate: float = Field(default=0.5, gt=0)
    names: list[str] = Field(default=[])


class Outer(Settings):
    steps: int
    enabled: bool = False
    label: str = "x"
    inner: Inner = Inner()
    maybe: Inner | None = None


def refused(values, *, settings_class=Outer):
    with pytest.raises(ConfigError) as caught:
        parse(settings_class, values, file="some.yaml", path="variants.x")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("some.yaml: variants.x")
    return message


def test_valid_settings_keep_their_types_and_are_frozen():
    made = parse(Outer, {"steps": 3, "inner": {"rate": 2}}, file="f")
    assert (made.steps, made.inner.rate, made.maybe) == (3, 2.0, None)
    with pytest.raises(ValueError, match="frozen"):
        made.steps = 4


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"steps": 1, "enabeld": True}, ["variants.x.enabeld", "unknown key 'enabeld'", "did you mean 'enabled'"]),
        ({"steps": 1, "inner": {"rat": 1}}, ["variants.x.inner.rat", "unknown key 'rat'", "did you mean 'rate'"]),
        ({"steps": 1, "maybe": {"naems": []}}, ["variants.x.maybe.naems", "did you mean 'names'"]),
        ({}, ["variants.x.steps", "missing"]),
        ({"steps": True}, ["variants.x.steps", "True", "bool", "integer"]),
        ({"steps": "12"}, ["variants.x.steps", "'12'", "str", "integer"]),
        ({"steps": 1.5}, ["variants.x.steps", "1.5", "float", "integer"]),
        ({"steps": 1, "inner": {"rate": "1e-3x"}}, ["variants.x.inner.rate", "'1e-3x'", "str", "number"]),
        ({"steps": 1, "inner": {"rate": True}}, ["variants.x.inner.rate", "bool", "number"]),
        ({"steps": 1, "inner": {"rate": float("nan")}}, ["variants.x.inner.rate", "finite"]),
        ({"steps": 1, "inner": {"rate": float("inf")}}, ["variants.x.inner.rate", "finite"]),
        ({"steps": 1, "inner": {"rate": 0}}, ["variants.x.inner.rate", "greater than 0"]),
        ({"steps": 1, "inner": {"names": ["a", 2]}}, ["variants.x.inner.names.1", "2", "string"]),
        ({"steps": 1, "enabled": "False"}, ["variants.x.enabled", "'False'", "str", "boolean"]),
        ({"steps": 1, "label": None}, ["variants.x.label", "None"]),
        ({"steps": 1, "inner": 5}, ["variants.x.inner", "5"]),
        ({"steps": 1, 7: 1}, ["variants.x"]),
    ],
)
def test_a_wrong_value_is_named_with_file_path_found_and_expected(values, parts):
    message = refused(values)
    for part in parts:
        assert part in message


def test_a_rule_of_a_class_is_told_in_its_own_words():
    message = refused({"minimum": 5, "maximum": 2}, settings_class=Range)
    assert "minimum (5) not above maximum (2)" in message
    message = refused({"batch_size": 10, "gradient_accumulation": 3}, settings_class=TrainingRecipe)
    assert "batch_size (10)" in message and "gradient_accumulation (3)" in message


@pytest.mark.parametrize("betas", [[1.5, 0.9], [0.9, 1.0], [-0.1, 0.9], [0.9]])
def test_betas_of_which_adam_makes_no_average_are_refused(betas):
    """torch refuses them only when the optimiser is made, with an error that names neither file nor field."""
    message = refused({"optimizer": {"betas": betas}}, settings_class=TrainingRecipe)
    assert "variants.x.optimizer.betas" in message


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"importance_samples": 4}, "importance_samples (4) 1 with objective 'elbo'"),
        (
            {"objective": "importance_weighted", "free_bits": 2.0},
            "free_bits (2) 0 with objective 'importance_weighted'",
        ),
        ({"objective": "maximum_likelihood", "beta": {"start": 0.0}}, "beta 1 throughout with objective 'maximum"),
        (
            {"objective": "maximum_likelihood", "beta": {"steps": 9, "middle": {"step": 5, "value": 3.0}}},
            "beta 1 throughout with objective 'maximum",
        ),
        (
            {"objective": "maximum_likelihood", "beta": {"steps": 9, "levels": [{"step": 5, "value": 3.0}]}},
            "beta 1 throughout with objective 'maximum",
        ),
    ],
)
def test_settings_that_another_objective_ignores_are_refused(values, part):
    assert part in refused(values, settings_class=TrainingRecipe)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x: 1e-3", 1e-3),
        ("x: 1.0e-3", 1e-3),
        ("x: 5E+4", 5e4),
        ("x: on", "on"),
        ("x: off", "off"),
        ("x: yes", "yes"),
        ("x: no", "no"),
        ("x: NO", "NO"),
        ("x: true", True),
        ("x: 010", 10),
        ("x: 1:30", "1:30"),
        ("x:", None),
    ],
)
def test_yaml_is_version_1_2(text, value):
    found = parse_yaml(text, file="f")["x"]
    assert found == value and type(found) is type(value)


def test_a_directive_cannot_bring_back_version_1_1():
    with pytest.raises(ConfigError, match=r"f: line 2: found another version of YAML, expected 1\.2"):
        parse_yaml("%YAML 1.1\n---\nx: on\n", file="f")
    assert parse_yaml("%YAML 1.2\n---\nx: on\n", file="f") == {"x": "on"}


def write(path, contents):
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return path


@pytest.mark.parametrize(
    ("contents", "part"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: found duplicate key"),
        ("a:\n  b: 1\n  b: 1\n", "line 3: found duplicate key"),
        ("a: &x [1]\nb: *x\n", "line 2: YAML aliases"),
        ("a: [1, 2\nb: 3\n", "line 2: is not valid YAML"),
        ("a: 1\n---\nb: 2\n", "is not valid YAML"),
        ("- 1\n- 2\n", "top level: found list, expected a mapping"),
        ("just text", "top level: found str, expected a mapping"),
        ("", "top level: found NoneType, expected a mapping"),
        (b"a: \xff\xfe\n", "is not a text file in UTF-8"),
        (b"a: \x00\n", "is not valid YAML"),
        ("a: 2001-99-99\n", "is not valid YAML"),
        ("{[1]: 2}\n", "key (1,): found tuple, expected a word"),
        ("? {a: 1}\n: 2\n", ": "),
        ("a: {b: [{1: 2}]}\n", "key 1: found int, expected a word"),
        ("true: 1\n", "key True: found bool, expected a word"),
        ("a: !!str 1\n", "line 1: YAML tags"),
        ("a: " + "[" * (MAXIMUM_DEPTH + 1) + "]" * (MAXIMUM_DEPTH + 1), "nested deeper"),
        ("{a: " * 2000 + "1" + "}" * 2000, "nested deeper"),
        ("a: " + "[" * 100_000, "nested deeper"),
        ("a: " + "9" * 5000, "is not valid YAML"),
        ("#" * (MAXIMUM_BYTES + 1), f"at most {MAXIMUM_BYTES}"),
    ],
)
def test_a_file_that_is_not_plain_settings_is_refused_by_name_and_place(tmp_path, contents, part):
    path = write(tmp_path / "x.yaml", contents)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert str(caught.value).startswith(f"{path}: ") and part in str(caught.value)


def test_the_deepest_nesting_allowed_is_read():
    inner = MAXIMUM_DEPTH - 1
    value = parse_yaml("a: " + "[" * inner + "1" + "]" * inner, file="f")["a"]
    for _ in range(inner - 1):
        value = value[0]
    assert value == [1]


def test_a_bomb_of_aliases_is_refused_before_it_expands():
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 12))
    with pytest.raises(ConfigError, match="aliases"):
        parse_yaml(f"l0: &l0 [x, x]\n{levels}\n", file="f")


PAYLOADS = [
    "!!python/object/apply:os.system ['touch {0}']",
    "!!python/object/new:os.system ['touch {0}']",
    "!!python/object/apply:subprocess.check_output [['touch', '{0}']]",
    "!!python/object/apply:builtins.open ['{0}', 'w']",
    "!!python/object/new:type {{args: ['z', !!python/tuple [], {{'extend': !!python/name:exec }}], listitems: \"open('{0}','w')\"}}",
    "!!python/module:antigravity",
    "!!python/name:os.system",
    "!!python/object:zoo.files.write_text {{target: '{0}', text: x}}",
    "!!python/object/apply:zoo.files.write_text ['{0}', 'x']",
    "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {0}']",
    "!!python/object/apply:eval [\"open('{0}','w')\"]",
    "!Loader {{file: '{0}'}}",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_runs_nothing(tmp_path, payload):
    target = tmp_path / "owned"
    path = write(tmp_path / "evil.yaml", "a: " + payload.format(target) + "\n")
    with pytest.raises(ConfigError, match="YAML tags"):
        load_yaml(path)
    with pytest.raises(ConfigError, match="YAML tags"):
        parse_overrides([f"core.steps={payload.format(target)}"])
    assert not target.exists()


def test_what_is_not_a_readable_file_is_refused(tmp_path):
    for path, reason in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as caught:
            load_yaml(path)
        assert str(caught.value).startswith(f"{path}: cannot be read") and reason in str(caught.value)
    if os.geteuid() != 0:
        path = write(tmp_path / "secret.yaml", "a: 1")
        path.chmod(0)
        with pytest.raises(ConfigError, match="Permission denied"):
            load_yaml(path)


def test_overrides_become_a_nested_mapping():
    found = parse_overrides(
        ["core.steps=8", "core.shared=true", "training.beta.end=5e-1", "a=[1, x]", "b=", "c= y = z"]
    )
    assert found == {
        "core": {"steps": 8, "shared": True},
        "training": {"beta": {"end": 0.5}},
        "a": [1, "x"],
        "b": None,
        "c": "y = z",
    }


@pytest.mark.parametrize(
    ("items", "part"),
    [
        (["core.steps"], "--set core.steps: expected key=value"),
        (["=8"], "expected key=value"),
        (["core..steps=8"], "expected key=value"),
        ([".steps=8"], "expected key=value"),
        (["core.=8"], "expected key=value"),
        (["core.steps=8", "core.steps=8"], "is set twice"),
        (["core=5", "core.steps=8"], "'core' was set to a value by an earlier --set"),
        (["core.steps=8", "core={steps: 9}"], "is set twice"),
        (["core.steps=[1"], "--set core.steps=[1: line 1: is not valid YAML"),
        (["core.steps=&a [*a]"], "aliases"),
    ],
)
def test_a_wrong_override_is_told_as_it_was_written(items, part):
    with pytest.raises(ConfigError) as caught:
        parse_overrides(items)
    assert part in str(caught.value)
    assert str(caught.value).startswith(f"--set {items[-1]}")


@pytest.mark.parametrize("word", ["False", "false", "FALSE"])
def test_a_switch_that_is_set_to_false_is_false(word):
    """Of any text but the empty one, Python's own bool is True."""
    assert parse(Outer, {"steps": 1, **parse_overrides([f"enabled={word}"])}, file="f").enabled is False


@pytest.mark.parametrize("word", ["no", "off", "0", "None", "''"])
def test_a_switch_that_is_set_to_another_word_is_refused(word):
    assert "variants.x.enabled" in refused({"steps": 1, **parse_overrides([f"enabled={word}"])})


def test_merging_goes_mapping_by_mapping_and_leaves_its_arguments_alone():
    base = {"core": {"use": "gqn", "steps": 1, "deep": {"a": 1, "b": 2}}, "x": 1, "y": [1]}
    changes = {"core": {"deep": {"b": 3}}, "y": [2], "z": 4}
    assert merge(base, changes) == {
        "core": {"use": "gqn", "steps": 1, "deep": {"a": 1, "b": 3}},
        "x": 1,
        "y": [2],
        "z": 4,
    }
    assert base["core"]["deep"] == {"a": 1, "b": 2} and changes["core"] == {"deep": {"b": 3}}


def test_another_class_replaces_a_component_and_the_same_one_keeps_its_settings():
    base = {"core": {"use": "gqn", "steps": 1}}
    assert merge(base, {"core": {"use": "vae"}}) == {"core": {"use": "vae"}}
    assert merge(base, {"core": {"use": "gqn", "z": 2}}) == {"core": {"use": "gqn", "steps": 1, "z": 2}}


def only_user_errors(action, /, *arguments, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return action(*arguments, **named)
        except (ConfigError, RegistryError) as error:
            assert str(error).strip()
            return None


YAML_CHARACTERS = st.text(alphabet="ab1 .-:,[]{}!&*?|>'\"%#@`~\n\t\\<=0xeé\ufeff\u2028", max_size=60)
TOKENS = (
    "a b 1 1e-3 . - : , [ ] { } ! !! & * ? | > ' % # @ << = ~ null --- ... !!int !!float !!timestamp !!binary !!omap !!set "
    "!!pairs !!bool !!null !!seq !!map !!str !!merge %YAML 0x 0o 2001-01-01 12:30:00Z .nan -.inf +12e03"
)
FRAGMENTS = st.lists(
    st.sampled_from([*TOKENS.split(), '"', "\t", "\\", " ", "  ", "\n", "\n  ", ": ", "- "]),
    max_size=25,
).map("".join)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.one_of(YAML_CHARACTERS, FRAGMENTS))
@example("? [a]\n: 1")
@example("!!omap {a: 1}")
@example("!!set [1]")
@example("!!timestamp x")
@example("!!int ''")
@example("!!float ''")
@example("!!bool x")
@example("%YAML 9.9\n---\na: 1")
@example("<<: [1]")
@example("{<<: {a: 1}, a: 2}")
def test_fuzz_of_yaml_text_gives_values_or_config_errors(text):
    only_user_errors(parse_yaml, text, file="fuzz.yaml")
    only_user_errors(parse_overrides, [text])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70) | st.integers() | st.floats() | st.text(max_size=4) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["use", "base"]), inner, max_size=3)
    ),
    max_leaves=8,
)
CONFIG = {
    "variant": "vae",
    "size": "smoke",
    "task": {"use": "render"},
    "encoder": {"use": "none"},
    "core": {"use": "vae", "z_channels": 8, "channels": 8},
    "likelihood": {"use": "annealed_gaussian"},
    "image_size": 16,
    "training": {"steps": 4, "batch_size": 4},
}


def places(value, prefix=()):
    yield prefix
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*prefix, key))


def with_value_at(value, place, new):
    if not place:
        return new
    return {**value, place[0]: with_value_at(value[place[0]], place[1:], new)}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(place=st.sampled_from([place for place in places(CONFIG) if place]), new=VALUES)
@example(place=("variant",), new="not-registered")
@example(place=("image_size",), new=2)
@example(place=("image_size",), new=10**30)
def test_any_value_anywhere_in_a_runs_configuration_is_taken_or_refused(place, new):
    config = with_value_at(CONFIG, place, new)
    only_user_errors(variant_from_config, config, file="config.yaml")
    only_user_errors(variant_from_config, {**config, "variant": "of-somebody-else"}, file="config.yaml")


REGISTRY = {
    "version": 1,
    "variants": {
        "one": {
            **{key: CONFIG[key] for key in ("task", "encoder", "core", "likelihood", "image_size", "training")},
            "title": "One",
            "paper": "",
            "status": "extension",
            "sizes": {"smoke": {"core": {"channels": 4}, "image_size": 8}},
        },
        "two": {"base": "one"},
    },
}


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.sampled_from(list(places(REGISTRY))), new=VALUES)
@example(place=("variants", "one", "sizes", "smoke"), new={"core": {"use": 3}})
@example(place=("variants", "one", "sizes"), new={"smoke": {"training": {"steps": None}}})
@example(place=("variants", "two"), new={"base": 5})
def test_any_value_anywhere_in_a_registry_is_taken_or_refused(monkeypatch, place, new):
    contents = with_value_at(REGISTRY, place, new)
    monkeypatch.setattr("zoo.registry.sources.load_yaml", lambda path: contents if isinstance(contents, dict) else {})

    def read():
        registry = Registry([RegistryFile(path=Path("fuzz.yaml"))])
        for name in registry.names():
            registry.variant(name)
            only_user_errors(registry.variant, name, size="smoke")

    only_user_errors(read)


def test_schedules_refuse_what_cannot_be_annealed():
    assert "steps" in refused({"start": 1.0, "end": 1.0, "steps": -1}, settings_class=Schedule)
    assert "start" in refused({"start": 0, "end": 1.0, "steps": 1}, settings_class=Schedule)
