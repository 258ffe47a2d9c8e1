from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.config.recipe import Range, TrainingRecipe
from zoo.data.loader import STEPS_PER_BLOCK, ResidentSampler, ResidentScenes, read_all
from zoo.data.plan import Share, TrainingPlan, assemble
from zoo.data.source import ExtraShape

EXTRAS = {
    "caption": ExtraShape("uint8", (4,), per_view=True),
    "label": ExtraShape("int64", (), per_view=False),
    "number": ExtraShape("float32", (), per_view=True),
    "map": ExtraShape("float32", (2, 3), per_view=False),
}
RECIPE = TrainingRecipe(steps=300, batch_size=6, contexts=Range(minimum=0, maximum=3), targets=2)


class Noise:
    """Scenes of noise in memory."""

    name, split, revision, num_scenes, num_views = "noise", "train", "0", 11, 6

    def __init__(self, *, image_size=4, extras=EXTRAS):
        self.image_size, self.extras = image_size, extras
        rng = np.random.default_rng(0)
        shape = (self.num_scenes, self.num_views)
        self.frames = rng.integers(0, 256, (*shape, image_size, image_size, 3), dtype=np.uint8)
        self.cameras = rng.normal(size=(*shape, 5)).astype(np.float32)
        self.more = {
            name: rng.integers(0, 256, (*(shape if extra.per_view else shape[:1]), *extra.shape)).astype(extra.dtype)
            for name, extra in extras.items()
        }

    def read(self, scenes, views):
        return self.frames[scenes[:, None], views], self.cameras[scenes[:, None], views]

    def read_extras(self, scenes, views):
        return {
            name: self.more[name][(scenes[:, None], views) if extra.per_view else scenes]
            for name, extra in self.extras.items()
        }


def sampler_of(source, *, share=None, device="cpu"):
    plan = TrainingPlan(source, recipe=RECIPE, seed=5)
    frames, cameras, extras = read_all(source, device="cpu")
    extras = {name: extra.to(device) for name, extra in extras.items()}
    scenes = ResidentScenes(frames.to(device), cameras.to(device), extras)
    return plan, ResidentSampler(source, scenes, plan=plan, share=share or Share())


def named(batch):
    return {name: value for name, value in batch._asdict().items() if name != "extras"} | batch.extras


@pytest.mark.parametrize("share", [Share(), Share(accumulation=3), Share(rank=1, world_size=2, accumulation=1)])
@pytest.mark.parametrize("source", [Noise(), Noise(image_size=0), Noise(extras={})], ids=["all", "no images", "plain"])
def test_batches_equal_those_read_from_the_source_over_several_blocks(source, share):
    plan, sampler = sampler_of(source, share=share)
    start, stop = 40, 40 + 2 * STEPS_PER_BLOCK + 7
    found = list(sampler.pieces(start=start, stop=stop))
    assert len(found) == (stop - start) * share.accumulation
    for index, (batch, num_context) in enumerate(found):
        step, piece = divmod(index, share.accumulation)
        part = share.part(plan(start + step), piece)
        expected = named(assemble(source, part, seed=5, step=start + step))
        assert num_context == part.num_context and named(batch).keys() == expected.keys()
        for name, value in named(batch).items():
            assert value.dtype == expected[name].dtype and torch.equal(value, expected[name]), name


def test_an_empty_range_of_steps_draws_nothing():
    _, sampler = sampler_of(Noise())
    assert list(sampler.pieces(start=9, stop=9)) == []


class Operations(TorchDispatchMode):
    """Counts what is asked of the device, but for what only looks at memory in another way."""

    FREE = frozenset(
        {"view", "_unsafe_view", "unbind", "slice", "split_with_sizes", "select", "detach", "alias", "lift_fresh"}
    )

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        result = function(*args, **(kwargs or {}))
        (first, *_) = result if isinstance(result, list | tuple) else [result]
        if name not in self.FREE and first.device.type == "meta":
            self.counts[name] += 1
        return result


def test_a_batch_is_one_indexing_a_field_and_plans_travel_a_block_at_a_time():
    source = Noise()
    _, sampler = sampler_of(source, device="meta")
    with Operations() as operations:
        batches = list(sampler.pieces(start=0, stop=3 * STEPS_PER_BLOCK))
    assert batches[0].batch.frames.device.type == "meta"
    fields = 2 + len(EXTRAS)
    assert operations.counts == {
        "index_select": 3 * STEPS_PER_BLOCK * fields,
        "_to_copy": 3 * 3,  # scenes, keys and rows of a block
    }, "nothing else, and above all nothing whose value the host would wait for"


def test_blocks_do_not_cause_recompilation():
    source = Noise(extras={})
    _, sampler = sampler_of(source)
    compilations = []

    def backend(graph, inputs):
        compilations.append(len(inputs))
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(
        lambda batch: batch.frames.float().mean() + batch.cameras.sum() + batch.key.double().mean(),
        backend=backend,
        dynamic=False,
    )
    contexts = set()
    for batch, num_context in sampler.pieces(start=0, stop=80):
        compiled(batch)
        contexts.add(num_context)
    assert len(compilations) == len(contexts) == 4, "once for every number of views, wherever a batch lies in its block"
    torch._dynamo.reset()
