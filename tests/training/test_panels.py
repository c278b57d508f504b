"""A panel shows source, decoded and residual where they belong."""

import numpy as np

import plica
from plica.training.panels import write_panels


def see(path):
    return plica.read(path).pixels[0, :, :, 0].T  # (row, column)


def test_a_bright_pixel_keeps_its_row_and_column(tmp_path):
    source = np.full((1, 20, 30), -1, np.float32)
    source[0, 2, 5] = 1
    decoded = source.copy()
    decoded[0, 7, 9] += 0.25
    write_panels([(source, decoded)], tmp_path / "p.png")
    page = see(tmp_path / "p.png")
    assert page.shape == (24, 3 * 30 + 2 * 4)
    left, middle, right = page[:20, :30], page[:20, 34:64], page[:20, 68:]
    assert np.argwhere(left == 255).tolist() == [[2, 5]]
    assert middle[2, 5] == 255
    assert middle[7, 9] == 32  # (−0.75 + 1) × 127.5
    assert right[7, 9] == 255  # 4 × 0.25, which is white
    assert np.unique(np.delete(right.ravel(), 7 * 30 + 9)).tolist() == [128]


def test_of_a_volume_the_middle_slice_is_shown_with_anterior_above(tmp_path):
    source = np.full((1, 6, 8, 5), -1, np.float32)
    source[0, 1, 7, 2] = 1  # j grows towards anterior
    write_panels([(source, source)], tmp_path / "p.png")
    assert np.argwhere(see(tmp_path / "p.png")[:8, :6] == 255).tolist() == [[0, 1]]


def test_large_and_small_cases_share_a_page_and_a_page_is_replaced(tmp_path):
    large = np.zeros((3, 600, 300), np.float32)
    small = np.zeros((1, 16, 16), np.float32)
    for _ in range(2):
        write_panels([(large, large), (small, small)], tmp_path / "panels" / "p.png")
    page = see(tmp_path / "panels" / "p.png")
    assert page.shape == (200 + 4 + 16 + 4, 3 * 100 + 2 * 4)
