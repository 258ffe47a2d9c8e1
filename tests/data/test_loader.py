import itertools
import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch

from zoo.config.recipe import Range, TrainingRecipe
from zoo.data.loader import TrainingLoader, fits_on, read_all
from zoo.data.plan import Share, TrainingPlan, assemble, to_device
from zoo.data.source import ExtraShape
from zoo.data.store import SceneStore
from zoo.data.store_writer import StoreWriter
from zoo.errors import ConfigError, DataError

NUM_SCENES, NUM_VIEWS, SIZE = 10, 6, 8
RECIPE = TrainingRecipe(steps=9, batch_size=4, contexts=Range(minimum=0, maximum=3), targets=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    generator = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("scenes") / "store"
    with StoreWriter(
        folder,
        name="noise",
        image_size=SIZE,
        num_views=NUM_VIEWS,
        provenance={},
        extras={
            "notes": ExtraShape("uint8", (3,), per_view=True),
            "weather": ExtraShape("float32", (2,), per_view=False),
        },
        scenes_per_shard=4,
    ) as writer:
        writer.add(
            "train",
            generator.integers(0, 256, (NUM_SCENES, NUM_VIEWS, SIZE, SIZE, 3), dtype=np.uint8),
            generator.normal(size=(NUM_SCENES, NUM_VIEWS, 5)).clip(-1.5, 1.5).astype(np.float32),
            {
                "notes": generator.integers(0, 256, (NUM_SCENES, NUM_VIEWS, 3), dtype=np.uint8),
                "weather": generator.normal(size=(NUM_SCENES, 2)).astype(np.float32),
            },
        )
    return folder


@pytest.fixture
def source(folder):
    return SceneStore(folder, "train")


def loader_of(source, *, recipe=RECIPE, seed=7, device="cpu", **options):
    return TrainingLoader(source, plan=TrainingPlan(source, recipe=recipe, seed=seed), device=device, **options)


def pieces(loader, *, start=0, stop=9):
    return list(loader.pieces(start=start, stop=stop))


def named(batch):
    return {name: value for name, value in batch._asdict().items() if name != "extras"} | batch.extras


def same(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert one.num_context == other.num_context and type(one.num_context) is type(other.num_context) is int
        assert named(one.batch).keys() == named(other.batch).keys()
        for name, left in named(one.batch).items():
            right = named(other.batch)[name]
            assert left.dtype == right.dtype and torch.equal(left, right), name
    return True


def test_a_batch_holds_the_images_cameras_and_keys_of_its_plan(source):
    plan = TrainingPlan(source, recipe=RECIPE, seed=7)
    for step, (batch, num_context) in enumerate(pieces(loader_of(source))):
        planned = plan(step)
        frames, cameras = source.read(planned.scenes, planned.views)
        assert num_context == planned.num_context
        assert batch.frames.dtype == torch.uint8 and np.array_equal(batch.frames.numpy(), frames)
        assert batch.cameras.dtype == torch.float32 and np.array_equal(batch.cameras.numpy(), cameras)
        assert batch.scene.tolist() == planned.scenes.tolist()
    everything = pieces(loader_of(source))
    keys = torch.cat([batch.key for batch, _ in everything])
    assert len(keys.unique()) == len(keys) == 36, "noise of its own for every scene of every step"
    other_seed = torch.cat([batch.key for batch, _ in pieces(loader_of(source, seed=8))])
    assert not set(keys.tolist()) & set(other_seed.tolist())


def test_batches_do_not_depend_on_workers_and_residence(source):
    plain = pieces(loader_of(source, residence="disk"))
    assert same(plain, pieces(loader_of(source, workers=2, residence="disk")))
    assert same(plain, pieces(loader_of(source, residence="device")))
    assert same(plain, pieces(loader_of(source)))


@pytest.mark.parametrize("residence", ["disk", "device"])
@pytest.mark.parametrize("start", [1, 2, 5, 8, 9])
def test_a_loader_starts_at_any_step(source, residence, start):
    whole = pieces(loader_of(source, residence=residence))
    assert same(whole[start:], pieces(loader_of(source, residence=residence), start=start))


@pytest.mark.parametrize("residence", ["disk", "device"])
@pytest.mark.parametrize(("world_size", "accumulation"), [(1, 2), (2, 1), (2, 2), (4, 1), (1, 4)])
def test_shares_partition_the_batch_exactly(source, residence, world_size, accumulation):
    whole = pieces(loader_of(source))
    parts = [
        pieces(
            loader_of(
                source, residence=residence, share=Share(rank=rank, world_size=world_size, accumulation=accumulation)
            )
        )
        for rank in range(world_size)
    ]
    for step, (batch, num_context) in enumerate(whole):
        mine = [
            parts[rank][step * accumulation + piece]
            for piece, rank in itertools.product(range(accumulation), range(world_size))
        ]
        assert {part.num_context for part in mine} == {num_context}
        for name, value in named(batch).items():
            assert torch.equal(torch.cat([named(part.batch)[name] for part in mine]), value), name


def test_accumulated_pieces_start_at_any_step(source):
    share = Share(accumulation=2)
    whole = pieces(loader_of(source, share=share))
    assert len(whole) == 18
    assert same(whole[10:], pieces(loader_of(source, share=share), start=5))


@pytest.mark.parametrize(("batch", "world_size", "accumulation"), [(4, 3, 1), (4, 2, 4), (5, 2, 1), (1, 2, 1)])
def test_a_batch_that_cannot_be_shared_out_is_refused(source, batch, world_size, accumulation):
    recipe = RECIPE.model_copy(update={"batch_size": batch})
    with pytest.raises(ConfigError) as caught:
        loader_of(source, recipe=recipe, share=Share(world_size=world_size, accumulation=accumulation))
    assert str(caught.value) == (
        f"training.batch_size: found {batch}, expected a multiple of {world_size} process(es) times "
        f"{accumulation} accumulated pass(es)"
    )


def test_impossible_settings_are_refused_in_one_line(source):
    with pytest.raises(ConfigError, match="workers: found -1, expected 0 or more"):
        loader_of(source, workers=-1)
    recipe = RECIPE.model_copy(update={"contexts": Range(minimum=1, maximum=5)})
    with pytest.raises(ConfigError, match="noise: 5 context views and 2 target"):
        loader_of(source, recipe=recipe)


class Damaged(SceneStore):
    """A store in which scene 3 cannot be read."""

    def read(self, scenes, views):
        if 3 in scenes:
            raise DataError("frames-00000.npy: scene 3 is damaged")
        return super().read(scenes, views)


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_is_reported_in_one_line_also_by_a_worker(folder, workers):
    with pytest.raises(DataError) as caught:
        pieces(loader_of(Damaged(folder, "train"), workers=workers))
    assert str(caught.value) == "frames-00000.npy: scene 3 is damaged"


def test_ctrl_c_does_not_take_the_workers_from_a_run_that_ends_its_step(source):
    """Ctrl-C reaches every process of a terminal; far more pieces are wanted than are waiting already."""
    whole = pieces(loader_of(source), stop=60)
    coming = loader_of(source, workers=1).pieces(start=0, stop=60)
    found = [next(coming)]
    workers = multiprocessing.active_children()
    assert len(workers) == 1
    os.kill(workers[0].pid, signal.SIGINT)
    found.extend(coming)
    assert same(whole, found)


def test_arrays_of_a_source_are_not_modified(source):
    before = source.read(np.arange(4), np.zeros((4, 1), dtype=np.int64))[0].copy()
    for batch, _ in pieces(loader_of(source)):
        batch.frames.zero_()
    assert np.array_equal(source.read(np.arange(4), np.zeros((4, 1), dtype=np.int64))[0], before)


@pytest.mark.parametrize("chunk", [1, 3, 10, 256])
def test_a_whole_split_is_read_in_any_chunks(source, chunk):
    frames, cameras, extras = read_all(source, device="cpu", chunk=chunk)
    views = np.broadcast_to(np.arange(NUM_VIEWS), (NUM_SCENES, NUM_VIEWS))
    expected_frames, expected_cameras = source.read(np.arange(NUM_SCENES), views)
    assert np.array_equal(frames.numpy(), expected_frames) and np.array_equal(cameras.numpy(), expected_cameras)
    expected = source.read_extras(np.arange(NUM_SCENES), views)
    assert extras.keys() == expected.keys() == {"notes", "weather"}
    assert all(np.array_equal(extras[name].numpy(), array) for name, array in expected.items())


def test_only_a_gpu_keeps_scenes_by_itself(source):
    assert not fits_on(torch.device("cpu"), source)
    assert not loader_of(source).resident
    assert loader_of(source, residence="device").resident


def test_workers_are_chosen_where_none_are_asked_for(source, monkeypatch):
    monkeypatch.setattr("zoo.data.loader.usable_cores", lambda: 3)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert loader_of(source).workers == loader_of(source, workers="auto").workers == 0, "a CPU is busy with the model"
    assert loader_of(source, workers=3).workers == 3
    assert loader_of(source, device="cuda", residence="disk").workers == 2
    assert loader_of(source, device="cuda", residence="device").workers == 0
    assert loader_of(source, device="cuda", residence="disk", share=Share(world_size=2)).workers == 0
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")  # each on a machine of its own
    assert loader_of(source, device="cuda", residence="disk", share=Share(world_size=2)).workers == 2


def test_a_batch_moves_field_by_field(source):
    plan = TrainingPlan(source, recipe=RECIPE, seed=7)(0)
    batch = assemble(source, plan, seed=7, step=0)
    moved = to_device(batch, "meta")
    assert all(field.device.type == "meta" for field in named(moved).values())
    assert [field.shape for field in named(moved).values()] == [field.shape for field in named(batch).values()]
