"""A report's page is well made: it stands alone, says everything in words, and trusts no name."""

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser

import pytest
from tests.evaluation.reports import ATTACKS, make_report

from plica.evaluation.html import escape, write_html
from plica.evaluation.publish import compose
from plica.evaluation.report import Figure, Report, Section, Table

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A page's elements, with whether each is closed in its turn."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.faults, self.elements, self.words = [], [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"{tag} is never closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        self.faults += [f"{tag} says {name} twice" for name in names if names.count(name) > 1]
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"{tag} is closed out of turn at {self.getpos()}")

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def text():
    pytest.importorskip("matplotlib")
    return compose(make_report())["index.html"].decode("utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_every_element_is_closed_in_its_turn(page):
    assert page.faults == []


def test_nothing_is_fetched_from_anywhere(page, text):
    addresses = [
        value
        for _, attrs in page.elements
        for name, value in attrs.items()
        if name in {"src", "href", "srcset", "data", "action", "poster"}
    ]

    assert addresses
    assert [a for a in addresses if ":" in a and not a.startswith("data:")] == []
    assert [a for a in addresses if a.startswith(("/", "\\"))] == []
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_only_our_script_and_style_may_run(page, text):
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv"))
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not [attrs for _, attrs in page.elements if "style" in attrs]
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_name_is_text_wherever_it_stands(attack):
    figure = Figure(attack, attack, attack, b"\x89PNG")
    table = Table(attack, (attack, attack), ((attack, attack),), attack)
    report = Report(attack, (attack,), (Section(attack, (attack,), (table,), (figure,)),),
                    {}, {attack: attack})  # fmt: skip
    calm = Report("x", ("x",), (Section("x", ("x",), (Table("x", ("x", "x"), (("x", "x"),), "x"),),
                  (Figure("x", "x", "x", b"\x89PNG"),)),), {}, {"x": "x"})  # fmt: skip
    found = Page(compose(report)["index.html"].decode())
    expected = Page(compose(calm)["index.html"].decode())

    assert found.faults == []
    tags = [[tag for tag, _ in page.elements if tag != "bdi"] for page in (found, expected)]
    assert tags[0] == tags[1]


def test_marks_are_unique_and_every_link_leads_somewhere(page):
    marks = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    pointers = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    pointers += [
        mark
        for _, attrs in page.elements
        for name in ("aria-labelledby", "aria-describedby")
        for mark in attrs.get(name, "").split()
    ]

    assert len(marks) == len(set(marks))
    assert set(pointers) <= set(marks)


def test_headings_go_down_one_step_at_a_time(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_the_page_says_its_language_and_fits_a_phone(page):
    assert page.all("html")[0]["lang"] == "en-GB"
    assert any("width=device-width" in m.get("content", "") for m in page.all("meta"))
    assert page.elements[[tag for tag, _ in page.elements].index("body") + 1][1]["class"] == "skip"


def test_every_picture_says_what_it_shows_and_how_large_it_is(page):
    pictures = page.all("img")

    assert len(pictures) == 8
    assert all(len(picture["alt"]) > 20 for picture in pictures)
    assert all(int(picture["width"]) > 0 and int(picture["height"]) > 0 for picture in pictures)


def test_every_table_has_a_caption_and_headings_with_scope(page):
    tables = page.all("table")

    assert len(tables) == len(page.all("caption")) >= 5
    assert {heading.get("scope") for heading in page.all("th")} == {"col", "row"}
    boxes = [div for div in page.all("div") if div.get("class") == "scroll"]
    assert len(boxes) == len(tables)
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)


def test_arrows_are_also_said(page):
    arrows = [span for span in page.all("span") if span.get("class") == "way"]

    assert {arrow["aria-label"] for arrow in arrows} == {
        "higher is better", "lower is better", "nearer zero is better"
    }  # fmt: skip


def test_the_page_says_what_the_report_says(page):
    said = " ".join(" ".join(page.words).split())

    for words in ("34.2 dB on chest radiographs", "2 of 160 results are missing",
                  "weights sha256:5f", "10 log₁₀ of the squared", "Research software"):  # fmt: skip
        assert words in said


def test_intervals_stand_below_their_numbers():
    table = Table("T", ("codec", "psnr"), (("a", "3.1 (2 to 4)"),))
    report = Report("t", (), (Section("s", tables=(table,)),), {}, {})

    assert '3.1 <span class="ci">(2 to 4)</span>' in compose(report)["index.html"].decode()


def test_a_table_without_rows_is_still_a_table():
    table = Table("Nothing", ("codec", "psnr"), ())
    found = Page(write_html(SMALL, (Section("s", tables=(table,)),), (), {}, []))

    assert found.faults == []
    assert "Nothing" in "".join(found.words)


SMALL = Report("Small", (), (), {}, {})


def test_text_in_quotes_stays_in_them():
    assert escape("\"'<&>") == "&quot;&#x27;&lt;&amp;&gt;"
