"""Seven fasting people from beginning to end: a fit, its checks, each person left out, the published shares.

``python -m benchmarks.fasting``; with ``--fit FILE`` from a fit that is there.
"""

import argparse
from pathlib import Path

import bayesglu
from bayesglu.plots import fasting
from bayesglu.validation.rothman1991 import fasting_study, imaged, net_shares
from benchmarks.report import show, write

TABLES = Path(__file__).parents[2] / "shared" / "data" / "literature"
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "fasting.png"
SHARES = {
    "name": "window",
    "published": "published",
    "new_subject_lower": "new subject, 5 %",
    "new_subject": "median",
    "new_subject_upper": "95 %",
    "mean_lower": "mean of people, 5 %",
    "mean": "median",
    "mean_upper": "95 %",
}
COVERAGE = {"name": "left out", "inside": "inside", "samples": "samples", "share": "share"}


def main() -> None:
    """Fit, check, leave each person out, ask for the published shares, and draw the figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fasting", description=__doc__)
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the two published tables")
    parser.add_argument("--fit", type=Path, help="a fit of the study, as bayesglu fit writes it")
    parser.add_argument("--draws", type=int, default=500, help="draws of each chain without a person")
    given = parser.parse_args()
    study = fasting_study(given.tables)
    whole = bayesglu.load(given.fit) if given.fit else bayesglu.fit("fasting", study, random_seed=1)
    verdict = bayesglu.check(whole, warn=False)
    print(verdict)
    shares = net_shares(whole)
    rows = [{"name": name, **row} for name, row in shares.to_dict("index").items()]
    show("Share of gluconeogenesis in glucose production, 90 % bands", rows, SHARES)
    fasting(whole).savefig(FIGURE, dpi=150)

    left_out = bayesglu.leave_one_out(
        "fasting", study, imaged(whole), draws=given.draws, tune=given.draws, random_seed=1
    )
    counted = bayesglu.coverage(left_out).loc["liver_glycogen"].to_dict("index")
    counted = [{"name": name, **row} for name, row in counted.items()]
    show("Samples of people left out, inside their 90 % bands", counted, COVERAGE)
    write(
        "fasting",
        [*rows, *counted],
        clean=verdict.clean,
        every_fit_without_a_subject_clean=bool(left_out.clean.all()),
        model=bayesglu.load_model("fasting").hash,
        study=study.hash,
    )


if __name__ == "__main__":
    main()
