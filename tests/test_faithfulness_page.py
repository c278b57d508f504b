"""What docs/faithfulness.md says of classes, lesions and thresholds is what the program does."""

import re
from pathlib import Path

from plica.evaluation.accusation import (
    CELLS,
    CONSPICUOUS,
    CONTRAST_HU,
    CONTRAST_SHARE,
    LOCALISED,
    QUIET,
)
from plica.evaluation.controls import CLOSE, DENOISERS
from plica.evaluation.edges import GAUSSIAN_WIDTH, MOST_EDGES
from plica.evaluation.hallucination import ACCUSED, BLURS, FLOOR, SMALLEST_CELL
from plica.evaluation.lesions import SUBVOXELS
from plica.evaluation.retention import (
    CONTRASTS_HU,
    CONTRASTS_SHARE,
    DIAMETERS_MM,
    DIAMETERS_PIXELS,
    NOISE_PLACES,
)
from plica.evaluation.tissues import HU_CLASSES

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "faithfulness.md").read_text("utf-8")
SAID = " ".join(PAGE.split())


def test_classes_are_those_of_the_program():
    rows = re.findall(r"^\| ([a-z ]+) \| (.+?) \|", PAGE, flags=re.MULTILINE)
    said = {name: [int(n.replace("−", "-")) for n in re.findall(r"−?\d+", ends)] for name, ends in
            rows if name in {name for name, *_ in HU_CLASSES}}  # fmt: skip

    assert said == {
        "air": [-950], "lung": [-950, -500], "fat": [-190, -30], "soft tissue": [-29, 150],
        "enhanced or spongy": [150, 300], "bone": [300],
    }  # fmt: skip
    ends = {name: (low, high) for name, low, high in HU_CLASSES}
    assert ends["fat"] == (-190, -29.5)  # whole HU up to −30
    assert ends["soft tissue"] == (-29.5, 150)


def test_lesions_are_those_of_the_program():
    assert DIAMETERS_MM == (3, 6, 12)
    assert DIAMETERS_PIXELS == (4, 8, 16)
    assert "of 3, 6 and 12 mm (4, 8 and 16 pixels" in SAID
    assert (CONTRASTS_HU, CONTRASTS_SHARE) == ((20, 40, 80), (0.02, 0.05, 0.10))
    assert "20, 40 and 80 HU (2, 5 and 10 % of the range)" in SAID
    assert f"{SUBVOXELS} points an axis" in SAID
    assert f"up to {NOISE_PLACES} lesion-free places" in SAID


def test_thresholds_are_those_of_the_program():
    assert f"accused above {ACCUSED:g}" in SAID
    assert f"{100 * FLOOR:g} % of the image's range" in SAID
    assert all(f"{blur:g}" in SAID for blur in BLURS)
    assert f"at least {SMALLEST_CELL} voxels" in SAID
    assert (CELLS, CONTRAST_HU, LOCALISED) == (3, 100, 0.9)
    assert (CONTRAST_SHARE, CONSPICUOUS, QUIET) == (0.1, 5, 0.25)
    assert "100 HU (10 % of the range where there are no HU) and five times the RMS" in SAID
    assert "the quietest quarter" in SAID
    assert f"{GAUSSIAN_WIDTH:.3f}" in SAID
    assert f"up to {MOST_EDGES} strong edges" in SAID
    assert set(DENOISERS) == {"tv", "nlm"}
    assert f"within {100 * CLOSE:g} %" in SAID
