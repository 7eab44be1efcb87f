"""Log density, gradient and posterior means beside those of an earlier commit, for every model and study.

``python -m benchmarks compare`` checks out the earlier commit, asks it and this one the same questions, each
in a process of its own, and prints the largest differences. A question is asked of every model that the
earlier commit ships and each study that it can be fitted to, the real ones of ``shared/data`` included. Both
read the model files and studies as they were then: what has other priors or samples since is another
question, and a flux of another form is another choice of its slot, which those files do not name.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np

COMMIT = "14a2322"
POINTS = 1000
SCALE = 0.5  # SD of the points, in non-centred coordinates about the medians of the priors
DENSITY_AGREES, MEANS_AGREE = 1e-10, 4.0
TIGHT = {"fasting": 1e-11}
"""Studies that are solved to another tolerance than the usual: these fasts begin at the last meal since, so
that the solver's steps are others, and the usual ones agree only as far as it is exact."""
ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"

COLUMNS = {
    "name": "model and study",
    "coordinates": "coordinates",
    "points": "points",
    "value": "log density, relative",
    "gradient": "gradient, relative",
}
MEANS = {"name": "model and study", "values": "values", "worst": "largest difference, MCSE", "which": "of"}


def main() -> None:
    """Compare this checkout with `COMMIT`; exit code 1 where something differs by more than it may."""
    with tempfile.TemporaryDirectory() as folder, earlier_program(Path(folder)) as then:
        agree = compare(then, Path(folder))
    sys.exit(0 if agree else 1)


@contextmanager
def earlier_program(folder: Path) -> Iterator[Path]:
    """A checkout of `COMMIT` in a folder, which is there meanwhile."""
    then = folder / "then"
    subprocess.run(["git", "worktree", "add", "-q", "--detach", str(then), COMMIT], cwd=ROOT, check=True)
    try:
        yield then
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(then)], cwd=ROOT, check=True)


def compare(then: Path, folder: Path) -> bool:
    """Ask the checkout `then` and this one; print both tables and keep them."""
    from benchmarks.report import show, write

    for name, checkout in (("then", then), ("now", ROOT)):
        _ask(checkout, name, folder)
    rows = densities(folder)
    show(f"Log density and gradient against {COMMIT}", rows, COLUMNS)
    means = posterior_means(folder)
    show(f"Posterior means against {COMMIT}", means, MEANS)
    agree = all(row["value"] <= DENSITY_AGREES and row["gradient"] <= DENSITY_AGREES for row in rows)
    agree &= all(row["worst"] <= MEANS_AGREE for row in means)
    write("compare", rows, commit=COMMIT, means=means, scale=SCALE)
    return agree


def _ask(checkout: Path, name: str, folder: Path) -> None:
    """What a checkout answers, in the files of `folder`."""
    command = [sys.executable, str(Path(__file__).resolve()), name, str(folder)]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(checkout)}, cwd=folder, check=True)


def densities(folder: Path) -> list[dict]:
    """A row per model and study: the largest relative differences."""
    rows = []
    for path in sorted((folder / "then").glob("*.npz")):
        with np.load(path) as then, np.load(folder / "now" / path.name) as now:
            solved = np.isfinite(then["value"])
            if (solved != np.isfinite(now["value"])).any() or then["gradient"].shape != now["gradient"].shape:
                raise RuntimeError(f"{path.stem}: other coordinates, or other points that can be solved")
            size = np.abs(then["gradient"]).max(axis=1)
            off = np.abs(now["gradient"] - then["gradient"]).max(axis=1) / size
            value = np.abs(now["value"] - then["value"]) / np.abs(then["value"])
            row = {"name": path.stem, "coordinates": then["gradient"].shape[1], "points": int(solved.sum())}
            rows.append(row | {"value": float(value[solved].max()), "gradient": float(off[solved].max())})
    return rows


def posterior_means(folder: Path) -> list[dict]:
    """A row per model and study: the largest difference of posterior means, in Monte Carlo standard
    errors."""
    import bayesglu
    from bayesglu.analysis.diagnostics import mixing

    rows = []
    for path in sorted((folder / "then").glob("*.nc")):
        then, now = (bayesglu.load(folder / when / path.name).posterior for when in ("then", "now"))
        worst, which, values = 0.0, "", 0
        for name, old in then.data_vars.items():
            new = now[name]
            pairs = [draws.values.reshape(*draws.shape[:2], -1) for draws in (old, new)]
            errors = [draws.std((0, 1)) / np.sqrt(mixing(draws).ess_bulk) for draws in pairs]
            with np.errstate(invalid="ignore"):
                away = np.abs(pairs[0].mean((0, 1)) - pairs[1].mean((0, 1))) / np.hypot(*errors)
            values += len(away)
            if np.nanmax(away, initial=0.0) > worst:
                worst, which = float(np.nanmax(away)), str(name)
        rows.append({"name": path.stem, "values": values, "worst": worst, "which": which})
    return rows


def answer(when: str, folder: Path) -> None:
    """Ask the code that this process imports: densities as ``.npz``, short fits as ``.nc``."""
    import bayesglu

    warnings.simplefilter("ignore", FutureWarning)  # names of those files that are others today
    files = given(folder)
    model_of, design_of, density_of, tolerances = _then() if when == "then" else _now(files / "models")
    out = folder / when
    out.mkdir()
    for study in studies(files / "data"):
        tight = dict.fromkeys(tolerances, TIGHT[study.name]) if study.name in TIGHT else {}
        for model in map(model_of, sorted(path.stem for path in (files / "models").glob("*.toml"))):
            known = [a for a in study.analytes if a in model.analytes]
            try:
                part = study.select(analytes=known)
                density = density_of(design_of(model, part, **tight))
            except ValueError:  # this model is not for this study: both commits must say so
                continue
            x = SCALE * np.random.default_rng(1).normal(size=(POINTS, density.size))
            found = [density(point) for point in x]
            name = f"{model.name}, {study.name}"
            values = {"value": [value for value, _ in found], "gradient": [slope for _, slope in found]}
            np.savez(out / f"{name}.npz", **values)
            if study.name in FITTED.get(model.name, ()):
                short = {"draws": 300, "tune": 300, "chains": 2, "random_seed": 1, "progressbar": False}
                bayesglu.save(bayesglu.fit(model, part, **short), out / f"{name}.nc")
            print(when, name, flush=True)


def given(folder: Path) -> Path:
    """A folder with the model files and studies of the earlier commit. A model extends another by its file:
    by its name it would be that of the code which reads it."""
    place = folder / "given"
    if not place.is_dir():
        packed = subprocess.run(
            ["git", "archive", COMMIT, "models", "data"], cwd=ROOT, capture_output=True, check=True
        )
        with tarfile.open(fileobj=BytesIO(packed.stdout)) as files:
            files.extractall(place, filter="data")
        for path in (place / "models").glob("*.toml"):
            text = re.sub(r'^extends = "(\w+)"$', r'extends = "\1.toml"', path.read_text("utf-8"), flags=re.M)
            path.write_text(text, "utf-8")
    return place


FITTED = {
    "minimal": ("bergman1986",),
    "ivgtt": ("bergman1986",),
    "oral": ("synthetic_ogtt",),
    "oral_cpeptide": ("synthetic_ogtt", "ohashi2015"),
    "feedback": ("synthetic_ogtt", "fujita2022"),
    "fasting": ("fasting",),
}
"""Which studies a model is sampled for."""


def studies(shipped: Path):
    """The studies that the earlier commit ships, and those of ``shared/data``."""
    import bayesglu

    yield from (bayesglu.load_study(path.parent) for path in sorted(shipped.glob("*/datasheet.toml")))
    yield bayesglu.load_study(SHARED / "fujita2022", protocol="ogtt(75)", body_weight=62.0)
    yield bayesglu.load_study(SHARED / "ohashi2015", protocol="ogtt(75)")
    try:
        from bayesglu.validation.rothman1991 import fasting_study
    except ImportError:  # the earlier commit
        from bayesglu.fasts import fasting_study
    yield fasting_study(SHARED / "literature")


def _then():
    """How the earlier commit reads a model by its name, and puts model and study together."""
    from bayesglu.inference.design import design

    from bayesglu import load_model
    from bayesglu.inference.density import Density

    return load_model, design, Density, ("relative", "absolute")


def _now(models: Path):
    """How this one does, of files in a folder."""
    from bayesglu import load_model
    from bayesglu.hierarchy.design import make_design
    from bayesglu.inference.density import Density

    return lambda name: load_model(models / f"{name}.toml"), make_design, Density, ("rtol", "atol")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("when", choices=("then", "now"))
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    answer(asked.when, asked.folder)
