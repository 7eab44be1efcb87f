"""Writes the tables of docs/truth.md from what `python -m benchmarks truth` found: python docs/truth.py"""

import json
import re
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
PAGE = Path(__file__).with_suffix(".md")
WORDS = {
    "glucose_infusion at 85 min": "glucose infused at 85 min",
    "glucose_infusion at the end": "glucose infused at the end",
    "endogenous_glucose_production": "glucose production",
    "glucose_appearance": "appearance of glucose",
}
HEADINGS = {
    "fitted, then predicted": "---",
    "group": "---",
    "of": "---",
    "people": "---:",
    "in 90 %": "---:",
    "in 50 %": "---:",
    "predicted / measured": "---:",
    "log score": "---:",
    "of a new subject": "---:",
    "carried forward": "---:",
}


def page() -> str:
    """The page, with the tables of today's results."""
    text = PAGE.read_text(encoding="utf-8")
    return re.sub(r"(<!-- begin: (\w+) -->\n).*?(<!-- end -->)", _section, text, flags=re.DOTALL)


def _section(found: re.Match) -> str:
    kept = json.loads((RESULTS / f"{found[2]}.json").read_text(encoding="utf-8"))
    return f"{found[1]}{_table(kept['rows'])}\n{_fits(kept)}{found[3]}"


def _table(rows: list[dict]) -> str:
    lines = [list(HEADINGS), list(HEADINGS.values())]
    for row in rows:
        low, held, high = (f"{100 * row[name]:.0f}" for name in ("low_90", "held_90", "high_90"))
        scores = [_score(row.get(n)) for n in ("log_score", "new_subject_log_score", "carried_log_score")]
        of, half = WORDS.get(row["analyte"], row["analyte"]), f"{100 * row['held_50']:.0f} %"
        share = f"{held} % ({low} to {high})"
        cells = [row["name"], row["group"], of, str(row["people"]), share, half, f"{row['ratio']:.2f}"]
        lines.append([*cells, *scores])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _score(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value > -10 else f"{value:.0f}"


def _fits(kept: dict) -> str:
    s, unclean = kept["settings"], [name for name, fit in kept["fits"].items() if not fit["clean"]]
    told = f"Each fit: {s['chains']} chains of {s['draws']} draws after {s['tune']} of tuning. "
    if not unclean:
        return told + "`check` found all of them clean.\n"
    return told + f"`check` has objections to {', '.join(f'`{name}`' for name in unclean)}.\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
