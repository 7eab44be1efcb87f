"""Where and with what a benchmark ran."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (
    "bayesglu", "casadi", "diffrax", "jax", "llvmlite", "nutpie", "numba", "numpy", "numpyro", "pymc", "scipy"
)  # fmt: skip


def machine() -> dict:
    """Processor, operating system, Python and versions of the libraries that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": found,
    }


def _processor() -> str:
    from llvmlite import binding

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name} ({binding.get_host_cpu_name()})"


def stay_on_one_core() -> None:
    """Run this process on one core from now on, where the system allows it: a chain has no more than that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
