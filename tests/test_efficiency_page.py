"""What docs/efficiency.md concludes from its tables is what its tables say."""

import re
from pathlib import Path

from plica.evaluation.efficiency import HRNET, PRECURSOR
from plica.evaluation.storage import PSNR_TOLERANCE

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "efficiency.md").read_text("utf-8")
SAID = " ".join(PAGE.split())
DTYPE = r"(float32|float16|bfloat16|int8)"
KEPT = re.compile(
    rf"^\| (\S+) \| {DTYPE} \| \d+ \| ([\d,]+) \| [\d.]+ \| ([\d.]+) \|", re.MULTILINE
)


def read_kept():
    """For each codec and kind of images in turn: bytes and dB by type of number."""
    found = []
    for codec, dtype, size, psnr in KEPT.findall(PAGE):
        if dtype == "float32":
            found.append({})
        found[-1][dtype] = (int(size.replace(",", "")), float(psnr), codec)
    return found


def test_what_types_of_numbers_cost_is_in_the_tables():
    kept = read_kept()
    assert len(kept) == 12

    def find(dtypes):
        shares = [100 * k[d][0] / k["float32"][0] for k in kept for d in dtypes]
        lost = [k["float32"][1] - k[d][1] for k in kept for d in dtypes]
        return f"{min(shares):.0f} to {max(shares):.0f} %", f"{max(lost):.2f} dB"

    halves, quarters = find(["float16", "bfloat16"]), find(["int8"])

    assert f"leave {halves[0]} of float32's bytes, for {halves[1]} at most" in SAID
    assert f"int8 leaves {quarters[0]}, for {quarters[1]} at most" in SAID


def test_what_is_stored_without_loss_is_in_the_tables():
    table = re.search(r"<!-- lossless -->(.*?)<!-- /", PAGE, re.DOTALL)[1]
    shares = [int(share) for share in re.findall(r"\((\d+) %\) \|$", table, re.MULTILINE)]

    assert len(shares) == 3
    assert f"by JPEG XL, these images have {min(shares)} to {max(shares)} % of their bytes" in SAID


def test_the_published_row_is_quoted_as_printed():
    rows = re.findall(r"\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| [-+][\d.]+ % \|", PAGE)
    published = {float(row[2]) for row in rows}
    less = [100 * (1 - float(alone) / float(paper)) for alone, _, paper in rows]

    assert {607.33, 37.96, 9.49, 2.37} <= published <= set(PRECURSOR.values())
    assert HRNET in PAGE
    assert min(less) > 0.4  # two digits of 2.37 tell no more
    assert max(less) < 0.7
    assert "anonymous precursor on diagnostically lossless compression (2023)" in SAID


def test_encoding_that_is_repaid_is_worked_out_from_the_tables():
    found = re.search(
        r"needs ([\d.]+) s for 1024².*?([\d.]+) ÷ \(([\d.]+) − ([\d.]+)\), (\d+) passes", SAID
    )
    assert found is not None
    seconds, again, full, latent, passes = map(float, found.groups())

    assert seconds == again
    assert f"| {full} s (" in PAGE
    assert f"| 256×256 | 1 | {1000 * latent:.0f} ms (" in PAGE
    assert round(seconds / (full - latent)) == passes
    performance = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
    line = f"| medvae-4x1-2d 1024² | float32 | {seconds:.0f} |"
    assert line in performance.read_text("utf-8")


def test_tolerances_are_those_of_the_program():
    assert f"within {PSNR_TOLERANCE:g} dB" in SAID
