"""One voice: what holds of every command, whichever it is."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from plica.cli.commands import Commands, read_help
from plica.cli.main import app, main

ROOT: Any = typer.main.get_command(app)


def walk(group: Any = ROOT, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, Commands):
            yield from walk(command, (*words, name))
        else:
            yield (*words, name), command


EVERY = dict(walk())
FILELESS = {("codecs",), ("card",), ("demo",), ("doctor",)}
every = pytest.mark.parametrize("words", EVERY, ids=" ".join)


def examples(words: tuple[str, ...]) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in read_help(EVERY[words].help)[1]]


def options(words: tuple[str, ...]) -> dict[str, Any]:
    own = (p for p in EVERY[words].params if p.param_type_name == "option")
    return {spelt: param for param in own for spelt in param.opts}


def say(monkeypatch: Any, capsys: Any, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the whole command line."""
    monkeypatch.setattr(sys, "argv", ["plica", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr()
    return int(stopped.value.code or 0), said.out, said.err


# -- help ----------------------------------------------------------------------------------------


@every
def test_its_help_is_a_sentence_and_an_example_that_the_parser_takes(words):
    text, found = read_help(EVERY[words].help)
    assert text.partition("\n")[0].endswith((".", ":"))
    assert found
    for example in examples(words):
        assert tuple(example[: len(words)]) == words
        asked = EVERY[words].make_context("plica", example[len(words) :], resilient_parsing=False)
        assert asked.params


@every
def test_its_example_stands_in_one_line_however_narrow_the_terminal_is(words):
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "60"}).output
    for line in read_help(EVERY[words].help)[1]:
        assert f"Example: {line}\n" in shown


def test_every_option_is_explained_in_a_sentence():
    for words in EVERY:
        for spelt, param in options(words).items():
            if spelt != "--help":
                assert param.help, (words, spelt)
                assert param.help[0].isupper() or param.help.split()[0].strip(",:") in (
                    "auto", "raw", "linear", "mean", "best", "exact", "float32", "hrnet-w64",
                ) or param.help.startswith(("s of", "…")), (words, param.help)  # fmt: skip


def test_an_option_of_one_name_has_one_short_form_one_kind_and_one_way_to_be_repeated():
    seen: dict[str, tuple[Any, ...]] = {}
    # Several codecs are judged, and one is used; and so with their weights.
    free = {"--codec", "-c", "--weights", "--dtype"}
    for words in EVERY:
        for spelt, param in options(words).items():
            form = (tuple(param.opts), param.is_flag, spelt in free or param.multiple)
            assert seen.setdefault(spelt, form) == form, (words, spelt)


def test_what_many_commands_have_is_said_in_the_same_words():
    alike = ("--json", "--quiet", "--overwrite", "--device", "--set", "--random-weights", "--where",
             "--limit", "--unit", "--volume", "--series", "--windows", "--axis", "--weights-dir",
             "--group", "--data-range", "--strength", "--margin", "--resume")  # fmt: skip
    for spelt in alike:
        helps = {
            options(words)[spelt].help
            for words in EVERY
            if spelt in options(words)
            and words != ("train",)  # a run, and a recipe's settings
            and (spelt, words) != ("--limit", ("bulk", "encode"))  # a store is gone on with
        }
        assert len(helps) == 1, (spelt, helps)


@every
def test_what_works_long_can_be_silent_and_what_writes_can_be_told_to_replace(words):
    own = options(words)
    if "--device" in own:
        assert {"--quiet", "--json"} <= own.keys()
    if "--out" in own and words not in {("train",), ("bulk", "encode")}:  # these go on
        assert "--overwrite" in own


def test_help_is_told_without_torch_and_without_the_commands():
    code = (
        "import sys; sys.argv = ['plica', '--help']; from plica.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "loaded = {'torch', 'plica.cli.encode', 'plica.cli.train'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Exit codes: 0" in done.stdout


def test_no_commands_own_help_needs_torch():
    code = (
        "import json, sys; from plica.cli.main import main\n"
        "for words in json.load(sys.stdin):\n"
        "    sys.argv = ['plica', *words, '--help']\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        "    assert 'torch' not in sys.modules, words\n"
    )
    every_one = list(EVERY)
    done = subprocess.run([sys.executable, "-c", code], input=json.dumps(every_one),
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for words in every_one:
        assert f"Usage: plica {' '.join(words)}" in done.stdout


def test_values_below_zero_are_values_of_an_option_that_takes_several():
    command = dict(walk())["evaluate", "faithfulness"]
    words = ["images/", "-c", "identity", "-o", "r", "--contrast", "-50", "50", "-1e2", "-q"]

    asked = command.make_context("faithfulness", words).params

    assert list(asked["contrast"]) == [-50, 50, -100]
    assert (str(asked["cohort"]), asked["quiet"]) == ("images", True)


# -- errors --------------------------------------------------------------------------------------


@every
def test_a_mistyped_option_is_refused_with_the_right_one(words, monkeypatch, capsys):
    spelt = next(one for one in options(words) if len(one) > 4)
    code, _, err = say(monkeypatch, capsys, *words, spelt + "x")
    assert code == 2
    assert spelt in err.replace(spelt + "x", "")
    assert err.startswith("error: ")
    assert f"{' '.join(words)} --help" in err


@every
def test_a_missing_file_is_named_in_a_sentence(words, monkeypatch, capsys, tmp_path):
    if words in FILELESS:
        pytest.skip("it needs no file")
    monkeypatch.chdir(tmp_path)
    example = examples(words)[0]
    code, out, err = say(monkeypatch, capsys, *example)
    assert code in {1, 2}
    assert err.startswith("error: ")
    assert "Traceback" not in err
    asked = dict(walk())[words].make_context(words[-1], example[len(words) :]).params
    given = [np.ravel(np.array(asked[name], object)) for name in asked if name != "out"]
    paths = [path for several in given for path in several if isinstance(path, Path)]
    assert any(str(path) in err for path in paths), (err, paths)
    assert out == ""
    assert not list(tmp_path.iterdir())


@every
def test_errors_are_json_for_those_who_asked_for_it(words, monkeypatch, capsys, tmp_path):
    if "--json" not in options(words):
        pytest.skip("it prints no JSON")
    monkeypatch.chdir(tmp_path)
    code, out, err = say(monkeypatch, capsys, *words, "--no-such-option", "--json")
    assert (code, err) == (2, "")
    assert "--no-such-option" in json.loads(out)["error"]
    if words in FILELESS:
        return
    code, out, err = say(monkeypatch, capsys, *examples(words)[0], "--json")
    assert code in {1, 2}
    assert json.loads(out)["error"]


def test_a_mistyped_command_is_refused_with_the_right_one(monkeypatch, capsys):
    for words, right in ((("encod",), "encode"), (("bulk", "stat"), "status")):
        code, _, err = say(monkeypatch, capsys, *words)
        assert code == 2
        assert f"did you mean {right}" in err


def test_a_value_that_is_no_number_is_shown(monkeypatch, capsys):
    code, _, err = say(monkeypatch, capsys, "encode", "x", "-o", "y", "--tile", "abc")
    assert code == 2
    assert err.startswith("error: --tile abc: this should be a valid integer")


def test_nothing_asked_for_is_answered_with_the_help(monkeypatch, capsys):
    code, out, err = say(monkeypatch, capsys)
    assert code == 2
    assert "plica [OPTIONS] COMMAND" in out + err


def test_a_file_that_is_no_image_is_named(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    Path("letter.nii.gz").write_text("Dear Sir or Madam")
    for words in (("encode", "-o", "x.latent"), ("inspect",), ("reconstruct", "-o", "x.nii.gz")):
        code, _, err = say(monkeypatch, capsys, words[0], "letter.nii.gz", *words[1:])
        assert code == 1
        assert "letter.nii.gz" in err
        assert not Path("x.latent").exists()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("encode pic.png -o x -c ./nowhere", "there is no such folder: ./nowhere"),
        ("encode pic.png pic.png -o x", "pic.png is named twice"),
        ("encode . -o x --overwrite --resume", "say one"),
        (
            "encode pic.png -o x --tiling tiled",
            "--tiling takes auto, exact, window, blend or whole",
        ),
        ("encode pic.png -o x --axis coronl", "but got 'coronl'; did you mean coronal?"),
        ("encode pic.png -o x --precision float16", "--precision takes float32 or bfloat16"),
        ("encode pic.png -o x --pipeline ct", "--pipeline takes own, radiograph or mr"),
        ("encode pic.png -o x --set rate=1", "--axis, --fill-nonfinite, --keep-outside"),
        ("encode empty -o x", "there is no image below empty: name a file or folder with some"),
        ("reconstruct pic.png -o x --outside drop", "--outside takes keep or report"),
        ("card compact-4x3-2d -o note.txt", "say --overwrite"),
        ("demo -o full", "full is not empty: choose another folder, or --overwrite"),
        ("export nowhere -o codec", "there is no run at nowhere: check the path"),
        ("augment nowhere -o Dataset501_X", "there is no file or folder at nowhere"),
        ("bulk status nowhere", "there is no store at nowhere"),
        ("bulk encode empty -o s.store -c area-4x-3d", "the archive holds no image"),
        ("evaluate compare nowhere nowhere", "there is no report at nowhere"),
        ("evaluate compare empty empty", "empty holds no report"),
        ("evaluate reconstruction full -c area-4x-2d -o r --metric psnrr", "did you mean psnr?"),
        ("evaluate reconstruction full -c area-4x-2d -o r --split tset", "cohort is not divided"),
        ("evaluate reconstruction full -c area-4x-2d -o r --group Skull", "none has any"),
        ("evaluate probe full -c area-4x-2d -o r --label x --margin 0.02", "such as auroc=0.02"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(
    line, sentence, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("note.txt").write_text("hello")
    for place in ("pic.png", "full/one.png"):
        Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(place)

    code, _, err = say(monkeypatch, capsys, *shlex.split(line))

    assert code == 1
    assert f"{sentence}" in err
    assert "Traceback" not in err
