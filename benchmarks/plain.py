"""``python -m benchmarks plain``: the density where numba alone compiles everything, as in a release of it
that was never tried.

It takes a minute, unoptimised, for everything is compiled at each start; a test compares what is kept with
today's numbers, and fails when numba, model or study are others.
"""

import json
import os
import subprocess
import sys
import tempfile

import numba

import bayesglu
from benchmarks.report import write

CASE = ("minimal", "bergman1986")
AT = 0.1
DENSITY = f"""
import json
import numpy as np
from bayesglu import load_model, load_study
from bayesglu.inference.density import Density
from bayesglu.hierarchy.design import make_design
d = Density(make_design(load_model("{CASE[0]}"), load_study("{CASE[1]}")))
value, gradient = d(np.full(d.size, {AT}))
print(json.dumps([value, *gradient]))
"""


def main() -> None:
    """Evaluate in a process of its own, and keep value and gradient."""
    with tempfile.TemporaryDirectory() as folder:
        alone = {"BAYESGLU_CACHE_DIR": folder, "BAYESGLU_PLAIN_NUMBA": "1", "NUMBA_OPT": "0"}
        told = subprocess.run(
            [sys.executable, "-c", DENSITY],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | alone,
        )
        kept_there = sorted(os.listdir(folder))
    write(
        "plain",
        [],
        value_and_gradient=json.loads(told.stdout),
        cached=kept_there,
        numba=list(numba.version_info.short),
        model=bayesglu.load_model(CASE[0]).hash,
        study=bayesglu.load_study(CASE[1]).hash,
    )


if __name__ == "__main__":
    main()
