"""What docs/data.md shows is a recipe's data, and what it says of defaults is so."""

import re
import tomllib
from pathlib import Path

from plica import settings
from plica.training.cohorts import SERIES_LABEL, SPLIT_FOLDERS
from plica.training.data import TRAIN_SHARE
from plica.training.recipe import JUDGED, Data

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "data.md").read_text(encoding="utf-8")


def test_the_settings_shown_are_settings():
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    data = settings.parse(Data, settings.to_toml(tomllib.loads(block)["data"]))
    assert [source.weight for source in data.sources] == [3.0, 1.0]
    assert data.augmentation.scale == (1.0, 2.0)


def test_names_and_shares_are_those_of_the_program():
    assert f"`{SERIES_LABEL}`" in PAGE
    assert {"train", "validation", "val", "dev", "dev-test", "test"} <= set(SPLIT_FOLDERS)
    assert f"the first of {', '.join(f'`{name}`' for name in JUDGED)} that there is" in PAGE
    assert "test" not in JUDGED
    assert set(JUDGED) <= set(SPLIT_FOLDERS)
    assert Data().train == "train"
    assert TRAIN_SHARE == 0.9
    assert "nine patients of ten" in PAGE
    assert Data().augmentation.flips == ()
    assert not Data().augmentation.quarter_turns
