"""What was built, and what a person reads when it cannot be loaded."""

import ctypes
import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import colad_ops

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path(colad_ops.__file__).parent / "libcolad_ops.so"


def test_build_info_says_what_was_built():
    info = colad_ops.build_info()
    assert info["version"] == importlib.metadata.version("colad_ops") == colad_ops.__version__
    assert re.fullmatch(r"[0-9a-f]{12}|unknown", info["commit"])
    assert info["torch_target"] == "2.11" and info["compiler"].split()[0] in ("gcc", "clang")
    if info["cuda"] is None:
        assert info["cuda_archs"] == [] and info["lowest_driver"] is info["lowest_driver_for_ptx"] is None
    else:
        code = [arch for arch in info["cuda_archs"] if not arch.startswith("ptx")]
        assert re.match(r"\d+\.\d+", info["cuda"]) and code == sorted(code, key=int)
        assert info["cuda_archs"][len(code) :] == [f"ptx{arch}" for arch in code if arch in ("90", code[-1])]


needs_cuda = pytest.mark.skipif(colad_ops.build_info()["cuda"] is None, reason="built without CUDA")


@needs_cuda
def test_build_info_names_the_lowest_driver():
    """Machine code needs a driver of the same major version of CUDA, PTX the driver of this version."""
    info = colad_ops.build_info()
    major = int(info["cuda"].split(".")[0])
    assert info["lowest_driver"] == {12: 525, 13: 580}.get(major)
    if info["lowest_driver_for_ptx"] is not None:
        assert info["lowest_driver"] <= info["lowest_driver_for_ptx"]


INSUFFICIENT_DRIVER, NO_KERNEL_IMAGE, UNSUPPORTED_PTX, INVALID_VALUE = 35, 209, 222, 1  # of cudaError_t


@needs_cuda
def test_a_launch_that_driver_or_card_refuse_says_what_to_do():
    library = ctypes.CDLL(str(LIBRARY))
    library.colad_launch_advice.restype = ctypes.c_char_p

    def advice(error: int, driver_cuda: int, capability: int) -> str:
        return library.colad_launch_advice(error, driver_cuda, capability).decode()

    info = colad_ops.build_info()
    built = f"built with CUDA {info['cuda']} for {' '.join(info['cuda_archs'])}"
    old = advice(INSUFFICIENT_DRIVER, 12060, 0)
    assert old.startswith("The NVIDIA driver is too old: ") and built in old and "knows CUDA up to 12.6." in old
    assert f"needs driver {info['lowest_driver'] or 'that came with it'} or newer" in old and "docs/install.md" in old
    assert "There is none." in advice(INSUFFICIENT_DRIVER, 0, 0)
    ptx = advice(UNSUPPORTED_PTX, 12060, 110)
    assert f"needs driver {info['lowest_driver_for_ptx'] or 'that came with it'} or newer" in ptx
    assert built in ptx and "compute capability 110" in ptx and "COLAD_CUDA_ARCHS=110" in ptx
    card = advice(NO_KERNEL_IMAGE, 13000, 75)
    assert card.startswith("There is no code for this card: ") and built in card and "COLAD_CUDA_ARCHS=75" in card
    assert advice(INVALID_VALUE, 13000, 90) == ""


def test_cuda_is_compiled_whenever_there_is_an_nvcc():
    assert shutil.which("nvcc") is None or colad_ops.build_info()["cuda"] is not None


@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm to list the library's symbols with")
def test_the_library_knows_no_python():
    symbols = subprocess.run(["nm", "-D", LIBRARY], check=True, capture_output=True, text=True).stdout
    assert "aoti_torch" in symbols  # the stable ABI
    assert not re.findall(r" U _?Py\w+| U \w*(?:pybind11|at6Tensor|c106Device)\w*", symbols)


def test_a_library_that_cannot_be_loaded_names_the_causes(tmp_path):
    """A copy of the package without its library, imported in another process."""
    shutil.copytree(LIBRARY.parent, tmp_path / "colad_ops", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    run = subprocess.run([sys.executable, "-c", "import colad_ops"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode != 0
    assert "colad_ops could not load its compiled library" in run.stderr and "does not exist" in run.stderr
    for cause in ("it was never built", "torch is older than 2.11", "There is no fallback in Python"):
        assert cause in run.stderr


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not run from the source tree")
def test_every_operator_has_its_room():
    """Deleting an operator is deleting a folder: files, schema and Python follow the one list in CMakeLists.txt."""
    rooms = re.search(r"set\(COLAD_OPS ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text()).group(1).split()
    shared = ["losses"]  # what focal_loss and focal_kl have in common: no operator of its own
    assert sorted(rooms + shared) == sorted(p.name for p in (ROOT / "csrc" / "ops").iterdir())
    for room in rooms:
        formula = set() if room == "paa_assign" else {f"{room}_math.h"}  # that one is made of others
        assert formula | {f"{room}.h", f"{room}_cpu.cpp", f"{room}_cuda.cu"} <= {
            p.name for p in (ROOT / "csrc" / "ops" / room).iterdir()
        }
        assert (ROOT / "colad_ops" / "ops" / f"{room}.py").is_file()


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not run from the source tree")
def test_the_version_stands_in_one_place():
    assert f'\nversion = "{colad_ops.__version__}"\n' in (ROOT / "pyproject.toml").read_text()
