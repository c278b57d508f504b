"""HTML: a report as one page that needs no network, no server and no script to be read."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files as resources

from plica.evaluation.report import Figure, Report, Section, Table
from plica.evaluation.text import MEANINGS, distinguish, is_numeric, slug, tame
from plica.run import describe_environment

CASES = "Case by case"
STANDS_ON = "What it stands on"
IN_FOLDER = "The same as files"
_NOTICE = "Research software, not a medical device."
_NUMERIC = ' class="n"'
_SHORT = 40  # letters of a cell that is never folded
_WITH_INTERVAL = re.compile(r"^([^()]*\S)\s+\(([^()]+)\)$")


def write_html(
    report: Report,
    sections: Sequence[Section],
    cases: Sequence[Table],
    named: Mapping[Figure, str],
    files: Sequence[str],
) -> str:
    """The report as one page.

    Args:
        sections: The report's own, and those made of its results.
        cases: Tables case by case, folded away until asked for.
        named: Each figure's file name without ending.
        files: What else lies beside the page.

    Examples:
        >>> page = write_html(report, report.sections, (), {}, ())
        >>> report.title in page
        True
    """
    taken: set[str] = {"main", "contents"}
    marks = [distinguish(slug(section.title), taken) for section in sections]
    ends = [CASES] * bool(cases) + [STANDS_ON, IN_FOLDER]
    end_marks = [distinguish(slug(title), taken) for title in ends]
    titles = [*(section.title for section in sections), *ends]
    bodies = [
        *(_section(s, m, named) for s, m in zip(sections, marks, strict=True)),
        *([_cases(cases, end_marks[0])] if cases else []),
        _setting(report.setting, end_marks[-2]),
        _files(files, end_marks[-1]),
    ]
    contents = _contents(titles, [*marks, *end_marks])
    return (
        f"<!DOCTYPE html>\n<html lang=\"en-GB\">\n{_head(report)}\n<body>\n"
        f'<a class="skip" href="#main">Skip to the report</a>\n{_masthead(report)}\n'
        f'<div class="page">\n{contents}\n<main id="main">\n' + "\n".join(bodies)
        + f"\n</main>\n</div>\n<footer><p>plica {escape(_version())}. {_NOTICE}</p></footer>"
        f"\n<script>{_read('report.js')}</script>\n</body>\n</html>\n"
    )  # fmt: skip


def escape(text: str) -> str:
    """Text as HTML, in an element or in quotes."""
    return html.escape(tame(text), quote=True)


# -- the page's ends -------------------------------------------------------------------------------


@cache
def _read(name: str) -> str:
    return (resources("plica.evaluation") / name).read_text(encoding="utf-8")


def _version() -> str:
    """Of plica; `plica.__version__` is above this room."""
    version: str = describe_environment()["packages"]["plica"]
    return version


def _head(report: Report) -> str:
    # Nothing may be loaded, and no script run but ours: not even one smuggled in by a case's name.
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash('report.css')}'; script-src '{_hash('report.js')}'"
    )
    return (
        '<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<meta name="generator" content="plica {escape(_version())}">\n'
        f'<title>{escape(report.title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{_read('report.css')}</style>\n</head>"
    )


def _hash(name: str) -> str:
    digest = hashlib.sha256(_read(name).encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _masthead(report: Report) -> str:
    lead = "\n".join(f"<p>{escape(paragraph)}</p>" for paragraph in report.summary)
    return (
        f'<header class="masthead">\n<p class="maker">plica · evaluation</p>\n'
        f'<h1 dir="auto">{escape(report.title)}</h1>\n<div class="lead">\n{lead}\n</div>\n</header>'
    )


def _contents(titles: Sequence[str], marks: Sequence[str]) -> str:
    rows = "\n".join(
        f'<li><a href="#{mark}">{escape(title)}</a></li>'
        for title, mark in zip(titles, marks, strict=True)
    )
    return (
        '<nav class="contents" aria-labelledby="contents">\n'
        f'<h2 id="contents">Contents</h2>\n<ol>\n{rows}\n</ol>\n</nav>'
    )


def _setting(setting: Mapping[str, str], mark: str) -> str:
    rows = "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in setting.items()
    )
    return _wrap(STANDS_ON, mark, f'<dl class="setting">\n{rows}\n</dl>' if rows else "")


def _files(files: Sequence[str], mark: str) -> str:
    rows = "\n".join(f'<li><a href="{escape(name)}">{escape(name)}</a></li>' for name in files)
    return _wrap(
        IN_FOLDER,
        mark,
        "<p>Beside this page, where it was written. The page itself needs none of them.</p>\n"
        f'<ul class="files">\n{rows}\n</ul>',
    )


# -- sections --------------------------------------------------------------------------------------


def _section(section: Section, mark: str, named: Mapping[Figure, str]) -> str:
    parts = [f"<p>{escape(paragraph)}</p>" for paragraph in section.prose]
    parts += [_table(table, f"{mark}-{n}") for n, table in enumerate(section.tables, 1)]
    parts += [_figure(figure, named[figure]) for figure in section.figures]
    return _wrap(section.title, mark, "\n".join(parts))


def _wrap(title: str, mark: str, body: str) -> str:
    return (
        f'<section aria-labelledby="{mark}">\n<h2 id="{mark}" dir="auto">{escape(title)}</h2>\n'
        f"{body}\n</section>"
    )


def _cases(tables: Sequence[Table], mark: str) -> str:
    parts = [
        f"<details>\n<summary>{escape(table.title)} <span>{escape(table.caption)}</span></summary>"
        f"\n{_table(table, f'{mark}-{n}')}\n</details>"
        for n, table in enumerate(tables, 1)
    ]
    return _wrap(CASES, mark, "\n".join(parts))


# -- figures ---------------------------------------------------------------------------------------


def _figure(figure: Figure, name: str) -> str:
    # A chart has vectors too; it is drawn on white, which the style turns where the page is dark.
    kind = "chart" if figure.pdf else "picture"
    data = base64.b64encode(figure.png).decode("ascii")
    width, height = _size(figure.png)
    size = f' width="{width}" height="{height}"' if width else ""
    alt = escape(figure.alt or figure.caption)
    links = "".join(_links(figure, name))
    return (
        f'<figure class="{kind}">\n<img src="data:image/png;base64,{data}" alt="{alt}"{size}>\n'
        f"<figcaption>{escape(figure.caption)} {links}</figcaption>\n</figure>"
    )


def _links(figure: Figure, name: str) -> Iterator[str]:
    yield f'<a class="file" href="figures/{name}.png">PNG</a>'
    if figure.pdf:
        yield f' <a class="file" href="figures/{name}.pdf">PDF</a>'


def _size(png: bytes) -> tuple[int, int]:
    """Width and height as a PNG's first chunk has them, so that the page does not jump."""
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        return 0, 0
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


# -- tables ----------------------------------------------------------------------------------------


def _table(table: Table, mark: str) -> str:
    kinds = [_kind(table, place) for place in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{kind}>{_arrow(name)}</th>'
        for name, kind in zip(table.columns, kinds, strict=True)
    )
    rows = "\n".join(f"<tr>{_row(row, kinds)}</tr>" for row in table.rows)
    note = f'<p class="note" id="{mark}-note">{escape(table.caption)}</p>' if table.caption else ""
    described = f' aria-describedby="{mark}-note"' if note else ""
    label = escape(table.title) or "Table"
    return (
        f'<div class="table">\n<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
        f"\n<table{described}>\n<caption><span>{label}</span></caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n{note}</div>"
    )


def _row(row: Sequence[str], kinds: Sequence[str]) -> str:
    first, *rest = zip(row, kinds, strict=True)
    cells = "".join(f"<td{kind}>{_cell(cell, kind)}</td>" for cell, kind in rest)
    return f'<th scope="row"{first[1]}>{_isolate(first[0])}</th>{cells}'


def _kind(table: Table, place: int) -> str:
    """The class of a column: "n" for numbers, which stand to the right; "long" for sentences."""
    cells = [row[place] for row in table.rows]
    if place and cells and all(map(is_numeric, cells)):
        return _NUMERIC
    return ' class="long"' if max(map(len, cells), default=0) > _SHORT else ""


def _cell(cell: str, kind: str) -> str:
    """A cell; the interval of a number stands below it, which leaves room for more numbers."""
    parted = _WITH_INTERVAL.match(cell) if kind == _NUMERIC else None
    if parted is None:
        return _isolate(cell)
    number, interval = map(escape, parted.groups())
    return f'{number} <span class="ci">({interval})</span>'


def _isolate(cell: str) -> str:
    """A cell whose parts may run from right to left without turning their neighbours."""
    if cell.isascii():
        return escape(cell)
    return " / ".join(f"<bdi>{escape(part)}</bdi>" for part in cell.split(" / "))


def _arrow(name: str) -> str:
    """A heading whose arrow towards the better is also said aloud."""
    ending = next((arrow for arrow in MEANINGS if name.endswith(f" {arrow}")), "")
    if not ending:
        return escape(name)
    way, said = escape(ending), MEANINGS[ending]
    text = escape(name.removesuffix(f" {ending}"))
    return f'{text}&nbsp;<span class="way" role="img" aria-label="{said}">{way}</span>'
