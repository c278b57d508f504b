"""Slices of labelled volumes: which are taken, and what is refused."""

import numpy as np
import pytest
from tests.augmentation.made import AFFINE, save

from plica.cli.slicing import Asked, find_cuts
from plica.errors import InputError, UnknownName


def write_pair(folder, labels):
    """A table of one labelled volume."""
    save(folder / "image.nii.gz", np.zeros(labels.shape, np.int16), AFFINE)
    save(folder / "label.nii.gz", labels, AFFINE)
    (folder / "pairs.csv").write_text("patient,image,label\nann,image.nii.gz,label.nii.gz\n")
    return folder / "pairs.csv"


def test_of_many_slices_some_are_taken_evenly_over_the_volume(tmp_path):
    labels = np.broadcast_to(np.arange(12, dtype=np.uint8), (8, 8, 12)).copy()

    cuts, names, left = find_cuts(Asked(write_pair(tmp_path, labels), slices=3))

    assert [int(cut.labels.pixels.max()) for cut in cuts] == [2, 6, 10]
    assert [cut.key[2].rpartition("#")[2] for cut in cuts] == ["2", "6", "10"]
    assert list(names.values()) == [2, 6, 10]
    assert left == []


def test_what_cannot_be_cut_is_refused(tmp_path):
    many = write_pair(tmp_path, np.full((8, 8, 2), 300, np.int16))
    with pytest.raises(InputError, match="labels to 255 are taken here"):
        find_cuts(Asked(many))
    with pytest.raises(UnknownName, match="no rule 'guess'; there are: air-and-dense"):
        find_cuts(Asked(many, rule="guess"))
    save(tmp_path / "cohort" / "air.nii.gz", np.full((8, 8, 2), -1000, np.int16), AFFINE)
    with pytest.raises(InputError, match=r"there is no slice to segment: air\.nii\.gz"):
        find_cuts(Asked(tmp_path / "cohort", rule="air-and-dense"))
