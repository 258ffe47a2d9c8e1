"""Writes zoo/registry/parameter_counts.json: ``python tests/registry/write_parameter_counts.py``."""

import json

import torch

from zoo.registry.documentation import COUNTS, architecture_hash
from zoo.registry.registry import Registry
from zoo.registry.sources import RegistryFile, registry_path
from zoo.registry.variant import FULL, build


def parameter_counts():
    """Returns the number of parameters by architecture, of every shipped variant at every size."""
    registry = Registry([RegistryFile(registry_path())])
    counts = {}
    for name in registry.names():
        for size in (FULL, *registry.entry(name)[0].sizes):
            variant = registry.variant(name, size=size)
            with torch.device("meta"):
                counts[architecture_hash(variant)] = build(variant).num_parameters
    return counts


if __name__ == "__main__":
    COUNTS.write_text(json.dumps(parameter_counts(), indent=1, sort_keys=True) + "\n")
