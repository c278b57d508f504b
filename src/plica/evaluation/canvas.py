"""A dark page to draw figures on: text, pictures, scales. Pillow, and nothing else."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from plica.evaluation.tones import choose_ticks, format_value

Colour = tuple[int, int, int]

PAGE: Colour = (13, 15, 19)
FRAME: Colour = (38, 42, 50)
TEXT: Colour = (222, 226, 232)
QUIET: Colour = (140, 148, 160)
ACCENT: Colour = (94, 200, 184)

TITLE_SIZE, LABEL_SIZE, SMALL_SIZE = 28, 18, 15
BAR_HEIGHT, TICK = 10, 5
INSET = 6
ROOM_FOR_LETTERS = 64  # pixels between two opposite letters
# What the font lacks, in letters it has.
SPELLED = {"−": "-", "–": "-", "—": "-", "×": "x", "→": "->", "σ": "s", "µ": "u", "μ": "u"}


class Canvas:
    """A page of `width` × `height` pixels.

    Args:
        width: In pixels.
        height: In pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.page = Pillow.new("RGB", (width, height), PAGE)
        self._pen = ImageDraw.Draw(self.page)

    def write(
        self, at: tuple[float, float], text: str, *, size: int = SMALL_SIZE,
        colour: Colour = TEXT, anchor: str = "la",
    ) -> None:  # fmt: skip
        """Put one line of text; `anchor` is Pillow's: "la" hangs it from its upper left corner."""
        self._pen.text(at, spell(text), font=font(size), fill=colour, anchor=anchor)

    def mark(self, left: float, top: float, width: float, height: float) -> None:
        """A small block in the page's one accent colour."""
        self._pen.rectangle((left, top, left + width - 1, top + height - 1), fill=ACCENT)

    def paste(self, left: int, top: int, rgb: NDArray[np.uint8]) -> None:
        """Put pixels (height, width, 3) inside a hair-thin frame."""
        height, width = rgb.shape[:2]
        self._pen.rectangle((left - 1, top - 1, left + width, top + height), outline=FRAME)
        self.page.paste(Pillow.fromarray(np.ascontiguousarray(rgb)), (left, top))

    def letter(self, box: tuple[int, int, int, int], letters: Sequence[str]) -> None:
        """Put orientation letters at the left, right, top and bottom edge of a picture.

        Args:
            box: Its left, top, width and height.
            letters: In that order.
        """
        left, top, width, height = box
        x, y = left + width / 2, top + height / 2
        places = (
            (left + INSET, y, "lm", width), (left + width - INSET, y, "rm", width),
            (x, top + INSET, "ma", height), (x, top + height - INSET, "md", height),
        )  # fmt: skip
        for (across, down, anchor, room), letter in zip(places, letters, strict=True):
            if room >= ROOM_FOR_LETTERS:
                self._pen.text(
                    (across, down), letter, font=font(SMALL_SIZE), fill=ACCENT, anchor=anchor,
                    stroke_width=2, stroke_fill=(0, 0, 0),
                )  # fmt: skip

    def scale(
        self, place: tuple[int, int, int], ends: tuple[float, float], unit: str,
        paint: Callable[[NDArray[np.float64]], NDArray[np.uint8]],
    ) -> None:  # fmt: skip
        """A bar of values with ticks.

        Args:
            place: Left, top and width in pixels.
            ends: The values at its left and right end.
            unit: Written beneath its middle.
            paint: Colours (n, 3) of n values.
        """
        left, top, width = place
        low, high = ends
        colours = paint(np.linspace(low, high, width))
        self.paste(left, top, np.broadcast_to(colours, (BAR_HEIGHT, width, 3)))
        for value in self._legible(choose_ticks(low, high), place, ends):
            x = left + round((value - low) / (high - low) * (width - 1))
            bottom = top + BAR_HEIGHT + 1
            self._pen.line((x, bottom, x, bottom + TICK - 1), fill=QUIET)
            anchor = "la" if value == low else "ra" if value == high else "ma"
            text = format_value(value, high - low)
            self.write((x, bottom + TICK + 2), text, colour=QUIET, anchor=anchor)
        self.write((left + width / 2, top + BAR_HEIGHT + 30), unit, colour=TEXT, anchor="ma")

    def _legible(
        self, ticks: list[float], place: tuple[int, int, int], ends: tuple[float, float]
    ) -> list[float]:
        """The ticks whose labels do not touch their neighbours'; both ends always stay."""
        low, high = ends
        span = place[2] / (high - low)
        widths = {tick: measure_text(format_value(tick, high - low)) for tick in ticks}
        right = place[2] - widths[high] - 8
        kept, edge = [low], widths[low] + 8
        for tick in ticks[1:-1]:
            x = (tick - low) * span
            if x - widths[tick] / 2 >= edge and x + widths[tick] / 2 <= right:
                kept.append(tick)
                edge = x + widths[tick] / 2 + 8
        return [*kept, high]


SCALE_HEIGHT = BAR_HEIGHT + 30 + SMALL_SIZE + 6


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font: no system font is asked for, so every machine draws the same figure."""
    return ImageFont.load_default(size=size)


def measure_text(text: str, size: int = SMALL_SIZE) -> float:
    """Width of a line in pixels."""
    return float(font(size).getlength(spell(text)))


def _has(character: str) -> bool:
    """Whether the font can draw it: what it cannot looks like its empty box."""
    box = font(SMALL_SIZE)
    return character == " " or bytes(box.getmask(character)) != bytes(box.getmask("\uffff"))


def spell(text: str) -> str:
    """The same text in characters the font has: ä as a, × as x, others as ?."""
    return "".join(_spell_character(character) for character in text)


@lru_cache(maxsize=1024)
def _spell_character(character: str) -> str:
    if character.isspace():
        return " "
    if _has(character):
        return character
    if character in SPELLED:
        return SPELLED[character]
    plain = unicodedata.normalize("NFKD", character)[0]
    return plain if plain != character and _has(plain) else "?"


def shorten(text: str, width: float, size: int = SMALL_SIZE) -> str:
    """The text, or as much of its beginning as fits, with an ellipsis."""
    if measure_text(text, size) <= width:
        return text
    while text and measure_text(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, width: float, size: int = SMALL_SIZE) -> list[str]:
    """Lines no wider than `width`, broken between words; a longer word is shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure_text(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(shorten(word, width, size))
    return lines
