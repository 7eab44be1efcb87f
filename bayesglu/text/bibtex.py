"""A bibliography as a manager of references writes it, and an entry as a sentence."""

import re
from collections.abc import Mapping


def parse_bibtex(text: str) -> dict[str, dict[str, str]]:
    """Fields of each entry by key, in lower case, braces removed; the kind of entry is the field ``type``.

    Reads what a bibliography manager writes: ``@kind{key, field = {value} or "value" or number, ...}``.
    """
    entries: dict[str, dict[str, str]] = {}
    for start in re.finditer(r"^[ \t]*@(\w+)\s*\{\s*([^,\s]+)\s*,", text, re.MULTILINE):
        fields, position = {"type": start[1].lower()}, start.end()
        while field := re.compile(r"\s*([\w-]+)\s*=\s*").match(text, position):
            value, position = _value(text, field.end())
            fields[field[1].lower()] = " ".join(re.sub(r"[{}]", "", value).split())
        entries[start[2]] = fields
    return entries


def _value(text: str, start: int) -> tuple[str, int]:
    """The value that begins at `start`, and where the next field begins."""
    depth, quoted = 0, text[start] == '"'
    for position in range(start, len(text)):
        letter = text[position]
        if not depth and letter in ",}" and not (quoted and text[start:position].count('"') == 1):
            return text[start:position].strip().strip('"'), position + (letter == ",")
        depth += (letter == "{") - (letter == "}")
    return text[start:].strip(), len(text)


def sentence(entry: Mapping[str, str]) -> str:
    """One entry as a sentence: who (when). What. Where. Note."""
    who = entry.get("author", "").replace(" and others", " et al.").replace(" and ", ", ")
    who = f"{who} ({entry['year']})" if "year" in entry and who else who or entry.get("year", "")
    pages = f":{entry['pages'].replace('--', '-')}" if "pages" in entry else ""
    volume = f" {entry['volume']}{pages}" if "volume" in entry else ""
    where = f"{entry.get('journal', '')}{volume}".strip()
    where = where or entry.get("howpublished", "")
    number = f"PMID {entry['pmid']}" if "pmid" in entry else ""
    doi = f"doi:{entry['doi']}" if "doi" in entry else ""
    parts = [who, entry.get("title", ""), where, doi, number, entry.get("note", "")]
    return ". ".join(part.rstrip(".") for part in parts if part) + "."
