"""Decimal commas and separators of thousands: what a number means is decided for a whole file, or asked."""

from __future__ import annotations

import re

from bayesglu.study.readers.answers import Answers, say
from bayesglu.study.readers.grid import Grid
from bayesglu.text.problems import Problems

_SIGN = r"[<>]?=?\s*[-+]?"
DECIMAL_COMMA = re.compile(rf"{_SIGN}(\d*,(\d{{1,2}}|\d{{4,}})|0*,\d+|\d{{4,}},\d+)")
DECIMAL_POINT = re.compile(rf"{_SIGN}\d*\.\d+")
EUROPEAN = re.compile(rf"{_SIGN}(\d{{1,3}}(\.\d{{3}})+,\d+|\d{{1,3}}(\.\d{{3}}){{2,}})")
ENGLISH = re.compile(rf"{_SIGN}(\d{{1,3}}(,\d{{3}})+\.\d+|\d{{1,3}}(,\d{{3}}){{2,}})")
THREE_AFTER_COMMA = re.compile(rf"{_SIGN}[1-9]\d{{0,2}},\d{{3}}")
THREE_AFTER_POINT = re.compile(rf"{_SIGN}[1-9]\d{{0,2}}\.\d{{3}}")
SPACED = re.compile(rf"{_SIGN}[1-9]\d{{0,2}}(['’\s\u00a0\u202f]\d{{3}})+([.,]\d+)?")
GROUPS = re.compile(r"(?<=\d)['’\s\u00a0\u202f](?=\d{3})")


def plain_numbers(grid: Grid, answers: Answers, problems: Problems) -> tuple[Grid, list[str]]:
    """The grid with its numbers written plainly, and sentences about how they were read.

    What can be read in two ways is a problem that asks for `decimal` or `thousands`.
    """
    cells = dict.fromkeys(cell for row in grid.rows for cell in row if re.search(r"\d[.,'’\s]", cell + " "))
    found = {
        what: [cell for cell in cells if pattern.fullmatch(cell)]
        for what, pattern in {
            "comma": DECIMAL_COMMA,
            "point": DECIMAL_POINT,
            "european": EUROPEAN,
            "english": ENGLISH,
            "either": THREE_AFTER_COMMA,
            "spaced": SPACED,
        }.items()
    }
    decimal, thousands = answers.decimal, answers.thousands
    if not decimal and thousands in (",", "."):
        decimal = "." if thousands == "," else ","
    if not decimal and (found["comma"] or found["european"]):
        decimal = ","
        clash = [cell for cell in found["point"] if not THREE_AFTER_POINT.fullmatch(cell)] + found["english"]
        if clash:
            problems.add(
                f"writes {(found['comma'] + found['european'])[0]!r} and {clash[0]!r}: which sign is the "
                f"decimal one? {say('decimal')} The others are then no numbers.",
                grid.file,
            )
    if not decimal and not thousands and found["english"]:
        thousands = ","
    if decimal == "," and not thousands:
        if found["european"]:
            thousands = "."
        elif three := [cell for cell in found["point"] if THREE_AFTER_POINT.fullmatch(cell)]:
            _ask(three[0], ".", problems, grid)
    if found["either"] and not decimal and not thousands:
        _ask(found["either"][0], ",", problems, grid)
    if found["spaced"] and not thousands:
        _ask(found["spaced"][0], " ", problems, grid)
    said = []
    if decimal == ",":
        said.append(f"{grid.file} has decimal commas")
    if thousands:
        said.append(f"{grid.file} separates thousands by {thousands!r}")
    if decimal != "," and not thousands:
        return grid, said
    return grid.with_rows([_plain(cell, decimal, thousands) for cell in row] for row in grid.rows), said


def _ask(cell: str, sign: str, problems: Problems, grid: Grid) -> None:
    what = {",": "comma", ".": "point"}.get(sign)
    other = "," if sign == "," else "."
    question = f"is the {what} a separator of thousands or a decimal one" if what else "is that one number"
    also = f" Or decimal={other!r}." if what else ""
    problems.add(f"writes {cell!r}: {question}? {say('thousands', repr(sign))}{also}", grid.file)


def _plain(cell: str, decimal: str, thousands: str) -> str:
    if not re.fullmatch(rf"{_SIGN}[\d.,'’\s\u00a0\u202f]*\d", cell):
        return cell
    if thousands in (",", ".") and re.fullmatch(
        rf"{_SIGN}\d{{1,3}}(\{thousands}\d{{3}})+([{'.' if thousands == ',' else ','}]\d+)?", cell
    ):
        cell = cell.replace(thousands, "")
    elif thousands in (" ", "'"):
        cell = GROUPS.sub("", cell)
    if decimal == "," and cell.count(",") == 1 and "." not in cell:
        return cell.replace(",", ".")
    return cell
