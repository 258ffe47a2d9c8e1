# %% [markdown]
# # The first steps in Python
#
# From shipped weights to a figure of predictions, in a script with cells: run it as it is, or cell by cell in an editor that knows `# %%`. It
# takes seconds and needs no network.

# %%
from matplotlib.figure import Figure

import zoo

# %% [markdown]
# ## A trained model
#
# `load_run` takes the folder of a run or a name of `gqn-zoo list --pretrained`. The result has the model, a torch module in evaluation mode, and the
# variant that it was made from.

# %%
run = zoo.load_run("gqn-epipolar-improved")
print(run.variant.title)
print(f"{run.model.num_parameters:,} parameters, trained on {run.data_name}")

# %% [markdown]
# ## A scene
#
# Scene 17 of the test split of a built-in data set: ten images with their cameras (x, y, z, yaw, pitch).

# %%
scene = zoo.Scene.load("rooms_ring_camera:17", image_size=32)
print(scene.frames.shape, scene.cameras.shape)

# %% [markdown]
# ## Predictions
#
# The model is given three views and predicts three others. Four samples of the latents give four predictions of each; their mean and their spread are
# computed for you.

# %%
context, asked = [0, 3, 5], [6, 7, 8]
prediction = run.predict(scene, scene.cameras[asked], context=context, samples=4)
print(prediction.samples.shape, prediction.mean.shape, prediction.spread.shape)

# %% [markdown]
# ## A figure

# %%
figure = Figure(figsize=(6, 6), layout="constrained")
rows = {
    "truth": scene.frames[asked],
    "mean": prediction.mean.clip(0, 1),
    "spread": prediction.spread,
}
for (title, images), axes in zip(rows.items(), figure.subplots(3, 3), strict=True):
    axes[0].set_ylabel(title)
    for image, axis in zip(images, axes, strict=True):
        axis.imshow(image, cmap="viridis")
        axis.set_xticks([])
        axis.set_yticks([])
figure.savefig("first_steps.png")

# %% [markdown]
# ## More views, smaller error
#
# The mean squared error of the mean prediction, given one view and given five.

# %%
truth = scene.frames[asked] / 255.0
errors = {}
for number in (1, 5):
    given = run.predict(scene, scene.cameras[asked], context=range(number), samples=8)
    errors[number] = float(((given.mean - truth) ** 2).mean())
print(errors)

# %% [markdown]
# One scene proves nothing; `gqn-zoo evaluate` measures a whole split. Next: [a core of your own](your_own_core.py), or
# [look further](../docs/how-to/views.md).
