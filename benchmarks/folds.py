"""``python -m benchmarks folds``: ten folds of the 120 people of `ohashi2015`, from a fit of them all.

The fit and every fold are kept in build/folds as they end, so that the same command goes on where it was
stopped; what they took is kept with them.
"""

import json
import time
from pathlib import Path

import bayesglu
from benchmarks.compare import SHARED
from benchmarks.report import show, write

MODEL, FOLDS, SEED = "oral_cpeptide", 10, 1
WHOLE = {"draws": 500, "tune": 500, "chains": 2}
SHORT = {"draws": 200, "tune": 400, "chains": 2}
FOLDER = Path(__file__).parents[1] / "build" / "folds"
COLUMNS = {"fold": "fold", "people": "left out", "seconds": "s", "clean": "clean", "verdict": "verdict"}


def main() -> None:
    """Fit everybody, then make the folds."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    study = bayesglu.load_study(SHARED / "ohashi2015", protocol="ogtt(75)")
    took = _took("whole")
    began = time.perf_counter()
    whole = bayesglu.fit(MODEL, study, random_seed=SEED, resume=FOLDER / "whole.zarr", **WHOLE)
    seconds = took or _took("whole", time.perf_counter() - began)
    found = bayesglu.cross_validate(
        MODEL, study, by=FOLDS, start=whole, keep=FOLDER / "folds", random_seed=SEED, **SHORT
    )
    left_out = found.fold_of.to_series().value_counts()
    rows = [
        {
            "fold": str(fold),
            "people": int(left_out[fold]),
            "seconds": float(found.seconds.sel(fold=fold)),
            "clean": bool(found.clean.sel(fold=fold)),
            "verdict": str(found.verdict.sel(fold=fold).values),
        }
        for fold in found.fold.values
    ]
    held = {
        str(analyte): float(found.inside.where(found.analyte == analyte, drop=True).mean())
        for analyte in sorted(set(found.analyte.values))
    }
    show(f"{FOLDS} folds of {len(study.subjects)} people, {MODEL}; held {held}", rows, COLUMNS)
    write(
        "folds",
        rows,
        model=MODEL,
        whole={**WHOLE, "seconds": seconds, "clean": bayesglu.check(whole).clean},
        folds=SHORT,
        held_90=held,
        elpd=float(found.elpd.sum()),
        elpd_error=float((found.elpd_error**2).sum() ** 0.5),
    )


def _took(name: str, seconds: float | None = None) -> float | None:
    """What a step took when it was made; None before it ended."""
    path = FOLDER / f"{name}-seconds.json"
    if seconds is not None:
        path.write_text(json.dumps(seconds), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


if __name__ == "__main__":
    main()
