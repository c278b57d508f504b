"""A newcomer's table is made of it and its rivals alone, and goes behind those on the page."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tests.docs.blocks import ROOT

import plica
from plica.cohort import Cohort


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import compact_codecs

    yield compact_codecs
    for name in ("compact_codecs", "pages"):
        sys.modules.pop(name, None)


def test_only_the_newcomer_and_its_rivals_are_computed(benchmark, monkeypatch, capsys):
    pixels = np.add.outer(np.arange(192.0), np.arange(176.0))[None, :, :, None] % 251
    image = plica.Image(pixels.astype(np.float32), plica.Grid.from_spacing((192, 176, 1)))
    ran = []
    load = benchmark.codec_way
    monkeypatch.setattr(benchmark, "codec_way", lambda name: ran.append(name) or load(name))
    everything = SimpleNamespace(of_split=lambda _: None)
    monkeypatch.setattr(Cohort, "from_manifest", lambda _: everything)
    read = []
    monkeypatch.setattr(
        benchmark,
        "read_category",
        lambda one, _: read.append(one.dims) or [benchmark.Source(image, 255.0)],
    )

    table = benchmark.make_added(["area-8x-2d"], ROOT)

    assert set(ran) == {"area-8x-2d", "linear-8x1-2d", "bicubic-8x-2d"}
    assert set(read) == {2}
    assert table.startswith("### area-8x-2d\n")
    assert "area-8x-2d, mammograms: image 1 of 1" in capsys.readouterr().err


def test_a_newcomers_table_goes_behind_those_that_are_there(benchmark, monkeypatch, tmp_path):
    page = tmp_path / "page.md"
    old = "### one\n\n| 1 |\n\n### two\n\n| old |\n"
    page.write_text(
        f"before\n<!-- {benchmark.MARK} -->\n\n{old}\n<!-- /{benchmark.MARK} -->\nafter\n"
    )
    monkeypatch.setattr(benchmark, "PAGE", page)

    benchmark.add_to_page("### two\n\n| new |\n")

    said = page.read_text()
    assert said.startswith("before\n")
    assert said.endswith("after\n")
    assert said.index("| 1 |") < said.index("### two") < said.index("| new |")
    assert "old" not in said
