"""A report as Markdown: tables are tables, and names are text."""

import pytest
from tests.evaluation.reports import ATTACKS, make_report

from plica.evaluation.markdown import escape, write_markdown
from plica.evaluation.record import name_figures
from plica.evaluation.report import Figure, Report, Section, Table


def write(report):
    return write_markdown(report, report.sections, name_figures(report), ["report.json"])


def test_a_report_reads_from_title_to_setting():
    text = write(make_report(charts=False))

    assert text.startswith("# Reconstruction of radiographs by four codecs\n\n")
    assert "## What codecs keep" in text
    assert "| protocol | reconstruction, version 2 |" in text
    assert "[report.json](report.json)" in text


def test_numbers_stand_to_the_right():
    table = Table("T", ("codec", "psnr", "note"), (("a", "3.1 (2 to 4)", "fine"),), "n = 1")
    text = write(Report("t", (), (Section("s", tables=(table,)),), {}, {}))

    assert "| --- | ---: | --- |" in text
    assert "| a | 3.1 (2 to 4) | fine |" in text


@pytest.mark.parametrize("attack", [*ATTACKS, "[a](javascript:b)", "# big", "- item", "1. item"])
def test_a_name_is_text_and_keeps_its_row_whole(attack):
    table = Table("T", ("case", "x"), ((attack, "1"),))
    text = write(Report(attack, (attack,), (Section(attack, tables=(table,)),), {}, {attack: "v"}))
    rows = [line for line in text.splitlines() if line.endswith("| 1 |")]

    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 3
    assert "<script" not in text.replace("\\<", "")
    assert "](javascript" not in text.replace("\\]", "")


def test_figures_are_shown_with_their_alternative():
    figures = (Figure("a b", "Shows [it].", "A | line", b"png", b"pdf"),)
    text = write(Report("t", (), (Section("s", figures=figures),), {}, {}))

    assert "![A \\| line](figures/a-b.png)" in text
    assert "Shows \\[it\\]. ([PDF](figures/a-b.pdf))" in text


def test_only_what_means_something_is_escaped():
    assert (
        escape("PSNR 31.2 dB (95 % CI 30 to 32), n = 4") == "PSNR 31.2 dB (95 % CI 30 to 32), n = 4"
    )
