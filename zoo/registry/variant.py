"""A variant: its components are resolved, checked against each other and built into a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

from pydantic import AfterValidator, Field

from zoo.config.recipe import TrainingRecipe
from zoo.config.settings import Settings, parse
from zoo.errors import ConfigError, RegistryError
from zoo.provenance import ComponentSource
from zoo.registry.components import KINDS, Kind, component_source, find_component

if TYPE_CHECKING:
    from zoo.data.source import DataRequirements
    from zoo.model.interfaces import Component
    from zoo.model.scene_model import SceneModel

FULL = "full"
SOURCES = "sources"  # key of a configuration: the code of its components of third parties
SMALLEST_IMAGE, LARGEST_IMAGE = 4, 1024  # pixels


def _check_image_size(image_size: int) -> int:
    if image_size and not SMALLEST_IMAGE <= image_size <= LARGEST_IMAGE:
        raise ValueError(f"{SMALLEST_IMAGE} to {LARGEST_IMAGE} pixels, or 0 for data without images")
    return image_size


ImageSize = Annotated[
    int,
    AfterValidator(_check_image_size),
    Field(description="height and width of the images, pixels; 0 for data without images"),
]


class Reference(Settings):
    """A figure that a paper reports for this system."""

    metric: str = Field(description="in words, with data and image size")
    value: float = Field(description="as reported")
    unit: str = Field(description="as reported")
    source: str = Field(description="table, figure or section")


class ComponentConfig(Settings):
    """A component by name with its settings, complete with defaults once resolved."""

    use: str
    folder: str = Field(default="", description="where ./file.py lies")
    settings: dict[str, Any]


class Variant(Settings):
    """A variant at one size: everything that is needed to build and train it."""

    name: str
    size: str
    title: str
    paper: str
    status: str
    task: ComponentConfig
    encoder: ComponentConfig
    core: ComponentConfig
    likelihood: ComponentConfig
    image_size: ImageSize
    training: TrainingRecipe
    reference: list[Reference]
    file: str = Field(description="the registry file that it was read from, for error messages")

    def component(self, kind: Kind) -> ComponentConfig:
        """Returns the component of a kind."""
        return getattr(self, kind)

    def config(self, settings: Mapping[Kind, Mapping[str, Any]] | None = None) -> dict[str, Any]:
        """Returns plain values from which ``variant_from_config`` makes the variant again.

        ``settings`` are those of the components, defaults included; by default their classes are imported to get them.
        """
        if settings is None:
            settings = {kind: component.config.model_dump() for kind, component in resolve(self).items()}
        sources = {kind: source.model_dump() for kind, source in component_sources(self).items()}
        return {
            "variant": self.name,
            "size": self.size,
            **{kind: {"use": self.component(kind).use, **settings[kind]} for kind in KINDS},
            "image_size": self.image_size,
            "training": self.training.model_dump(),
            **({SOURCES: sources} if sources else {}),
        }


def component_sources(variant: Variant) -> dict[str, ComponentSource]:
    """Returns distribution, version and source hash of the components that are not part of this package, by kind.

    Raises:
        RegistryError: if a component's file does not exist.
    """
    used = {kind: variant.component(kind) for kind in KINDS}
    found = {kind: component_source(component.use, folder=component.folder) for kind, component in used.items()}
    return {kind: source for kind, source in found.items() if source is not None}


class ResolvedComponent(NamedTuple):
    """The class of a component and its parsed settings."""

    component_class: type[Component]
    config: Settings


def resolve(variant: Variant) -> dict[Kind, ResolvedComponent]:
    """Imports a variant's components, parses their settings and checks that they fit together.

    Raises:
        RegistryError: if a component does not exist, breaks the contract or does not fit the others.
        ConfigError: if a setting is not valid.
    """
    from zoo.model.contract import ContractError, contract_problems, source_of

    file = variant.file
    resolved: dict[Kind, ResolvedComponent] = {}
    for kind in KINDS:
        component = variant.component(kind)
        found = find_component(kind, component.use, file=file, folder=component.folder)
        if problems := contract_problems(found):
            message = f"{file}: {kind}.use: {component.use!r}: {found.__name__} {'; '.join(problems)}"
            raise ContractError(f"{message} ({source_of(found)})", location=source_of(found))
        path = kind if file.startswith("--set") else f"variants.{variant.name}.{kind}"
        resolved[kind] = ResolvedComponent(found, parse(found.Config, component.settings, file=file, path=path))
    problem = _misfit(variant, resolved)
    if problem:
        raise RegistryError(f"{variant.file}: variant {variant.name!r}: {problem}")
    return resolved


def _misfit(variant: Variant, resolved: Mapping[Kind, ResolvedComponent]) -> str | None:
    from zoo.model import interfaces as contract

    task, encoder, core, likelihood = (resolved[kind].component_class for kind in KINDS)
    assert issubclass(task, contract.Task) and issubclass(encoder, contract.Encoder)
    assert issubclass(core, contract.LatentCore) and issubclass(likelihood, contract.Likelihood)
    names = {kind: variant.component(kind).use for kind in KINDS}
    if task.has_images != (variant.image_size > 0):
        return f"task {names['task']!r} {'needs' if task.has_images else 'has no'} images, but image_size is {variant.image_size}"
    if encoder.context_kind not in ("anything", task.context_kind):
        return f"encoder {names['encoder']!r} reads {encoder.context_kind}, but the context of task {names['task']!r} is {task.context_kind}"
    if task.query_kind not in core.query_kinds:
        return f"core {names['core']!r} is queried with {_either(core.query_kinds)}, but the queries of task {names['task']!r} are {task.query_kind}"
    if task.target_kind not in core.target_kinds:
        return f"core {names['core']!r} predicts {_either(core.target_kinds)}, but the target of task {names['task']!r} is {task.target_kind}"
    if core.encodes_targets and task.target_view_kind != task.context_kind:
        return (
            f"core {names['core']!r} reads the targets through the encoder of the context, but in task {names['task']!r} "
            f"the context is {task.context_kind} and the targets are {task.target_view_kind}"
        )
    missing = core.required_features - encoder.features
    if missing:
        return f"core {names['core']!r} needs a {sorted(missing)[0]} representation, which encoder {names['encoder']!r} does not offer"
    if encoder.features and not core.required_features | core.optional_features:
        return (
            f"core {names['core']!r} ignores the context, so that encoder {names['encoder']!r} would never be trained; "
            "use encoder 'none'"
        )
    if task.target_kind not in likelihood.target_kinds:
        return f"likelihood {names['likelihood']!r} scores {_either(likelihood.target_kinds)}, but the target of task {names['task']!r} is {task.target_kind}"
    recipe = variant.training
    if core.latents == "none" and (recipe.objective != "elbo" or recipe.free_bits):
        setting = f"objective {recipe.objective!r}" if recipe.objective != "elbo" else f"free_bits {recipe.free_bits:g}"
        return f"training.{setting} is about latents, which core {names['core']!r} does not have"
    if recipe.objective == "maximum_likelihood" and not core.shared_posterior:
        return f"training.objective 'maximum_likelihood' would leave the posterior of core {names['core']!r} untrained"
    return None


def _either(kinds: Iterable[str]) -> str:
    return " or ".join(sorted(kinds))


def data_requirements(variant: Variant) -> DataRequirements:
    """Returns what a variant's task reads of every scene.

    Raises:
        RegistryError, ConfigError: as ``resolve``.
    """
    from zoo.data.source import DataRequirements
    from zoo.model.interfaces import Task

    task_class, config = resolve(variant)["task"]
    task = cast("type[Task]", task_class)(config, image_size=variant.image_size)
    return DataRequirements(
        variant=variant.name,
        size=variant.size,
        task=variant.task.use,
        image_size=variant.image_size,
        extras=task.extras,
    )


def build(variant: Variant, *, seed: int = 0) -> SceneModel:
    """Makes the model of a variant; the seed decides its initial weights and leaves torch's own generator alone.

    Raises:
        RegistryError, ConfigError: as ``resolve``, and if the sizes do not fit each other.
    """
    import torch

    from zoo.model import interfaces as contract
    from zoo.model.objectives import Objective
    from zoo.model.scene_model import SceneModel

    resolved = resolve(variant)
    made: dict[str, Any] = {kind: resolved[kind].component_class for kind in KINDS}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            task = made["task"](resolved["task"].config, image_size=variant.image_size)
            encoder = made["encoder"](resolved["encoder"].config, view=task.view_shape)
            likelihood = made["likelihood"](resolved["likelihood"].config)
            shapes = contract.CoreShapes(
                representation=contract.RepresentationShape(*encoder.shape),
                query=task.query_shape,
                pose_width=task.view_shape.pose_width,
                target=task.target_shape,
                prediction_channels=likelihood.prediction_channels(task.target_shape[0]),
                initial_prediction=(
                    likelihood.initial_prediction(task.target_shape[0]) if task.target_kind == "images" else ()
                ),
            )
            core = made["core"](resolved["core"].config, shapes=shapes)
        except ValueError as error:
            raise ConfigError(f"{variant.file}: variant {variant.name!r} at size {variant.size!r}: {error}") from error
    recipe = variant.training
    objective = Objective(kind=recipe.objective, num_samples=recipe.importance_samples, free_bits=recipe.free_bits)
    return SceneModel(task=task, encoder=encoder, core=core, likelihood=likelihood, objective=objective)
