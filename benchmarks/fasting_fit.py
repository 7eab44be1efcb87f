"""The seven fasting people, sampled, and each left out in turn, for a test that has no minutes for it:
python -m benchmarks.fasting_fit

It keeps the verdict, and what bands of those left out hold, with the hashes of model and study and the values
of the equations; the test fails when any of these is no longer today's.
"""

import json

import bayesglu
from bayesglu.validation.rothman1991 import fasting_study
from benchmarks.fasting import TABLES
from benchmarks.report import write


def main() -> None:
    """Fit, judge, and keep the verdict."""
    study = fasting_study(TABLES)
    fit = bayesglu.fit("fasting", study, draws=2000, tune=500, chains=2, random_seed=1)
    verdict = bayesglu.check(fit, warn=False)
    print(verdict)
    left_out = bayesglu.leave_one_out("fasting", study, list(study.subjects), method="laplace", draws=2000)
    held = bayesglu.coverage(left_out).loc["liver_glycogen", "all"]
    print(held)
    write(
        "fasting_fit",
        [],
        clean=verdict.clean,
        verdict=str(verdict),
        left_out={"samples": int(held["samples"]), "share": float(held["share"])},
        model=fit.attrs["model_hash"],
        study=fit.attrs["study_hash"],
        equations=json.loads(fit.attrs["equations"]),
    )


if __name__ == "__main__":
    main()
