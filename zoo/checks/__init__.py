"""The conformance checks of a variant, on random scenes, behind ``gqn-zoo check`` and the tests of the registry."""
