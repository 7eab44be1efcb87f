"""``python -m benchmarks.kills --kills 200 --random-seed 1``: a run is killed, and ends as it would have.

Each time a process that fits a small study into a folder, and saves the fit over an older one, is killed at a
random moment of a named phase. Then this process looks at what is on the disk, makes the same call, and
compares. Nothing that was kept may be lost or changed; a chain that kept no draw before, in coordinates whose
pilot run was not stopped while it drew, is the same to the last bit. What was done so far is kept after each
kill, and the same command resumes from there.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

import bayesglu
from bayesglu.atomic import is_hidden
from bayesglu.errors import BayesgluError
from bayesglu.inference.run_folder import Run
from bayesglu.solver.kept import find
from benchmarks.report import RESULTS, read, show, write

CASE = ("minimal", "bergman1986")
SETTINGS = {"draws": 200, "tune": 240, "chains": 2, "random_seed": 3, "progressbar": False}
PHASES = ("compile", "start", "pilot", "tuning", "drawing", "last write", "save", "any")
FIT_AND_SAVE = """
import sys, time
folder, out, log = sys.argv[1:]
def reached(phase):
    with open(log, "a") as file:
        file.write(f"{{time.time()}} {{phase}}\\n")
reached("start")
import bayesglu
from bayesglu.inference import fit_files, fitting, sampler, stages
from bayesglu.inference.kept_draws import KeptDraws
sampler.OFTEN = 0.0
def told(owner, name, phase_of):
    function = getattr(owner, name)
    def tells(*arguments, **settings):
        if phase := phase_of(*arguments, **settings):
            reached(phase)
        return function(*arguments, **settings)
    setattr(owner, name, tells)
told(stages, "sample", lambda *_, doing="tuning", **__: doing)
told(KeptDraws, "keep", lambda kept, *_: kept.folder.name != "pilot" and "drawing")
told(fitting, "write", lambda *_: "last write")
told(fit_files, "write", lambda *_: "save")
fit = bayesglu.fit(*{case}, resume=folder, **{settings})
bayesglu.save(fit, out)
reached("end")
"""


@dataclass
class Reference:
    """The run that nothing stopped: its folder, its fit, how long each phase took, and its compiled code."""

    folder: Path
    fit: xr.DataTree
    seconds: dict[str, float]
    cache: Path


def main(kills: int = 200, random_seed: int = 1) -> None:
    """Kill so many times, and keep the counts."""
    kept = read("kills") if (RESULTS / "kills.json").exists() else {}
    rows = kept["rows"] if kept.get("random_seed") == random_seed else []
    with tempfile.TemporaryDirectory() as folder:
        reference = undisturbed(Path(folder))
        while len(rows) < kills:
            rows.append(killed(len(rows), random_seed, reference, Path(folder) / f"kill-{len(rows)}"))
            write("kills", rows, random_seed=random_seed, settings=SETTINGS, counts=counts(rows))
            print(rows[-1], flush=True)
    columns = {"name": "meant", "kills": "kills", "equal": "the same to the last bit", "faults": "faults"}
    show(f"{len(rows)} kills", counts(rows), columns)


def counts(rows: list[dict]) -> list[dict]:
    """Kills, results that were the same to the last bit, and faults, by phase."""
    found = []
    for phase in PHASES:
        own = [row for row in rows if row["phase"] == phase]
        equal = sum(row["equal"] for row in own)
        fell = Counter(row["fell"] for row in own)
        faults = sum(bool(row["faults"]) for row in own)
        found.append({"name": phase, "kills": len(own), "equal": equal, "faults": faults, "fell": dict(fell)})
    return found


def undisturbed(folder: Path, cache: Path | None = None) -> Reference:
    """The run that nothing stops, made by another process, which compiles where there is no `cache` yet, and
    by this one."""
    log = folder / "log"
    for name in ("timed",) if cache else ("compiling", "timed"):
        log.unlink(missing_ok=True)
        process = _begun(folder / f"{name}.zarr", folder / f"{name}.nc", log, cache or folder / "cache")
        if process.wait():
            raise RuntimeError("the run that nothing stops came to no end")
    times = [(float(at), phase) for at, _, phase in _lines(log)]
    first = {}
    for at, phase in times:
        first.setdefault(phase, at)
    ends = [*list(first.values())[1:], times[-1][0]]
    seconds = {phase: end - at for (phase, at), end in zip(first.items(), ends, strict=True)}
    own = folder / "own.zarr"
    fit = bayesglu.fit(*CASE, resume=own, **SETTINGS)
    return Reference(own, fit, seconds, cache or folder / "cache")


def killed(number: int, random_seed: int, reference: Reference, folder: Path) -> dict:
    """One kill: when it was meant and where it fell, what was kept, and all that is not as it should be."""
    rng = np.random.default_rng([random_seed, number])
    phase = PHASES[number % len(PHASES)]
    folder.mkdir()
    run, out, log, cache = (folder / name for name in ("run.zarr", "people.nc", "log", "cache"))
    older = reference.fit.copy()
    older.attrs = {**reference.fit.attrs, "study_name": "older"}
    bayesglu.save(older, out)
    if phase == "compile":
        shutil.copytree(reference.cache, cache)
        code = sorted(path for path in cache.rglob("*") if path.is_file())
        for path in rng.choice(code, min(3, len(code)), replace=False):
            path.unlink()
    waits = {"compile": 8.0, "any": sum(reference.seconds.values())}
    delay = float(rng.uniform(0, waits.get(phase) or reference.seconds[phase]))
    compiled = cache if phase == "compile" else reference.cache
    before = {p.name for p in _code(compiled) if find(p) is None}
    process = _begun(run, out, log, compiled)
    while process.poll() is None and not _has(log, phase if phase not in waits else "start"):
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.wait()
    fell = _lines(log)[-1][2] if _lines(log) else "start"
    damaged = {p.name for p in _code(compiled) if find(p) is None} - before
    faults = [f"damaged code {name}" for name in sorted(damaged)]
    if phase == "compile" and _begun(folder / "again.zarr", folder / "again.nc", log, compiled).wait():
        faults.append("what was compiled cannot be run")
    kept, draws = _seen(run, out, reference, faults)
    equal = _resumed(run, out, reference, kept, faults)
    shutil.rmtree(folder)
    told = {"number": number, "phase": phase, "delay": round(delay, 3), "fell": fell, "kept": draws}
    return {**told, "equal": equal, "faults": faults}


def _seen(run: Path, out: Path, reference: Reference, faults: list[str]) -> tuple[dict[Path, bytes], int]:
    """The files with draws and coordinates after a kill, and how many draws there are."""
    if bayesglu.load(out).attrs["study_name"] not in ("older", reference.fit.attrs["study_name"]):
        faults.append("there is neither the older fit nor the new one")
    if not run.exists():
        return {}, 0
    try:
        bayesglu.load(run)
    except BayesgluError as error:
        if "has not finished" not in str(error) and (run / "run.json").exists():
            faults.append(f"load: {error}")
    files = {path: path.read_bytes() for path in run.rglob("*.npz") if not is_hidden(path)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draws = sum(len(part) for _, _, part in _parts(run)) if files else 0
    return files, draws


def _resumed(run: Path, out: Path, reference: Reference, kept: dict[Path, bytes], faults: list[str]) -> bool:
    """Whether the same call ends, with the same result to the last bit."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fit = bayesglu.fit(*CASE, resume=run, **SETTINGS)
        bayesglu.save(fit, out)
    faults += [str(w.message) for w in told]
    faults += [f"{path.name} is lost" for path in kept if not path.exists()]
    changed = [path for path, content in kept.items() if path.exists() and path.read_bytes() != content]
    settled = (run / "coordinates.npz").read_bytes() == (reference.folder / "coordinates.npz").read_bytes()
    # Coordinates that were written and not yet settled are written again.
    faults += [f"{path.name} is another" for path in changed if path.parent != run]
    again = {(kind, chain) for kind, chain, _ in _parts(run, later=True)}
    if not settled and not any(kind == "pilot" for kind, _ in again):
        faults.append("other coordinates, though the pilot run was not stopped while it drew")
    for chain in range(SETTINGS["chains"]):
        own, same = (f.posterior.sel(chain=chain) for f in (fit, reference.fit))
        if settled and ("chains", chain) not in again and not own.equals(same):
            faults.append(f"chain {chain} is another")
    if not bayesglu.load(out).identical(fit) or not bayesglu.load(run).identical(fit):
        faults.append("what is saved is another")
    if set(fit.posterior.sizes.items()) != set(reference.fit.posterior.sizes.items()):
        faults.append("there are not as many draws as were asked for")
    faults += [f"{path.name} is left" for path in run.rglob("*") if is_hidden(path)]
    return bool(fit.posterior.equals(reference.fit.posterior))


def _parts(run: Path, later: bool = False) -> Iterator[tuple[str, int, np.ndarray]]:
    """The draws of each part of each chain, also of the pilot run; `later` : of those after the first."""
    found = Run(run)
    for kind, chains in (("pilot", found.pilot), ("chains", found.chains)):
        for chain in range(SETTINGS["chains"]):
            for part, segment in chains.parts(chain).items():
                if part or not later:
                    yield kind, chain, segment.positions


def _code(cache: Path) -> Iterator[Path]:
    return (path for path in cache.rglob("*") if path.is_file() and not is_hidden(path))


def _begun(run: Path, out: Path, log: Path, cache: Path) -> subprocess.Popen:
    text = FIT_AND_SAVE.format(case=CASE, settings=SETTINGS)
    environment = os.environ | {"BAYESGLU_CACHE_DIR": str(cache)}
    command = [sys.executable, "-W", "ignore", "-c", text, *map(str, (run, out, log))]
    return subprocess.Popen(command, env=environment)


def _lines(log: Path) -> list[tuple[str, str, str]]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.partition(" ") for line in lines]


def _has(log: Path, phase: str) -> bool:
    return any(line[2] == phase for line in _lines(log))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--random-seed", type=int, default=1)
    main(**vars(parser.parse_args()))
