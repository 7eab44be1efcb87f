"""Makes the tables and the picture of docs/truth.md from what `python -m benchmarks truth` found: python
docs/truth.py"""

import json
import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bayesglu.plots.style import BLUE, GREY, PALE, VERMILLION, below, styled, title
from bayesglu.plots.style import picture as picture_of

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
PAGE = Path(__file__).with_suffix(".md")
WORDS = {
    "glucose_infusion at 85 min": "glucose infused at 85 min",
    "glucose_infusion at the end": "glucose infused at the end",
    "endogenous_glucose_production": "glucose production",
    "glucose_appearance": "appearance of glucose",
    "OGTT, then glucose by vein with the same curve": "OGTT, then intravenous glucose with the same curve",
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


PICTURE = Path(__file__).parent / "figures" / "truth.png"
DRAWN = {
    "truth_14a2322": ("at commit 14a2322", GREY),
    "truth_629dc2d": ("at commit 629dc2d, before forms had a discrepancy", VERMILLION),
    "truth": ("built-in models", BLUE),
}
"""Kept results in the picture, with what they are called there."""


def page() -> str:
    """The page, with the tables of today's results."""
    text = PAGE.read_text(encoding="utf-8")
    return re.sub(r"(<!-- begin: (\w+) -->\n).*?(<!-- end -->)", _section, text, flags=re.DOTALL)


@styled
def picture() -> Figure:
    """Shares of measurements that bands of 90 % hold, with their intervals, a row for each question."""
    kept = {name: _rows(name) for name in DRAWN}
    asked = list(kept["truth"])
    figure = picture_of(7.6, 0.42 * len(asked) + 0.8)
    axis = figure.subplots()
    axis.axvspan(85, 95, color=PALE, zorder=0, label="85 to 95 %")
    for place, (name, (called, colour)) in enumerate(DRAWN.items()):
        there = [i for i, question in enumerate(asked) if question in kept[name]]
        rows = [kept[name][asked[i]] for i in there]
        held, low, high = (np.array([100 * row[n] for row in rows]) for n in ("held_90", "low_90", "high_90"))
        y = np.array(there) + 0.22 * (place - 0.5 * (len(DRAWN) - 1))
        axis.hlines(y, low, high, color=colour, lw=1.2)
        axis.plot(held, y, "o", color=colour, ms=4.5, label=called)
    labels = [": ".join(WORDS.get(word, word) for word in question) for question in asked]
    axis.set_yticks(range(len(asked)), labels)
    axis.invert_yaxis()
    axis.set(xlim=(0, 100), xlabel="share of measurements within their 90 % intervals (%)")
    axis.tick_params(axis="y", length=0)
    below(figure, axis.get_legend_handles_labels()[0])
    title(
        figure, "What was predicted and then measured (bars: 90 % interval of the share, people drawn again)"
    )
    return figure


def _rows(name: str) -> dict[tuple[str, str], dict]:
    """The rows of everybody, by what was fitted and predicted, and of what."""
    rows = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    return {(row["name"], row["analyte"]): row for row in rows if row["group"] == "all"}


def _section(found: re.Match) -> str:
    kept = json.loads((RESULTS / f"{found[2]}.json").read_text(encoding="utf-8"))
    if found[2] == "ranks":
        return f"{found[1]}{_ranks(kept['rows'])}{found[3]}"
    return f"{found[1]}{_table(kept['rows'])}\n{_fits(kept)}{found[3]}"


def _ranks(rows: list[dict]) -> str:
    lines = [["measured by clamps", "by", "people", "rank correlation", "given bmi and group"]]
    lines.append(["---", "---", "---:", "---:", "---:"])
    for row in rows:
        values = [
            f"{row[name]:.2f} ({row[low]:.2f} to {row[high]:.2f})" if name in row else ""
            for name, low, high in (
                ("rank_correlation", "low", "high"),
                ("partial", "partial_low", "partial_high"),
            )
        ]
        lines.append([row["name"], row["by"], str(row["people"]), *values])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _table(rows: list[dict]) -> str:
    lines = [list(HEADINGS), list(HEADINGS.values())]
    for row in rows:
        low, held, high = (f"{100 * row[name]:.0f}" for name in ("low_90", "held_90", "high_90"))
        scores = [_score(row.get(n)) for n in ("log_score", "new_subject_log_score", "carried_log_score")]
        pair, of = (WORDS.get(row[column], row[column]) for column in ("name", "analyte"))
        share = f"{held} % ({low} to {high})"
        half, ratio = f"{100 * row['held_50']:.0f} %", f"{row['ratio']:.2f}"
        lines.append([pair, row["group"], of, str(row["people"]), share, half, ratio, *scores])
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
    picture().savefig(PICTURE, dpi=130)
