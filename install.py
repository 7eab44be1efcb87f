"""Set up bayesglu in .venv, beside this file: python3 install.py [extra ...]

Needs Python and a package index, and nothing else; can be rerun safely. An extra is one of pyproject.toml,
such as `test`. Versions are those of constraints.txt. The Python of .venv is 3.13 (.python-version): uv finds
it, or fetches it.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BIN = "Scripts" if os.name == "nt" else "bin"


def main(extras):
    uv = str(ROOT / ".uv" / BIN / "uv")
    wanted = "-e ." + ("[" + ",".join(extras) + "]" if extras else "")
    for command in (
        [sys.executable, "-m", "venv", ".uv"],
        [str(ROOT / ".uv" / BIN / "pip"), "install", "-q", "uv"],
        [uv, "venv", "-q", "--allow-existing"],
        [uv, "pip", "install", "-p", ".venv", "--compile-bytecode", "-c", "constraints.txt", *wanted.split()],
    ):
        subprocess.run(command, cwd=str(ROOT), check=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit("This failed: " + " ".join(error.cmd))
