"""A report opened in a real browser: on a desk and on a phone, by day and by night."""

import os
from pathlib import Path

import pytest
from tests.evaluation.browser import DESKTOP, PHONE, Visit, launch
from tests.evaluation.reports import ATTACKS, make_report

from plica.evaluation.publish import publish
from plica.evaluation.report import Figure, Report, Section, Table

SIZES = {"desktop": DESKTOP, "phone": PHONE}
LEAST_CONTRAST, LEAST_CONTRAST_OF_LARGE = 4.5, 3.0  # WCAG 2.2, level AA

CONTRASTS = """() => {
  const light = (c) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = c.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const read = (s) => (s.match(/[\\d.]+/g) || []).map(Number);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = read(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest("script,style,.skip")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(read(style.color).slice(0, 3)), light(behind(e))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24;
    const text = e.textContent.trim().slice(0, 30);
    found.push({ text, large, contrast: (a + 0.05) / (b + 0.05) });
  }
  return found;
}"""
WIDER_THAN_THE_WINDOW = """() => [...document.querySelectorAll("body *")]
  .filter((e) => !e.closest(".scroll") && !e.closest(".skip")
    && e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.tagName + "." + e.className)"""


@pytest.fixture(scope="module")
def browser():
    with launch() as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    pytest.importorskip("matplotlib", reason="the report's charts need the extra 'eval'")
    return publish(make_report(), tmp_path_factory.mktemp("browser") / "report")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where pictures of pages are kept: the folder PLICA_ARTEFACTS, or the tests' own."""
    folder = os.environ.get("PLICA_ARTEFACTS")
    return Path(folder) if folder else tmp_path_factory.mktemp("artefacts")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_a_report_fits_its_window_and_asks_for_nothing(browser, page, kept, size, dark):
    with Visit(browser, page, size=SIZES[size], dark=dark) as visit:
        widths = visit.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        drawn = visit.page.evaluate(
            "Promise.all([...document.images].map((i) => i.decode().then(() => i.naturalWidth)))"
        )
        picture = kept / f"report-{size}{'-dark' if dark else ''}.png"
        visit.keep(picture)

        assert visit.complaints == []
        assert visit.fetched == []
        assert widths == [SIZES[size][0]] * 2
        assert visit.page.evaluate(WIDER_THAN_THE_WINDOW) == []
        assert len(drawn) == 8
        assert all(width > 100 for width in drawn)
        assert picture.stat().st_size > 50_000


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_word_stands_out_of_its_ground(browser, page, dark):
    with Visit(browser, page, dark=dark) as visit:
        visit.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        found = visit.page.evaluate(CONTRASTS)
        ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")

    weak = [
        word
        for word in found
        if word["contrast"] < (LEAST_CONTRAST_OF_LARGE if word["large"] else LEAST_CONTRAST)
    ]
    assert len(found) > 300
    assert weak == []
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == dark


def test_tables_scroll_inside_their_own_box_and_keep_their_first_column(browser, page):
    with Visit(browser, page, size=PHONE) as visit:
        box = visit.page.locator(".scroll").first
        before = box.locator("tbody th").first.bounding_box()
        box.evaluate("(e) => (e.scrollLeft = 120)")
        after = box.locator("tbody th").first.bounding_box()

        assert box.evaluate("(e) => e.scrollWidth > e.clientWidth && e.scrollLeft === 120")
        assert after["x"] == before["x"]


def test_columns_are_sorted_by_numbers_where_they_are_numbers(browser, page):
    with Visit(browser, page) as visit:
        table = visit.page.locator("table").first
        heading = table.locator("thead th").nth(3)
        heading.locator("button").click()
        rising = [
            float(t.split()[0]) for t in table.locator("tbody td:nth-child(4)").all_inner_texts()
        ]
        heading.locator("button").press("Enter")
        falling = [
            float(t.split()[0]) for t in table.locator("tbody td:nth-child(4)").all_inner_texts()
        ]

        assert rising == sorted(rising)
        assert falling == rising[::-1]
        assert heading.get_attribute("aria-sort") == "descending"
        assert visit.complaints == []


def test_all_can_be_read_without_scripts(browser, page):
    with Visit(browser, page, script=False) as visit:
        assert (
            visit.page.locator("h1").inner_text() == "Reconstruction of radiographs by four codecs"
        )
        assert visit.page.locator("table").first.locator("tbody tr").count() == 8
        assert visit.page.locator("thead button").count() == 0
        visit.page.locator("summary").first.click()
        assert visit.page.locator("details[open] tbody tr").count() == 95


def test_a_keyboard_reaches_the_report_at_once(browser, page):
    with Visit(browser, page) as visit:
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the report"
        box = visit.page.locator(".skip").bounding_box()
        assert box["x"] >= 0
        visit.page.keyboard.press("Enter")
        assert visit.page.evaluate("location.hash") == "#main"


@pytest.mark.parametrize("size", SIZES)
def test_names_that_attack_and_never_end_do_no_harm(browser, tmp_path, size):
    names = [
        *ATTACKS,
        "x" * 400,
        "</style><script>alert(2)</script>",
        "</title><svg onload=alert(3)>",
    ]
    report = Report(
        " ".join(names),
        tuple(names),
        tuple(
            Section(
                name, (name,), (Table(name, (name, name), ((name, name),) * 5, name),),
                (Figure(name, name, name, make_report().sections[0].figures[0].png),),
            )
            for name in names
        ),
        {}, {name: name for name in names},
    )  # fmt: skip
    page = publish(report, tmp_path / "report")
    with Visit(browser, page, size=SIZES[size]) as visit:
        assert visit.complaints == []
        assert visit.fetched == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0]


def test_a_report_is_printed_with_its_cases(browser, page):
    with Visit(browser, page, size=(720, 1000)) as visit:
        visit.page.emulate_media(media="print")
        wide = visit.page.evaluate("document.documentElement.scrollWidth")
        sheets = visit.page.pdf(format="A4")

    assert wide == 720  # no table is cut at the paper's edge
    assert sheets.startswith(b"%PDF")
    assert sheets.count(b"/Type /Page\n") >= 6
