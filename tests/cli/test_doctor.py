"""``gqn-zoo doctor``: what it finds on a sound machine, and what it says of every planted fault."""

import importlib.metadata
import json
import math
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from zoo.cli import doctor
from zoo.results.weights import shipped_names

CHECKS = {name: getattr(doctor, f"_{name}") for name in ("package", "requirements", "extras", "devices", "compiler")}
CHECKS |= {"nccl": lambda: doctor._processes("nccl")}
CHECKS |= {name: getattr(doctor, f"_{name}") for name in ("disk", "shared_memory", "registry", "weights")}
Usage = namedtuple("Usage", "total used free")


def found(check):
    """Returns what one check finds, by name."""
    return {finding.check: finding for finding in doctor._guarded(check, CHECKS[check])}


@pytest.fixture
def no_processes(monkeypatch):
    """Leaves out the two processes, which take long and have a test of their own."""
    monkeypatch.setattr(doctor, "_processes", lambda backend: iter([doctor.Finding(backend, "ok", "left out")]))


def test_a_sound_machine_is_usable_and_the_report_names_no_folder_and_no_host(
    gqn_zoo, no_processes, scenes, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: "AMD")
    code, out, err = gqn_zoo("doctor", scenes, "--json")
    report = json.loads(out)
    assert code == 0 and report["usable"], out
    by_name = {each["check"]: each for each in report["findings"]}
    assert set(by_name) >= {"package", "python", "packages", "cpu", "fp32 on cpu", "gloo", "nccl", "disk", "registry"}
    assert set(by_name) >= {f"weights {name}" for name in shipped_names()}
    assert "checksums match, 16 scenes" in by_name["data store"]["found"]
    assert f"torch {importlib.metadata.version('torch')}" in by_name["packages"]["found"]
    assert str(Path.home()) not in out and str(tmp_path) not in out and "AMD" not in out
    assert "names neither folders nor the host" in err
    assert list(tmp_path.iterdir()) == []
    code, out, _ = gqn_zoo("doctor", scenes)
    assert code == 0 and out.splitlines()[-1] == "everything that is needed works"


def test_two_processes_exchange_a_number_over_gloo():
    (finding,) = doctor._processes("gloo")
    assert (finding.status, finding.found[:34]) == ("ok", "2 process(es) exchanged a number i"), finding


def test_a_network_that_gloo_cannot_use_is_found(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nowhere0")
    (finding,) = doctor._guarded("gloo", lambda: doctor._processes("gloo"))
    assert finding.status == "broken" and "nowhere0" in finding.found


def test_processes_that_hang_are_ended(monkeypatch):
    monkeypatch.setattr(doctor, "HANDSHAKE_SECONDS", 0.1)  # less than it takes to import torch
    (finding,) = doctor._guarded("gloo", lambda: doctor._processes("gloo"))
    assert finding.status == "broken" and "did not exchange a number in 0.1 s" in finding.found


def test_metadata_of_another_version_are_found(monkeypatch):
    monkeypatch.setattr("zoo.__version__", "9.9.9")
    finding = found("package")["package"]
    assert finding.status == "note" and "but the metadata are of" in finding.found


def test_a_package_that_is_not_installed_is_found(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert found("package")["package"].status == "broken"
    assert found("requirements")["package torch"].found.startswith("torch is not installed, required ")
    extra = found("extras")["extra cluster"]
    assert (extra.status, extra.advice) == ("note", "pip install 'gqn-zoo[cluster]'")
    assert extra.found.startswith("submitit is not installed")


def test_versions_outside_of_their_range_are_found(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.1")
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.0")
    findings = found("requirements")
    assert findings["python"].status == "broken" and "3.9.0" in findings["python"].found
    assert findings["package numpy"].status == "broken"
    assert findings["package numpy"].found.startswith("numpy 0.0.1, required ")


@pytest.mark.parametrize(("precision", "status"), [("float32", "broken"), ("bfloat16", "note")])
def test_a_device_that_computes_wrongly_is_found(monkeypatch, precision, status):
    real = torch.nn.functional.conv2d

    def wrong(x, weight, **options):
        faulty = torch.is_autocast_enabled("cpu") if precision == "bfloat16" else x.dtype == torch.float32
        return real(x, weight, **options) * (math.nan if faulty else 1.0)

    monkeypatch.setattr(torch.nn.functional, "conv2d", wrong)
    short = {"float32": "fp32", "bfloat16": "bf16"}[precision]
    finding = found("devices")[f"{short} on cpu"]
    assert finding.status == status and finding.found.startswith("relative error of a convolution nan")


def test_a_missing_compiler_and_missing_headers_are_found(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    monkeypatch.setenv("CPLUS_INCLUDE_PATH", "")
    if shutil.which("g++"):
        finding = found("compiler")["torch.compile"]
        assert finding.status == "note" and "Python.h" in finding.found
    monkeypatch.setenv("CXX", "no-such-compiler")
    finding = found("compiler")["torch.compile"]
    assert (finding.status, finding.found) == ("note", "there is no C++ compiler no-such-compiler")
    assert "apt install" in finding.advice


def test_nccl_is_not_tried_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert found("nccl")["nccl"].status == "note"


def test_a_folder_that_cannot_be_written_is_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def read_only(descriptor):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("os.fsync", read_only)
    finding = found("disk")["disk"]
    assert finding.status == "broken" and "Read-only file system" in finding.found
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_and_little_shared_memory_are_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Usage(64_000_000, 0, 64_000_000))
    assert found("disk")["disk"].status == "broken"
    finding = found("shared_memory")["shared memory"]
    assert finding.status == "note" and "--shm-size" in finding.advice
    monkeypatch.setattr(doctor, "SHARED_MEMORY", tmp_path / "shm")
    assert found("shared_memory")["shared memory"].found == "0 MB free"


def test_faults_of_registry_files_are_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("registry.yaml").write_text(
        "version: 1\nvariants:\n"
        "  broken: {base: nothing}\n"
        "  raises: {base: vae, title: T, core: {use: ./mine.py:Mine}}\n"
    )
    Path("mine.py").write_text("raise RuntimeError('of the user')\n")
    findings = list(doctor._guarded("registry", doctor._registry))
    texts = [finding.found for finding in findings if finding.status == "broken"]
    assert len(texts) == 2
    assert "there is no variant 'nothing'" in texts[0] and "RuntimeError: of the user" in texts[1]


def test_a_plug_in_that_is_not_a_package_is_found(monkeypatch):
    from zoo.registry.sources import RegistryFile

    fault = RegistryFile(Path("gone"), prefix="lab/", required=False, problem="plug-in 'lab': entry point is not there")
    monkeypatch.setattr("zoo.registry.sources.plug_in_files", lambda: [fault])
    assert [each.found for each in doctor._registry() if each.status == "broken"] == [fault.problem]


def test_damaged_weights_are_found(monkeypatch, tmp_path):
    from zoo.results.weights import weights_folder

    shutil.copytree(weights_folder() / "vae", tmp_path / "vae")
    shutil.copytree(weights_folder() / "np-1d", tmp_path / "np-1d")
    file = tmp_path / "vae" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    monkeypatch.setattr("zoo.results.weights.weights_folder", lambda: tmp_path)
    findings = found("weights")
    assert findings["weights np-1d"].status == "ok"
    assert findings["weights vae"].status == "broken" and "is damaged" in findings["weights vae"].found


def test_damaged_data_exit_with_code_1(gqn_zoo, no_processes, monkeypatch, scenes, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(scenes, "copy")
    file = Path("copy/test/frames-00000.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    code, out, _ = gqn_zoo("doctor", "copy", "absent")
    assert code == 1 and out.splitlines()[-1] == "2 checks failed"
    assert "frames-00000.npy: SHA-256 is" in " ".join(out.split()) and "absent: there is no such folder" in out


def test_an_exception_of_a_library_is_a_finding(monkeypatch):
    def fail():
        raise RuntimeError("driver\n too old")

    monkeypatch.setattr(torch.cuda, "is_available", fail)
    assert found("nccl")["nccl"][1:3] == ("broken", "RuntimeError: driver too old")
