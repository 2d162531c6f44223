"""Modelled times of kernels: their machine code for sm_90 and what they do on the workload together."""

from __future__ import annotations

from bench.measure.kernel_model import KernelTime, KernelWork, kernel_time
from bench.measure.sass.cubins import compile_cubins
from bench.measure.sass.flow import Flow
from bench.measure.sass.hot_loops import find_kernel
from bench.measure.sass.listing import disassemble
from bench.measure.sass.ptxas import demangle, resources
from bench.paths import ROOT


def time_kernels(works: list[KernelWork]) -> list[tuple[str, KernelTime]]:
    """(short name, modelled time) of each kernel."""
    sources = {w.op: ROOT / "csrc" / "ops" / w.op / f"{w.op}_cuda.cu" for w in works}
    cubins = compile_cubins(sorted(sources.values()))
    found = []
    for work in works:
        cubin = cubins[sources[work.op]]
        kernel = find_kernel(disassemble(cubin.path, work.kernel), work.kernel)
        said = next(r for r in resources(cubin.log) if r.kernel == kernel.name)
        found.append((demangle([kernel.name])[kernel.name], kernel_time(work, Flow(kernel), said)))
    return found
