"""python -m benchmarks.truth.run [pair ...] [--over PLACE --name NAME]

The table on the screen, and ``results/truth.json``. With ``--over`` the models are those that tables laid
over them make of them, as ``results/truth_NAME.json``: those of a file, or of a folder those that bear the
names of the model and of what it extends. A fit is kept in ``build/truth`` under the hashes of
model, study and settings, so that an interrupted run goes on.
"""

import argparse
import hashlib
import json
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import xarray as xr

import bayesglu
from bayesglu import ModelSpec
from bayesglu.spec.files import overlay
from bayesglu.spec.files import write as write_tables
from benchmarks.report import show, write
from benchmarks.truth.pairs import PAIRS, Pair
from benchmarks.truth.predict import predicted
from benchmarks.truth.scores import score

KEPT = Path("build") / "truth"
SETTINGS = {"draws": 500, "tune": 500, "chains": 4, "random_seed": 1}
LAID = ("structure", "parameters", "analytes", "pseudo_observations", "correlations", "typical_correlations")
COLUMNS = {
    "name": "fitted, then predicted",
    "group": "group",
    "analyte": "of",
    "people": "people",
    "samples": "samples",
    "held_90": "in 90 %",
    "low_90": "from",
    "high_90": "to",
    "held_50": "in 50 %",
    "ratio": "predicted / measured",
    "log_score": "log score",
    "new_subject_log_score": "of a new subject",
    "carried_log_score": "carried forward",
}


def main(words: Sequence[str] = ()) -> None:
    """Fit, predict and score every pair whose data are there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth.run", description=__doc__)
    parser.add_argument("pairs", nargs="*", metavar="pair", help=f"of {', '.join(PAIRS)}; default: all")
    parser.add_argument("--over", type=Path, help="file or folder of tables to lay over the models")
    parser.add_argument("--name", default="", help="of the results, with --over")
    given = parser.parse_args(words)
    if unknown := [name for name in given.pairs if name not in PAIRS]:
        parser.error(f"no pair {', '.join(unknown)}; there are {', '.join(PAIRS)}")
    if given.over is not None and not given.over.exists():
        parser.error(f"--over: there is no {given.over}")
    rows, absent, fits = [], {}, {}
    for name in given.pairs or PAIRS:
        if not PAIRS[name].folder.is_dir():
            absent[name] = f"no {PAIRS[name].folder.name} in shared/data beside the checkout"
            print(f"{name}: skipped, {absent[name]}")
            continue
        pair = PAIRS[name].make()
        shipped = str(pair.model)
        pair = replace(pair, model=changed(shipped, given.over))
        fit = fitted(pair)
        fits[name] = {
            "extends": shipped,
            "model": pair.model.hash,
            "study": pair.fitted.hash,
            "equations": json.loads(fit.attrs["equations"]),
            "clean": bayesglu.check(fit, warn=False).clean,
        }
        rows += [{"name": pair.title, "pair": name, **row} for row in score(predicted(fit, pair))]
    show("What was measured, in bands of what was predicted", rows, COLUMNS)
    name = f"truth_{given.name}" if given.name else "truth"
    write(name, rows, absent=absent, fits=fits, settings=SETTINGS)


def changed(model: str, over: Path | None) -> ModelSpec:
    """A shipped model, or one that tables laid over it make of it."""
    if over is None:
        return bayesglu.load_model(model)
    head = f'title = "{model}, changed"\ndescription = "See {over.name}."\nextends = "{model}"\n'
    tables = [over] if over.is_file() else [over / f"{name}.toml" for name in lineage(model)]
    laid: dict = {}
    for table in tables:
        laid = overlay(laid, tomllib.loads(table.read_text(encoding="utf-8")) if table.exists() else {})
    return bayesglu.load_model(head + write_tables({key: laid[key] for key in LAID if key in laid}))


def lineage(model: str) -> list[str]:
    """A shipped model and those that it extends, the first first."""
    text = (Path(__file__).parents[2] / "models" / f"{model}.toml").read_text(encoding="utf-8")
    parent = tomllib.loads(text).get("extends")
    return [*(lineage(parent) if parent else []), model]


def fitted(pair: Pair) -> xr.DataTree:
    """The fit of a pair, from the disk if it is there."""
    decides = f"{pair.model.hash} {pair.fitted.hash} {SETTINGS}"
    place = KEPT / f"{hashlib.sha256(decides.encode()).hexdigest()[:16]}.nc"
    if not place.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        print(f"{pair.title}: fitting {len(pair.fitted.subjects)} people with {pair.model.title}")
        bayesglu.save(bayesglu.fit(pair.model, pair.fitted, progressbar=False, **SETTINGS), place)
    return bayesglu.load(place)


if __name__ == "__main__":
    main(sys.argv[1:])
