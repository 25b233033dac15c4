"""Radiology reports as text: sections, sentences, de-identification marks.

Knows the habits of MIMIC-CXR (`FINDINGS:` on its own line, wrapped lines, `___`), OpenI (`XXXX`) and CT-RATE
("Findings: ... Impression: ..." on one line). Nothing here interprets a finding.
"""

from __future__ import annotations

import re

# Spelling in reports -> our section name. A report may use several spellings of one section; they are joined.
HEADERS = {
    "findings": "findings", "finding": "findings", "report": "findings", "radiographic findings": "findings",
    "impression": "impression", "impressions": "impression", "conclusion": "impression", "conclusions": "impression",
    "summary": "impression", "findings and impression": "impression", "findings/impression": "impression",
    "provisional findings impression": "impression", "pfi": "impression", "preliminary impression": "impression",
    "indication": "indication", "indications": "indication", "history": "indication", "clinical history": "indication",
    "clinical information": "indication", "clinical indication": "indication", "reason for exam": "indication",
    "reason for examination": "indication", "reason for this examination": "indication",
    "comparison": "comparison", "comparisons": "comparison", "comparison study": "comparison",
    "technique": "technique", "procedure": "technique", "protocol": "technique",
    "examination": "examination", "exam": "examination", "study": "examination", "type of examination": "examination",
    "wet read": "wet_read", "addendum": "addendum",
    "notification": "notification", "recommendation": "recommendation", "recommendations": "recommendation",
    "recommendation(s)": "recommendation",
}  # fmt: skip
MAIN_ORDER = ("impression", "findings", "last_paragraph", "comparison")

_KNOWN = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(HEADERS, key=len, reverse=True))
# A known header in any case at the start of a line or after a full stop, or an unknown one in capitals on its own line
# start. ADDENDUM and WET READ also come without a colon.
_HEADER = re.compile(
    rf"(?:^[ \t]*|(?<=[.!?])[ \t]+)(?P<known>(?i:{_KNOWN}))(?:[ \t]*\([A-Z ]+\))?[ \t]*:"
    r"|^[ \t]*(?P<bare>ADDENDUM|WET READ)\b(?![ \t]*:)"
    r"|^[ \t]*(?P<other>[A-Z][A-Z0-9 ,/&()\-]{2,60}):",
    re.MULTILINE,
)
_TITLE = re.compile(
    r"^ ?(?:FINAL REPORT|PRELIMINARY REPORT|WET READ VERSION[^\n]*|\*{0,3} ?FINAL ?\*{0,3}) ?$", re.MULTILINE
)
_MARK = re.compile(r"\[\*\*[^*]*\*\*\]|_{2,}|\bX{3,}(?:[-/]X{3,})*\b")
_DOT = "\x00"  # stands for a full stop that ends no sentence
_BREAK = "\x01"
_NUMBER = r"\(?(?P<number>\d{1,2})[.)][ \t]+(?=[A-Za-z_\"'(])"
_LINE_ITEM = re.compile(rf"^[ \t]*{_NUMBER}", re.MULTILINE)
_ITEM = re.compile(rf"(?:^[ \t]*|(?<=[.!?:;{_BREAK}])[ \t]+|(?<={_BREAK})){_NUMBER}", re.MULTILINE)
_NEVER_END = (
    "dr|drs|mr|mrs|ms|prof|st|vs|e\\.g|i\\.e|cf|et al|approx|resp|incl|dept|m\\.d|r\\.n|ph\\.d|diff|temp|pt|pts|s/p|wt"
)
_BEFORE_NUMBER = "no|nos|fig|figs|im|img|images?|ser|se|series|approx|ca|max|min|dia|vol|slice|sl"


def sections(text: str) -> dict[str, str]:
    """The sections of a report by name, in reading order, wrapped lines joined; empty ones are left out.

    Names: those of `HEADERS`, other capitalised headers in lower case, "preamble" for prose in front of the first
    header, "last_paragraph" when there is neither findings nor impression, and "text" for a report without headers.
    """
    text = _plain(text)
    matches = list(_HEADER.finditer(text))
    if not matches:
        whole = _join_lines(text)
        return {"text": whole} if _says_something(whole) else {}
    found: dict[str, str] = {}

    def add(name: str, body: str) -> None:
        body = _join_lines(body)
        if _says_something(body):
            found[name] = f"{found[name]} {body}" if name in found else body

    add("preamble", text[: matches[0].start()])
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        add(_section_name(match), text[match.end() : following.start() if following else len(text)])
    if "findings" not in found and "impression" not in found:
        paragraphs = [p for p in re.split(r"\n[ \t]*\n", text) if _says_something(_HEADER.sub("", p, count=1))]
        if paragraphs:
            add("last_paragraph", _HEADER.sub("", paragraphs[-1], count=1))
    return found


def main_text(text: str) -> str:
    """What the radiologist concludes: impression, else findings, else the last paragraph, else comparison.

    A report without headers is returned whole. Empty when there is nothing.
    """
    found = sections(text)
    return next((found[name] for name in (*MAIN_ORDER, "text") if name in found), "")


def findings_and_impression(text: str) -> str:
    """Both sections as "Findings: ... Impression: ..."; what `main_text` gives when the report has neither."""
    found = sections(text)
    return joined(found.get("findings", ""), found.get("impression", "")) or main_text(text)


def joined(findings: str, impression: str) -> str:
    """One text of two sections, each announced by its name; a missing section leaves no trace."""
    parts = {"Findings": findings.strip(), "Impression": impression.strip()}
    return " ".join(f"{name}: {body}" for name, body in parts.items() if body)


def sentences(text: str) -> list[str]:
    """The sentences, in order, without list numbers and section headers; full stops inside a sentence are kept.

    Splits at . ! ? before white space, at list items and at empty lines. Does not split decimals, titles ("Dr."),
    initials behind a title, "e.g.", "vs." or "no. 3". What holds no letter is dropped, so no sentence is ever empty.
    """
    text = _plain(text)
    text = _HEADER.sub(_BREAK, text)
    text = re.sub(r"\n[ \t]*\n", _BREAK, text)
    text = re.sub(r"^[ \t]*[-•*][ \t]+", _BREAK, text, flags=re.MULTILINE)
    text = _mark_items(text, _ITEM, mark=_BREAK, keep_number=False)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\b(dr|mr|mrs|ms|prof)\. ([A-Z])\. (?=[A-Z])", rf"\1{_DOT} \2{_DOT} ", text, flags=re.IGNORECASE)
    text = re.sub(
        rf"(?<![\w.])({_NEVER_END})\.(?=\s)", lambda m: m[1].replace(".", _DOT) + _DOT, text, flags=re.IGNORECASE
    )
    text = re.sub(rf"\b({_BEFORE_NUMBER})\.(?=\s\d)", rf"\1{_DOT}", text, flags=re.IGNORECASE)
    text = re.sub(r"\b([ap])\.m\.(?=\s[a-z0-9])", rf"\1{_DOT}m{_DOT}", text, flags=re.IGNORECASE)
    pieces = re.split(rf"{_BREAK}|(?<=[.!?])[\"')\]]*\s+", text)
    restored = (piece.replace(_DOT, ".").strip() for piece in pieces)
    return [piece for piece in restored if re.search(r"[A-Za-z]", piece)]


def clean(text: str) -> str:
    """One line of text without de-identification marks (`___`, `XXXX`, `[** **]`) and what they leave behind."""
    text = _MARK.sub(" ", text)
    text = re.sub(r"\(\s*[,;/-]*\s*\)|\[\s*\]", " ", text)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s+([.,;:!?)])", r"\1", text)
    text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text)
    text = re.sub(r"[,;](?=\.)", "", text)
    return re.sub(r"^[\s.,;:]+", "", text).strip()


def _plain(text: str) -> str:
    """One kind of line end, single blanks within lines (the patterns stay linear in time), title lines gone."""
    text = re.sub(r"[^\S\n]+", " ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _TITLE.sub("\n", text)


def _section_name(match: re.Match[str]) -> str:
    if match["known"]:
        return HEADERS[re.sub(r"\s+", " ", match["known"].lower())]
    if match["bare"]:
        return HEADERS[match["bare"].lower()]
    return re.sub(r"\s+", " ", match["other"].strip().lower())


def _join_lines(text: str) -> str:
    """Unwrap. A list item without a full stop gets one, for its end would be lost with the line break."""
    text = _mark_items(text.strip(), _LINE_ITEM, mark=_BREAK, keep_number=True)
    text = re.sub(rf"(?<=[\w)])\s*{_BREAK}", ". ", text).replace(_BREAK, "")
    return re.sub(r"\s+", " ", text).strip()


def _says_something(text: str) -> bool:
    """Whether a letter is left once de-identification marks are gone."""
    return re.search(r"[A-Za-z]", _MARK.sub(" ", text)) is not None


def _mark_items(text: str, pattern: re.Pattern[str], *, mark: str, keep_number: bool) -> str:
    """Put `mark` before each list item; only numbers that count up from 1 are items ("segment 6. No change" is not)."""
    expected = 1

    def replace(match: re.Match[str]) -> str:
        nonlocal expected
        if int(match["number"]) not in (1, expected):
            return match[0]
        expected = int(match["number"]) + 1
        return mark + (match[0].lstrip() if keep_number else "")

    return pattern.sub(replace, text)
