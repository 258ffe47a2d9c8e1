"""Bugs of the command line, the registry and the viewer."""

from tests.planted_bugs.planting import Bug

BUGS = (
    Bug(
        name="false-is-true",
        layer="cli",
        reason="--shared_core False parsed as True: every word is a true text",
        file="zoo/config/settings.py",
        before='place[keys[-1]] = parse_yaml(text, file=f"--set {item}")',
        after="place[keys[-1]] = text",
        tests=("tests/config/test_settings.py::test_overrides_become_a_nested_mapping",),
    ),
    Bug(
        name="mistakes-exit-with-zero",
        layer="cli",
        reason="scripts that go on after a failed command",
        file="zoo/cli/main.py",
        before="_fail(str(error), code=error.exit_code, cause=error)",
        after="_fail(str(error), code=0, cause=error)",
        tests=("tests/cli/test_process.py::test_exit_codes_reach_the_shell",),
    ),
    Bug(
        name="misspelt-settings-are-ignored",
        layer="registry",
        reason="a config typo that silently becomes a default",
        file="zoo/config/settings.py",
        before='extra="forbid"',
        after='extra="ignore"',
        tests=("tests/config/test_settings.py::test_a_wrong_value_is_named_with_file_path_found_and_expected",),
    ),
    Bug(
        name="the-second-of-two-names-wins",
        layer="registry",
        reason="a registry that overwrites on a collision",
        file="zoo/registry/registry.py",
        before="                if full_name in raw:\n",
        after="                if full_name in self._broken:\n",
        tests=("tests/registry/test_registry.py::test_the_same_name_in_two_files_is_refused_with_both_origins",),
    ),
    Bug(
        name="the-base-wins-over-its-child",
        layer="registry",
        reason="options of a preset that cannot be changed",
        file="zoo/registry/registry.py",
        before="return functools.reduce(merge, reversed(changes))",
        after="return functools.reduce(merge, changes)",
        tests=("tests/registry/test_registry.py::test_the_nearest_ancestor_wins",),
    ),
    Bug(
        name="the-viewer-is-upside-down",
        layer="viewer",
        reason="axes of OpenGL where those of OpenCV are expected",
        file="zoo/viewer/camera_mapping.py",
        before="matrix = np.stack([axes.right.numpy(), -axes.up.numpy(), axes.forward.numpy()], axis=1)",
        after="matrix = np.stack([-axes.right.numpy(), axes.up.numpy(), axes.forward.numpy()], axis=1)",
        tests=("tests/viewer/test_camera_mapping.py::test_a_camera_along_x_has_the_axes_of_opencv",),
    ),
    Bug(
        name="a-clicked-camera-looks-away",
        layer="viewer",
        reason="arguments of atan2 in the wrong order",
        file="zoo/viewer/plan_geometry.py",
        before="math.atan2(y, x), math.atan2(z, math.hypot(x, y))",
        after="math.atan2(x, y), math.atan2(z, math.hypot(x, y))",
        tests=("tests/viewer/test_plan_and_loop.py::test_a_click_puts_a_camera_that_looks_at_the_middle",),
    ),
)
