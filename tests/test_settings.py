"""Settings are read strictly and written so that they are read back equal."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plica import settings
from plica.errors import SettingsError
from plica.image import Unit

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@dataclass(frozen=True)
class Source:
    name: str
    weight: float = 1.0
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Optimiser:
    rate: float = 1e-3
    kind: Literal["adam", "sgd"] = "adam"
    warm: bool = False


@dataclass(frozen=True)
class Recipe:
    title: str = ""
    steps: int = 10
    optimiser: Optimiser = field(default_factory=Optimiser)
    sources: tuple[Source, ...] = ()
    out: Path | None = None
    notes: dict[str, str] = field(default_factory=dict)


def test_a_table_is_read_into_nested_dataclasses():
    text = """
    steps = 3
    out = "weights"
    [optimiser]
    rate = 1
    [[sources]]
    name = "cxr"
    paths = ["a", "b"]
    """
    recipe = settings.parse(Recipe, text)
    assert recipe == Recipe(
        steps=3,
        optimiser=Optimiser(rate=1.0),
        sources=(Source("cxr", paths=("a", "b")),),
        out=Path("weights"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", "no setting 'stepz'; did you mean 'steps'?"),
        ("[optimiser]\nrat = 1.0", "optimiser: no setting 'rat'; did you mean 'rate'?"),
        ('[[sources]]\nname = "a"\n[[sources]]\nnam = "b"', "sources.1: no setting 'nam'"),
        ("zzz = 3", "no setting 'zzz'; there are: notes, optimiser, out"),
        ('steps = "3"', "steps: .*integer.*but got '3'"),
        ("steps = 3.5", "steps: .*integer"),
        ("steps = true", "steps: .*integer"),
        ('[optimiser]\nkind = "adm"', "optimiser.kind: .*'adam' or 'sgd'"),
        ("[[sources]]\nweight = 1.0", "sources.0.name: this setting is missing"),
        ("optimiser = 3", "optimiser: "),
        ("steps = ", "not valid TOML"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_path(text, message):
    with pytest.raises(SettingsError, match=message):
        settings.parse(Recipe, text)


def test_a_missing_file_and_a_binary_one_are_named(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read"):
        settings.read(Recipe, tmp_path / "none.toml")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"x\.toml cannot be read"):
        settings.read(Recipe, tmp_path / "x.toml")
    (tmp_path / "y.toml").write_text("stepz = 1")
    with pytest.raises(SettingsError, match=r"^y\.toml: no setting 'stepz'"):
        settings.read(Recipe, tmp_path / "y.toml")


def test_a_thing_without_a_form_in_toml_is_refused():
    with pytest.raises(SettingsError, match="no form for a object"):
        settings.to_toml({"a": object()})
    with pytest.raises(SettingsError, match="settings are a dataclass"):
        settings.to_toml([1])


@given(
    st.builds(
        Recipe,
        title=TEXT,
        steps=st.integers(-(2**63), 2**63 - 1),
        optimiser=st.builds(
            Optimiser,
            rate=st.floats(allow_nan=False),
            kind=st.sampled_from(["adam", "sgd"]),
            warm=st.booleans(),
        ),
        sources=st.lists(
            st.builds(Source, TEXT, st.floats(0, 1), st.lists(TEXT, max_size=2).map(tuple)),
            max_size=3,
        ).map(tuple),
        out=st.none() | st.just(Path("a/b")),
        notes=st.dictionaries(TEXT, TEXT, max_size=3),
    )
)
def test_what_is_written_is_read_back_equal(recipe):
    assert settings.parse(Recipe, settings.to_toml(recipe)) == recipe


@dataclass(frozen=True)
class Cabinet:
    unit: Unit = Unit.HU
    drawers: dict[str, Source] = field(default_factory=dict)
    loose: list[Any] = field(default_factory=list)


def test_enums_tables_of_dataclasses_and_mixed_lists_are_read_back():
    cabinet = Cabinet(Unit.RELATIVE, {"a b": Source("x", 0.5)}, [1, {"b": {"c d": 2}}])
    assert settings.parse(Cabinet, settings.to_toml(cabinet)) == cabinet


def test_an_unknown_key_is_found_in_a_table_of_dataclasses():
    with pytest.raises(SettingsError, match=r"drawers\.top: no setting 'nam'; did you mean 'name'"):
        settings.parse(Cabinet, '[drawers.top]\nnam = "x"')


@dataclass(frozen=True)
class Circle:
    kind: Literal["circle"] = "circle"
    radius: float = 1.0


@dataclass(frozen=True)
class Square:
    kind: Literal["square"] = "square"
    side: float = 1.0


@dataclass(frozen=True)
class Drawing:
    shape: Circle | Square = field(default_factory=Circle)


def test_a_union_is_told_apart_by_its_kind():
    assert settings.parse(Drawing, 'shape = { kind = "square", side = 2.0 }').shape == Square(
        side=2.0
    )
    with pytest.raises(SettingsError, match="shape: no setting 'side'"):
        settings.parse(Drawing, 'shape = { kind = "circle", side = 2.0 }')
    with pytest.raises(SettingsError, match=r"shape\.kind: Input should be 'circle' or 'square'"):
        settings.parse(Drawing, 'shape = { kind = "line" }')
