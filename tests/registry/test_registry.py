import importlib
import json
import subprocess
import sys
import types

import pytest
from registry_entry import ENTRY

import zoo
from zoo.config.settings import Settings
from zoo.errors import ConfigError, RegistryError
from zoo.model.interfaces import Encoder, LatentCore, Likelihood, RepresentationShape, Task
from zoo.registry.components import KINDS, available, find_component
from zoo.registry.registry import Registry, default_registry, variant_from_config
from zoo.registry.sources import RegistryFile, registry_path
from zoo.registry.variant import FULL, build, resolve
from zoo.training.run import to_yaml

OURS = Registry([RegistryFile(path=registry_path(), prefix="")])
EVERYTHING = [(name, size) for name in OURS.names() for size in (FULL, *OURS.entry(name)[0].sizes)]
ONE = f"version: 1\nvariants:\n  one:\n{ENTRY}"


def registry_of(tmp_path, text, *, prefix=""):
    path = tmp_path / "registry.yaml"
    path.write_text(text)
    return Registry([RegistryFile(path=path, prefix=prefix)])


def refusal(action, /, *arguments, error=(RegistryError, ConfigError), **named):
    with pytest.raises(error) as caught:
        action(*arguments, **named)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("name", "size"), EVERYTHING)
def test_every_variant_of_ours_resolves_at_every_size(name, size):
    variant = OURS.variant(name, size=size)
    assert set(resolve(variant)) == set(KINDS)
    assert variant.paper and variant.title


@pytest.mark.parametrize(("name", "size"), EVERYTHING)
def test_no_variant_of_ours_is_trained_by_another_weight_of_the_kl(name, size):
    """Public code trains with a weight of 0.001 or 0.5 and keeps the name of the paper."""
    beta = OURS.variant(name, size=size).training.beta
    assert beta.end == 1.0
    if size == FULL and OURS.entry(name)[0].status == "paper":
        assert beta.start == 1.0 and beta.middle is None and not beta.levels


def test_variants_of_the_gqn_paper_have_its_schedules():
    """Annealed ten times too fast, or to 0.4, it is another recipe."""
    ours = [name for name in OURS.names() if OURS.entry(name)[0].paper.startswith("Eslami et al. 2018")]
    recipes = [OURS.variant(name).training for name in ours if OURS.entry(name)[0].status == "paper"]
    assert len(recipes) > 3
    for recipe in recipes:
        assert (recipe.sigma.start, recipe.sigma.end, recipe.sigma.steps) == (2.0, 0.7, 200_000)
        rate = recipe.learning_rate
        assert (rate.start, rate.end, rate.steps, rate.warm_up) == (5e-4, 5e-5, 1_600_000, 0)


@pytest.mark.parametrize("name", OURS.names())
def test_every_variant_of_ours_has_a_smoke_size_that_is_small_and_builds(name):
    variant = OURS.variant(name, size="smoke")
    assert sum(parameter.numel() for parameter in build(variant).parameters()) < 12_000_000
    assert variant.image_size <= 32 and variant.training.steps <= 10


@pytest.mark.parametrize(("name", "size"), EVERYTHING)
def test_a_variant_survives_its_own_configuration_on_disk(tmp_path, name, size):
    from zoo.config.settings import load_yaml

    variant = OURS.variant(name, size=size)
    config = variant.config()
    assert json.loads(json.dumps(config)) == config, "configurations are plain values"
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    again = variant_from_config(load_yaml(path), file=str(path))
    assert again.config() == config
    assert (again.title, again.paper) == (variant.title, variant.paper)
    for kind in KINDS:
        settings = type(resolve(variant)[kind].config).model_fields
        assert set(config[kind]) == {"use", *settings}, "defaults are written out"


def test_names_match_patterns_and_are_sorted():
    names = OURS.names()
    assert names == sorted(names) and "vae" in names
    assert OURS.names("vae") == ["vae"]
    assert all(name.startswith("gqn-") for name in OURS.names("gqn-*"))
    assert "gqn-tower" not in OURS.names("gqn-*", exclude="*-tower")
    assert OURS.names("nothing-*") == []


def test_an_unknown_name_or_size_is_answered_with_the_nearest():
    assert "did you mean 'gqn-tower'" in refusal(lambda: OURS.entry("gqn-towr"), error=RegistryError)
    assert "did you mean 'smoke'" in refusal(lambda: OURS.variant("vae", size="smok"), error=RegistryError)
    assert "known are full" in refusal(lambda: OURS.variant("vae", size="zzz"), error=RegistryError)


def test_the_registry_cannot_be_changed_through_what_it_returns():
    entry, _ = OURS.entry("vae")
    with pytest.raises(ValueError, match="frozen"):
        entry.image_size = 5
    with pytest.raises(ValueError, match="frozen"):
        OURS.variant("vae").image_size = 5
    before = OURS.variant("vae", size="smoke").config()
    changed = OURS.variant("vae", size="smoke", overrides=["core.channels=12", "training.beta.end=0.5"])
    changed.core.settings["z_channels"] = -1
    assert changed.training.beta.end == 0.5
    assert OURS.variant("vae", size="smoke").config() == before


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (ONE + f"  one:\n{ENTRY}", 'duplicate key "one"'),
        (ONE + "  two: {base: on}\n", "variants.two.base: there is no variant 'on'; did you mean 'one'?"),
        (ONE + "  two: {base: three}\n  three: {base: two}\n", "base is circular: two -> three -> two"),
        (ONE + "  two: {base: two}\n", "base is circular: two -> two"),
        (ONE + "  two: {base: [one]}\n", "variants.two.base: found ['one'], expected the name of a variant"),
        (ONE + "  two: 5\n", "variants.two: found int, expected a mapping"),
        (ONE + "  two: {base: one, tilte: x}\n", "variants.two.tilte: unknown key 'tilte'; did you mean 'title'?"),
        (ONE + "  two: {base: one, status: best}\n", "variants.two.status: found 'best'"),
        (ONE + "  two: {base: one, image_size: 2}\n", "variants.two.image_size"),
        (ONE + "  two: {base: one, training: {step: 1}}\n", "variants.two.training.step: unknown key"),
        (ONE + "  two: {title: x}\n", "variants.two.task: this key is missing"),
        (ONE + "  Two: {base: one}\n", "'Two' is not a name"),
        (ONE + "  a/b: {base: one}\n", "'a/b' is not a name"),
        (ONE + "  '<script>': {base: one}\n", "is not a name"),
        (ONE + "  '1': {base: one}\n  2: {base: one}\n", "key 2: found int, expected a word"),
        (ONE.replace("version: 1", "version: 2"), "version: found 2, expected 1"),
        (ONE.replace("version: 1\n", ""), "version: found None, expected 1"),
        (ONE + "variant: {}\n", "unknown key 'variant'; did you mean 'variants'"),
        ("version: 1\n", "variants: found NoneType"),
        ("version: 1\nvariants: {}\n", "variants: found dict"),
        ("version: 1\nvariants: [one]\n", "variants: found list"),
    ],
)
def test_a_wrong_file_or_entry_is_refused_by_name_and_place(tmp_path, text, part):
    message = refusal(lambda: registry_of(tmp_path, text).entry("two"))
    assert part in message and str(tmp_path / "registry.yaml") in message


def test_the_same_name_in_two_files_is_refused_with_both_origins(tmp_path):
    files = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "registry.yaml"
        path.write_text(ONE)
        files.append(RegistryFile(path=path, prefix=""))
    message = refusal(lambda: Registry(files), error=RegistryError)
    assert "'one' is registered already" in message
    assert all(str(file.path) in message for file in files)


def test_the_nearest_ancestor_wins(tmp_path):
    registry = registry_of(
        tmp_path,
        ONE
        + "  two: {base: one, title: Two, core: {channels: 16}}\n"
        + "  three: {base: two, core: {use: cvae}, encoder: {use: tower, channels: 16}, training: {beta: {end: 0.5}}}\n",
    )
    assert registry.variant("two").core.settings == {"z_channels": 8, "channels": 16}
    three = registry.variant("three")
    assert three.title == "Two"
    assert three.core.settings == {}, "settings of one class mean nothing to another"
    assert three.training.beta.end == 0.5 and three.training.steps == 4
    registry = registry_of(
        tmp_path,
        ONE + "  two: {base: one, core: {channels: 16}}\n  three: {base: two, core: {use: vae, z_channels: 4}}\n",
    )
    assert registry.variant("three").core.settings == {"z_channels": 4, "channels": 16}, "the same class is named again"


def variant_of(tmp_path, *overrides):
    return registry_of(tmp_path, ONE).variant("one", overrides=overrides)


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (
            ["encoder.use=tower"],
            "core 'vae' ignores the context, so that encoder 'tower' would never be trained",
        ),
        (
            ["core={use: gqn, steps: 2}"],
            "core 'gqn' needs a pooled representation, which encoder 'none' does not offer",
        ),
        (["core={use: gnq}"], "core.use: there is no core 'gnq'; did you mean 'gqn'"),
        (["encoder.use=towr"], "encoder.use: there is no encoder 'towr'; did you mean 'tower'?"),
        (["task.use=rendr"], "task.use: there is no task 'rendr'; did you mean 'render'"),
        (["likelihood.use=annealed"], "likelihood.use: there is no likelihood 'annealed'"),
        (["core.use=../model"], "there is no core '../model'"),
        (["core.use=__init__"], "there is no core '__init__'"),
        (["core.use='no_such_module:Core'"], "cannot be imported"),
        (["core.use='zoo.cores.vae:Nothing'"], "cannot be imported"),
        (["core.use='zoo.cores.vae:'"], "cannot be imported"),
        (["core.use=':Core'"], "cannot be imported"),
        (["core.use='.cores.vae:Vae'"], "cannot be imported"),
        (["core.use='json:dumps'"], "is not a class derived from zoo.model.interfaces.LatentCore"),
        (["core.use='zoo.encoders.pool:Pool'"], "core.use: 'zoo.encoders.pool:Pool'"),
        (["core.chanels=4"], "core.chanels: unknown key 'chanels'; did you mean 'channels'"),
        (["core.channels=true"], "core.channels: found True (bool), expected"),
        (["core=5"], "core: found 5, expected a mapping with 'use: name'"),
        (["core.use=5"], "core: found"),
        (["training=5"], "training: found 5 (int), expected a valid dictionary"),
        (["training.stesp=5"], "training.stesp: unknown key 'stesp'; did you mean 'steps'"),
        (["training.beta.edn=5"], "training.beta.edn: unknown key 'edn'; did you mean 'end'"),
        (["image_size=1.5"], "image_size: found 1.5 (float), expected a valid integer"),
        (["image_size=true"], "image_size: found True"),
        (["image_size=3"], "image_size: found 3"),
        (["image_size=-4"], "image_size: found -4"),
        (["image_size=1000000"], "image_size: found 1000000 (int), expected 4 to 1024 pixels"),
        (["image_size=0"], "task 'render' needs images, but image_size is 0"),
        (["task.use=regress"], "task 'regress' has no images, but image_size is 16"),
        (["title=x"], "title: unknown key 'title'"),
        (["cor.steps=1"], "cor: unknown key 'cor'; did you mean 'core'"),
    ],
)
def test_a_combination_that_cannot_be_is_refused_in_one_sentence(tmp_path, overrides, part):
    message = refusal(lambda: resolve(variant_of(tmp_path, *overrides)))
    assert part in message


@pytest.mark.parametrize(
    ("name", "overrides", "part"),
    [
        ("cgqn", ["task.use=caption_render", "encoder={use: captions, channels: 16}"], "core 'cgqn' reads the targets through"),
        ("gqn-tower", ["task.use=localise"], "core 'gqn' is queried with poses, but the queries of task 'localise' are images"),
        ("reversed-gqn", ["task.use=render"], "core 'reversed' is queried with images, but the queries of task 'render' are"),
        ("gqn-tower", ["likelihood.use=pose_mixture"], "likelihood 'pose_mixture' scores poses, but the target of task 'render'"),
        ("slim", ["encoder={use: tower, channels: 16}"], "encoder 'tower' reads images, but the context of task 'caption_render'"),
        ("vae", ["task={use: localise}"], "core 'vae' is queried with nothing or poses, but the queries of task 'localise'"),
        ("cnp-1d", ["training.objective=importance_weighted"], "training.objective 'importance_weighted' is about latents, which core"),
        ("deterministic", ["training.free_bits=0.5"], "training.free_bits 0.5 is about latents, which core 'deterministic' does not"),
        ("cgqn", ["training.objective=maximum_likelihood"], "'maximum_likelihood' would leave the posterior of core 'cgqn' untrained"),
    ],
)  # fmt: skip
def test_kinds_that_do_not_meet_are_refused_in_one_sentence(name, overrides, part):
    message = refusal(lambda: resolve(default_registry().variant(name, size="smoke", overrides=overrides)))
    assert part in message


@pytest.mark.parametrize(
    ("override", "part"),
    [
        (f"core.steps={10**50}", "less than or equal to 256"),
        ("core.hidden_channels=10000000", "found 10000000 (int), expected less than or equal to 16384"),
        ("encoder.channels=10000000", "less than or equal to 16384"),
        (f"training.batch_size={10**12}", "less than or equal to 1000000"),
        (f"training.steps={10**30}", "less than or equal to 1000000000"),
        ("training.sigma.end=1e30", "less than or equal to 1000000"),
        (f"training.contexts.maximum={10**10}", "less than or equal to 16384"),
        (f"image_size={10**9}", "expected 4 to 1024 pixels, or 0 for data without images"),
    ],
)
def test_a_number_that_no_memory_holds_is_refused_before_anything_is_built(override, part):
    message = refusal(lambda: resolve(OURS.variant("gqn-tower", size="smoke", overrides=[override])), error=ConfigError)
    assert part in message and override.partition("=")[0] in message and "Value error" not in message


@pytest.mark.parametrize(("kind", "use"), [(kind, use) for kind in KINDS[1:] for use in available(kind)])
def test_every_whole_number_of_a_component_is_bounded(kind, use):
    config = find_component(kind, use, file="f").Config
    for name, field in config.model_fields.items():
        schema = config.model_json_schema()["properties"][name]
        for option in schema.get("anyOf", [schema]):
            assert option.get("type") != "integer" or "maximum" in option, (name, field)


def test_overrides_replace_a_component_or_change_its_settings(tmp_path):
    registry = OURS
    pooled = registry.variant("gqn-tower", size="smoke", overrides=["encoder.use=pool"])
    assert pooled.encoder.use == "pool" and pooled.encoder.settings == {}, "none of the tower's settings is left"
    assert resolve(pooled)["encoder"].config == resolve(pooled)["encoder"].component_class.Config()
    changed = registry.variant("gqn-tower", size="smoke", overrides=["encoder.channels=24", "core.steps=3"])
    assert resolve(changed)["encoder"].config.channels == 24
    assert changed.core.settings["steps"] == 3 and changed.core.settings["kernel_size"] == 3
    assert changed.file == "--set encoder.channels=24 core.steps=3"


def test_a_size_that_names_another_key_is_refused_when_it_is_asked_for(tmp_path):
    registry = registry_of(tmp_path, ONE + "    sizes: {smoke: {cor: {channels: 4}}, tiny: {core: {chanels: 4}}}\n")
    assert "variants.one.sizes.smoke.cor: unknown key 'cor'" in refusal(lambda: registry.variant("one", size="smoke"))
    assert "unknown key 'chanels'" in refusal(lambda: resolve(registry.variant("one", size="tiny")))


def test_sizes_that_do_not_fit_each_other_are_refused_when_built():
    variant = OURS.variant("gqn-tower", size="smoke", overrides=["core.canvas_scale=3"])
    assert "variant 'gqn-tower' at size 'smoke'" in refusal(lambda: build(variant), error=ConfigError)


def test_building_is_decided_by_the_seed_and_leaves_torchs_generator_alone():
    import torch

    variant = OURS.variant("cvae", size="smoke")
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one, same, other = (build(variant, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


class TinyEncoder(Encoder):
    """An encoder of a third party."""

    class Config(Settings):
        """One number."""

        width: int = 3

    context_kind = "images"
    features = frozenset({"pooled"})

    @property
    def shape(self):
        return RepresentationShape(channels=1, height=4, width=4)

    def forward(self, views):
        raise NotImplementedError


class EncoderOfSounds(TinyEncoder):
    """It reads what no task of ours has."""

    context_kind = "sounds"


def test_a_component_of_a_third_party_is_named_by_module_and_class(tmp_path):
    use = f"{__name__}:TinyEncoder"
    variant = variant_of(
        tmp_path, f"encoder={{use: '{use}', width: 7}}", "core={use: cvae, channels: 8, condition_channels: 8}"
    )
    assert resolve(variant)["encoder"].component_class is TinyEncoder
    assert variant.config()["encoder"] == {"use": use, "width": 7}
    again = variant_from_config(variant.config(), file="config.yaml")
    assert resolve(again)["encoder"].config.width == 7
    message = refusal(lambda: resolve(variant_of(tmp_path, f"encoder={{use: '{use}', with: 7}}")))
    assert "unknown key 'with'; did you mean 'width'" in message
    message = refusal(lambda: resolve(variant_of(tmp_path, f"encoder.use='{__name__}:EncoderOfSounds'")))
    assert "reads sounds, but the context of task 'render' is images" in message


def test_a_module_of_a_third_party_that_breaks_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken_part_of_lab.py").write_text("raise RuntimeError('no licence')\n")
    (tmp_path / "torn_part_of_lab.py").write_text("class Core(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module, reason in (("broken_part_of_lab", "no licence"), ("torn_part_of_lab", "invalid syntax")):
        message = refusal(find_component, "core", f"{module}:Core", file="x.yaml", error=RegistryError)
        assert module in message and reason in message and message.startswith("x.yaml: core.use")


class UntypedEncoder(TinyEncoder):
    Config = dict
    features = "pooled"


def test_a_class_that_does_not_declare_its_interface_is_refused_with_its_place(tmp_path):
    variant = variant_of(tmp_path, f"encoder.use='{__name__}:UntypedEncoder'")
    message = refusal(resolve, variant, error=RegistryError)
    assert "test_registry.py:" in message
    assert "declares Config = <class 'dict'>: input should be a subclass of Settings" in message
    assert "declares features = 'pooled': input should be a valid frozenset" in message


def test_a_part_is_one_of_its_kind_only():
    for kind, base in (("encoder", Encoder), ("core", LatentCore), ("likelihood", Likelihood)):
        for use in available(kind):
            assert issubclass(find_component(kind, use, file="f"), base)
    assert issubclass(find_component("task", "render", file="f"), Task)
    for use in ("task", "Render", "cut", "viewshape", "images_from_frames"):
        assert f"there is no task {use!r}" in refusal(find_component, "task", use, file="f")


LACKING = {"variant", "size", "core", "training", "image_size"}


@pytest.mark.parametrize("key", sorted(LACKING))
def test_a_configuration_without_a_key_is_refused(key):
    config = OURS.variant("vae", size="smoke").config()
    del config[key]
    assert f"config.yaml: {key}: this key is missing" in refusal(
        lambda: variant_from_config(config, file="config.yaml")
    )


def test_a_configuration_with_an_unknown_key_or_a_wrong_name_is_refused():
    config = OURS.variant("vae", size="smoke").config()
    message = refusal(lambda: variant_from_config({**config, "sede": 1}, file="config.yaml"))
    assert "config.yaml: sede: unknown key" in message
    message = refusal(lambda: variant_from_config({**config, "variant": 3}, file="config.yaml"))
    assert "found 3" in message and "expected two names" in message


def test_a_configuration_of_a_variant_that_is_not_registered_is_taken_as_it_is():
    config = {**OURS.variant("vae", size="smoke").config(), "variant": "lab/mine"}
    variant = variant_from_config(config, file="config.yaml")
    assert variant.name == "lab/mine" and variant.config() == config
    message = refusal(lambda: variant_from_config({**config, "image_size": 2}, file="config.yaml"), error=ConfigError)
    assert message.startswith("config.yaml: image_size")


def test_the_front_door_lists_describes_and_makes():
    assert zoo.list_variants("gqn-*") == default_registry().names("gqn-*")
    assert zoo.describe("vae", size="smoke")["core"]["channels"] == 8
    model = zoo.create_model("vae", size="smoke", overrides=("core.channels=4",), seed=3)
    assert isinstance(model, importlib.import_module("zoo.model.scene_model").SceneModel)
    assert "did you mean" in refusal(lambda: zoo.create_model("vea"))


HEAVY = ("torch", "timm", "torchvision", "accelerate", "numpy", "matplotlib", "pandas", "PIL", "torchmetrics")
PROGRAMS = {
    "import zoo": "import zoo",
    "list_variants": "import zoo; assert zoo.list_variants()",
    "describe an entry": "from zoo.registry.registry import default_registry; default_registry().entry('vae')",
    "gqn-zoo list": "from zoo.cli.main import main\ntry: main(['list'])\nexcept SystemExit as leave: assert not leave.code",
    "gqn-zoo --help": "from zoo.cli.main import main\ntry: main(['--help'])\nexcept SystemExit as leave: assert not leave.code",
    "gqn-zoo list --json": (
        "from zoo.cli.main import main\ntry: main(['list', '--json'])\nexcept SystemExit as leave: assert not leave.code"
    ),
}


def modules_after(program):
    """Runs a program in a fresh process and returns the names of the modules that it imported."""
    script = f"import sys\n{program}\nprint('\\n@', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("@")[2].split())


@pytest.mark.parametrize("program", PROGRAMS)
def test_listing_imports_nothing_heavy_and_no_component(program):
    modules = modules_after(PROGRAMS[program])
    assert not modules & set(HEAVY)
    folders = ("zoo.cores.", "zoo.encoders.", "zoo.likelihoods.", "zoo.training", "zoo.evaluation", "zoo.data.")
    assert not [module for module in modules if module.startswith(folders)]
    assert len(modules) < (150 if program == "import zoo" else 900)


def test_a_module_without_exactly_one_part_is_refused():
    from zoo.model.contract import find_unique_subclass

    empty = types.ModuleType("empty")
    with pytest.raises(LookupError, match="defines 0 classes"):
        find_unique_subclass(empty, LatentCore)


def test_paper_status_and_published_figures_are_not_inherited(tmp_path):
    registry = default_registry()
    assert [item.value for item in registry.entry("gqn-tower")[0].reference] == [3.13, 9.97]
    assert registry.entry("gqn-tower-shared")[0].reference == []
    derived = registry_of(
        tmp_path,
        ONE.replace("status: extension", "status: paper")
        + "    reference: [{metric: m, value: 1.0, unit: nats, source: s}]\n  two: {base: one}\n  three: {base: two, paper: P, status: baseline}\n",
    )
    one, two, three = (derived.entry(name)[0] for name in ("one", "two", "three"))
    assert (one.paper, one.status, len(one.reference)) == ("nobody", "paper", 1)
    assert (two.paper, two.status, two.reference) == ("", "extension", [])
    assert (three.paper, three.status, three.reference) == ("P", "baseline", [])
