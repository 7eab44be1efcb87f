"""Run every notebook of this folder and keep its outputs: python notebooks/execute.py [name ...]

When and with which Python it ran is left out, so that a difference in a notebook means something.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main(wanted: Sequence[str]) -> None:
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        if wanted and path.stem not in wanted:
            continue
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, record_timing=False, resources={"metadata": {"path": path.parent}}).execute()
        notebook.metadata = nbformat.from_dict(METADATA)
        nbformat.write(notebook, path)
        print(f"Ran {path.name}.")


if __name__ == "__main__":
    main(sys.argv[1:])
