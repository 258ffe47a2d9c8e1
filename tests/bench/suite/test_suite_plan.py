from types import SimpleNamespace

import pytest

from zoo.bench.suite.cost import Cost
from zoo.bench.suite.plan import SuiteSelection, assign_run_dirs, matching_names, plan_suite
from zoo.bench.suite.settings import load_suite, suite_names
from zoo.data.render.recipes import RECIPES
from zoo.errors import ConfigError, RegistryError
from zoo.registry.registry import default_registry
from zoo.registry.variant import data_requirements
from zoo.training.options import TrainingOptions


class FixedCosts:
    """Costs of which every update is the same."""

    def cost(self, variant, *, budget):
        return Cost(flops=10**6, seconds=0.01, source="flops")


def plan_of(name, tmp_path, **selection):
    return plan_suite(
        load_suite(name),
        output=tmp_path,
        registry=default_registry(),
        costs=FixedCosts(),
        selection=SuiteSelection(**selection),
        options=TrainingOptions(),
        cpu=True,
    )


@pytest.mark.parametrize("name", suite_names())
def test_every_job_of_a_shipped_suite_fits_its_scenes(name, tmp_path):
    """Without making scenes: the recipe has the arrays of the task, and enough views for contexts and targets."""
    suite = load_suite(name)
    plan = plan_of(name, tmp_path)
    assert plan
    for planned in plan:
        if planned.data is None:
            continue
        scenes, variant = suite.data[planned.data], planned.job.variant
        recipe = RECIPES[scenes.recipe]
        size = scenes.image_size if recipe.has_images else 0
        shape = SimpleNamespace(extras=recipe.extras(image_size=size), image_size=size)
        data_requirements(variant).check(shape, folder=tmp_path)
        training, views = variant.training, scenes.views or recipe.num_views
        most = max([training.contexts.maximum, *(number or 0 for number in planned.job.contexts)])
        assert most + training.most_targets <= views, (variant.name, planned.data)
        assert most + (planned.job.protocol.num_targets or 0) <= views, (variant.name, planned.data)
        assert training.batch_size <= scenes.train


def test_a_plan_has_every_variant_on_its_scenes_with_every_seed(tmp_path):
    plan = plan_of("smoke", tmp_path, models=["np-1d", "slim", "vae"])
    found = [(entry.job.variant.name, entry.data, entry.job.seed) for entry in plan]
    assert found == [(name, data, seed) for name, data in (("vae", "rooms"), ("slim", "captions"), ("np-1d", "curves")) for seed in (0, 1)]  # fmt: skip
    assert {entry.job.variant.training.steps for entry in plan} == {30}
    assert {entry.job.protocol.importance_samples for entry in plan} == {(5,)}
    assert plan[0].job.options.save_interval == 15 and plan[0].flops == 30 * 4 * 10**6
    assert all(entry.seconds > 0.3 for entry in plan)


def test_the_command_line_selects_and_replaces(tmp_path):
    plan = plan_of("smoke", tmp_path, models=["*vae"], exclude="cvae", seeds=[7], steps=3, scenes=2, repeats=1)
    (entry,) = plan
    assert (entry.job.variant.name, entry.job.seed, entry.job.variant.training.steps) == ("vae", 7, 3)
    assert (entry.job.protocol.max_scenes, entry.job.protocol.repeats) == (2, 1)
    with pytest.raises(ConfigError, match="no variant of the suite is left"):
        plan_of("functions", tmp_path, models=["vae"])
    with pytest.raises(RegistryError, match="no variant matches 'vea'; did you mean 'vae'"):
        plan_of("functions", tmp_path, models=["vea"])


def suite_file(tmp_path, parts, data="rooms: {recipe: rooms_ring_camera, image_size: 16, views: 4, train: 8, test: 3}"):
    path = tmp_path / "mine.yaml"
    lines = "\n".join(f"  - {part}" for part in parts)
    path.write_text(f"version: 1\ntitle: mine\ndata:\n  {data}\nparts:\n{lines}\n")
    return str(path)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        (["{variants: [veа], data: [rooms]}"], RegistryError, r"parts\.0: no variant matches"),
        (["{variants: [vae], size: tiny, data: [rooms]}"], RegistryError, r"parts\.0: .*no size 'tiny'"),
        (["{variants: [vae], set: {core: {chanels: 3}}, data: [rooms]}"], ConfigError, r"parts\.0: .*'chanels'"),
        (
            ["{variants: [vae], data: [rooms]}", "{variants: ['va*'], data: [rooms]}"],
            ConfigError,
            "is twice in the suite",
        ),
    ],
)
def test_an_invalid_suite_is_refused_before_anything_is_trained(tmp_path, parts, error, message):
    with pytest.raises(error, match=message):
        plan_of(suite_file(tmp_path, parts), tmp_path)


def test_patterns_keep_their_order_and_exclude():
    names = matching_names(["vae", "cvae*"], exclude=["*standard"], registry=default_registry())
    assert names == ["vae", "cvae"]


def test_scenes_are_made_once_and_every_job_has_its_own_run_folder(tmp_path):
    file = suite_file(tmp_path, ["{variants: [vae, cvae], size: smoke, data: [rooms]}"])
    plan = plan_of(file, tmp_path, seeds=[0, 1])
    scenes = load_suite(file).data["rooms"]
    folder = scenes.directory("rooms", output=tmp_path)
    unfinished, of_others = folder.parent / f".writing-{folder.name}-killed", folder.parent / ".writing-other-killed"
    for begun in (unfinished, of_others):
        begun.mkdir(parents=True)
    scenes.make(folder)
    assert not unfinished.exists() and of_others.exists() and plan[0].job.data == folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    scenes.make(folder)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    runs = {entry.job.run for entry in assign_run_dirs(plan, output=tmp_path)}
    assert len(runs) == 4 and all(run.is_relative_to(tmp_path / "runs") for run in runs)
    assert scenes.model_copy(update={"seed": 1}).directory("rooms", output=tmp_path) != folder
