# %% [markdown]
# # A core of your own
#
# A core maps a representation and queries to the parameters of a likelihood. This example adds one to the zoo without changing the zoo: a file, an entry
# of a registry file, the checks, a training, and a comparison with a variant that ships. It takes a minute on one CPU core.
#
# ## The idea
#
# The given images are the best material there is for an unseen view. The core [`pose_blend.py`](pose_blend.py) takes their mean, weighted by how well their
# poses match that of the query, and a generated image for what no given view shows. It has no latents, so that it derives from `DeterministicCore` and fills in one method.
#
# <!-- source: examples/pose_blend.py -->
#
# ## The registry entry
#
# [`registry.yaml`](registry.yaml) beside it combines the core with the encoder, task, likelihood and recipe of the variant `deterministic`.
# `use: ./pose_blend.py:PoseBlend` is a class in a file beside the registry file.

# %%
import shlex
import tempfile
from pathlib import Path

import zoo
from zoo.checks.runner import run_checks
from zoo.cli.main import main
from zoo.registry.registry import default_registry

registry = [Path(__file__).with_name("registry.yaml")]
print(zoo.describe("pose-blend", size="smoke", registry=registry)["core"])

# %% [markdown]
# ## Checks
#
# The contract of a core is tested on random scenes: shapes, gradients, order of the views, padding, leaks of the target, the density, and more
# ([the contract](../docs/explanation/contract.md)). `gqn-zoo check pose-blend` is the same on the command line.

# %%
variant = default_registry(registry).variant("pose-blend", size="smoke")
results = list(run_checks(variant))
for result in results:
    print(result.status, result.check, result.message)
assert all(result.status == "ok" for result in results)

# %% [markdown]
# ## Training and comparison
#
# Both variants are trained on the same scenes with the same number of updates, in one suite, at the size `smoke`: 30 updates of images with 16 pixels, which
# show that everything works and mean nothing. For an answer use `--size small`, more scenes, and several seeds.


# %%
def gqn_zoo(line: str) -> None:
    """Runs a command line of the program in this process; -j 0 because other processes would run this script again."""
    try:
        main(shlex.split(line))
    except SystemExit as end:
        assert not end.code, line


work = Path(tempfile.mkdtemp())
gqn_zoo(f"data make rooms_ring_camera -o {work}/rooms --image-size 16 --train 64 --validation 8 --test 24 -j 0")
for name in ("pose-blend", "deterministic"):
    gqn_zoo(
        f"train {name} --registry {registry[0]} --size smoke --data {work}/rooms -o {work}/{name} "
        "--steps 30 --validation-scenes 8 -j 0 --cpu"
    )
    gqn_zoo(f"evaluate {work}/{name} --data {work}/rooms --results {work}/out --prediction-samples 1 --repeats 1 --cpu")
gqn_zoo(f"compare {work}/out")

# %% [markdown]
# The rows name the source hash of your core, so that an edit is never mistaken for the same model. Next: the same for an encoder, or a
# [plug-in](../docs/how-to/register.md#a-plug-in) that others can install.
