"""Only calls CMake (the one build description, CMakeLists.txt) and places the library; everything else is in
pyproject.toml."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
LIBRARY = "libcolad_ops.so"


def torch_directory() -> Path:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        sys.exit("colad_ops needs torch >= 2.11 to be built: install torch first or leave build isolation on")
    return Path(spec.origin).parent


class CMakeBuild(build_ext):
    def run(self) -> None:
        # CMake keeps the nvcc that it found first, so another one gets a folder of its own.
        build = ROOT / "build" / re.sub(r"\W+", "-", f"cmake{os.environ.get('CUDACXX', '')}")
        target = ROOT / "colad_ops" if self.inplace or self.editable_mode else Path(self.build_lib) / "colad_ops"
        # The tools that were installed beside this Python come first, also where its environment is not activated.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        cmake, ninja = (shutil.which(tool, path=path) or tool for tool in ("cmake", "ninja"))
        archs = os.environ.get("COLAD_CUDA_ARCHS")
        subprocess.run(
            [
                cmake, "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                f"-DCMAKE_MAKE_PROGRAM={ninja}",  # said anew each time: an earlier build environment may be gone
                f"-DTORCH_DIRECTORY={torch_directory()}",
                f"-DCOLAD_VERSION={self.distribution.get_version()}",
                f"-DCOLAD_CUDA={os.environ.get('COLAD_CUDA', 'AUTO')}",
                # -U: without the variable the default of CMakeLists.txt counts, not what an earlier build was told.
                f"-DCOLAD_CUDA_ARCHS={archs}" if archs else "-UCOLAD_CUDA_ARCHS",
            ],
            check=True,
        )  # fmt: skip
        subprocess.run([cmake, "--build", build], check=True)
        target.mkdir(parents=True, exist_ok=True)
        self.copy_file(build / LIBRARY, target / LIBRARY)

    def get_outputs(self) -> list[str]:
        return [str(Path(self.build_lib) / "colad_ops" / LIBRARY)]

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def get_source_files(self) -> list[str]:
        return [
            "CMakeLists.txt",
            *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "csrc").rglob("*")) if p.is_file()),
        ]


class StableAbiWheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        # The library knows neither Python nor a particular torch (LibTorch stable ABI).
        return "py3", "none", super().get_tag()[2]


class BinaryDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        return True


setup(
    ext_modules=[Extension("colad_ops.libcolad_ops", sources=[])],
    cmdclass={"build_ext": CMakeBuild, "bdist_wheel": StableAbiWheel},
    distclass=BinaryDistribution,
)
