"""Drawing: the one look of all charts, and how one becomes PNG and PDF, the same every time."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from plica.errors import InputError, MissingExtra
from plica.evaluation.report import Figure

# Found by search: any two differ by 16 or more (CIEDE2000) with normal, protan, deutan and tritan
# vision, and each by 3:1 from white. Where there are more codecs, lines and marks differ too.
PALETTE = ("#1d3fae", "#d07a15", "#22a387", "#b23027", "#8878eb", "#3a2a33", "#71667e")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1, 1.4)), (0, (6, 1.4, 1, 1.4)))

INK, QUIET, RULE, HAIR = "#1d2228", "#5a636e", "#b9bec5", "#e4e6e9"
WIDTH = 5.6  # inches: a column and a half of a paper, and still read on a phone
DPI = 220

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a chart is the same everywhere
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "text.parse_math": False,  # a name may hold a dollar
    "grid.color": HAIR,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,  # letters stay letters in a paper, and publishers accept them
    "pdf.compression": 6,
    "path.simplify": True,
}


class Looks:
    """Which colour, mark and dash a name has: the same in every chart of one order of names.

    Args:
        names: In order; the same name has the same look wherever the order is the same.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._place = {name: n for n, name in enumerate(dict.fromkeys(names))}

    def __len__(self) -> int:
        return len(self._place)

    def place(self, name: str) -> int:
        """Which one it is, from 0."""
        return self._place[name]

    def colour(self, name: str) -> str:
        """Of its lines and marks."""
        return PALETTE[self._place[name] % len(PALETTE)]

    def marker(self, name: str) -> str:
        """Of its points: unlike those of the same colour."""
        place = self._place[name]
        return MARKERS[(place + place // len(PALETTE)) % len(MARKERS)]

    def dash(self, name: str) -> Any:
        """Of its lines: unlike those of the same colour."""
        return DASHES[self._place[name] // len(PALETTE) % len(DASHES)]


def import_matplotlib() -> Any:
    """The package, by whoever draws.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import matplotlib
        import matplotlib.backends.backend_agg
        import matplotlib.backends.backend_pdf
        import matplotlib.figure
        import matplotlib.ticker
    except ImportError as error:
        raise MissingExtra("drawing charts", "matplotlib", "eval") from error
    return matplotlib


def draw(
    name: str,
    paint: Callable[[Any], None],
    *,
    height: float,
    caption: str,
    alt: str,
    width: float = WIDTH,
) -> Figure:
    """A figure as PNG and PDF; the same paint gives the same bytes.

    Args:
        paint: Draws on a matplotlib figure.
        height: In inches.
        width: In inches.

    Raises:
        MissingExtra: matplotlib is not installed.

    Examples:
        >>> def paint(canvas):
        ...     canvas.subplots().plot([1, 2, 4], [33.0, 36.0, 40.0])
        >>> draw("line", paint, height=2.0, caption="A line.", alt="Rising.").png[1:4]
        b'PNG'
    """
    with _style() as matplotlib, warnings.catch_warnings():
        # A name in letters the font lacks is drawn as boxes; the tables have it in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        page = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
        paint(page)
        # By their canvases: to save a figure would draw it twice for each. Without a date, a name
        # or a version, equal charts are equal files.
        page.set_dpi(DPI)
        png = _print(matplotlib.backends.backend_agg.FigureCanvasAgg(page).print_png,
                     {"Software": None})  # fmt: skip
        page.set_layout_engine("none")  # both have the places that were found for the first
        pdf = _print(matplotlib.backends.backend_pdf.FigureCanvasPdf(page).print_pdf,
                     {"CreationDate": None, "Creator": None, "Producer": None})  # fmt: skip
    return Figure(name=name, caption=caption, alt=alt, png=png, pdf=pdf)


@contextmanager
def _style() -> Iterator[Any]:
    matplotlib = import_matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # nobody's own settings
        matplotlib.rcParams.update(STYLE)
        yield matplotlib


def _print(onto: Callable[..., None], metadata: dict[str, None]) -> bytes:
    out = io.BytesIO()
    try:
        onto(out, metadata=metadata)
    except zlib.error as error:
        # Interrupted within a stream, which matplotlib then cannot close: the first counts.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise
    return out.getvalue()


def lay_out(page: Any, n: int, columns: int, **options: Any) -> list[Any]:
    """Panels for n groups, in rows of `columns`; those that are left over are not drawn."""
    rows = -(-n // columns)
    panels = page.subplots(rows, columns, squeeze=False, **options).ravel()
    for spare in panels[n:]:
        spare.set_visible(False)
    return list(panels[:n])


def add_legend(page: Any, panels: Sequence[Any]) -> None:
    """One legend of all panels, below them, each name once."""
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    longest = max(map(len, found), default=1)
    columns = max(1, min(len(found), 64 // (longest + 6)))
    if found:
        page.legend(found.values(), found.keys(), loc="outside lower left", ncols=columns,
                    handlelength=2.2, columnspacing=1.6)  # fmt: skip


def shorten(text: str, most: int = 34) -> str:
    """A label that leaves room for what it labels."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def refuse_nothing(things: Mapping[Any, Any] | Sequence[Any], what: str) -> None:
    """Stop where a chart would be empty.

    Raises:
        InputError: It would.
    """
    if not things:
        raise InputError(f"there is no finite number to draw {what} of")
