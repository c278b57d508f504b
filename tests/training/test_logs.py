"""Tables hold whole rows, and none of steps that were lost."""

import sys

import pytest

from plica.errors import MissingExtra, OutputError, UnreadableFile
from plica.training.logs import Logs, Table


def test_rows_after_a_step_and_a_line_cut_off_are_dropped(tmp_path):
    table = Table(tmp_path / "t.csv", ("case", "psnr"))
    table.add(1, [("a,\nb", "1.5"), ("c", "2.5")])
    table.add(2, [("a", "3.5")])
    with (tmp_path / "t.csv").open("a") as file:
        file.write('12,"a,')
    table.cut(1)
    assert (tmp_path / "t.csv").read_text() == 'step,case,psnr\n1,"a,\nb",1.5\n1,c,2.5\n'
    table.add(2, [("a", "4.5")])
    assert (tmp_path / "t.csv").read_text().endswith("1,c,2.5\n2,a,4.5\n")


def test_a_table_that_is_not_ours_is_refused(tmp_path):
    table = Table(tmp_path / "t.csv", ("case",))
    for text in ("time,loss\n1,2\n", "step,case\nfirst,2\n", "step,case\n\n1,a\n"):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(UnreadableFile, match="not the table of this training"):
            table.cut(1)


def test_a_table_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(OutputError, match=r"t\.csv cannot be written"):
        Table(tmp_path / "t.csv", ("case",)).add(1, [("a",)])


def test_tensorboard_is_given_the_same_numbers(tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    logs = Logs(tmp_path, ("psnr",), step=0, evaluated=-1)
    logs.losses(3, {("codec", "term", "pixel"): 0.25})
    logs.judgements(3, [("case", [30.5])], {"psnr": 30.5})
    logs.close()
    (path,) = (tmp_path / "tensorboard").iterdir()
    seen = {
        (event.step, value.tag): value.tensor.float_val[0]
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    }
    assert seen == {(3, "codec/term/pixel"): 0.25, (3, "evaluation/psnr"): 30.5}
    assert (tmp_path / "evaluation.csv").read_text() == "step,case,psnr\n3,case,30.5\n"


def test_without_tensorboard_the_line_that_installs_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(MissingExtra, match=r"plica\[train\]"):
        Logs(tmp_path, ("psnr",), step=0, evaluated=-1)


def fail(*_, **__):
    raise OSError(28, "no space left")


def test_a_table_of_bytes_that_are_no_text_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"step,case\n\xff\xfe,a\n")
    with pytest.raises(UnreadableFile, match=r"t\.csv cannot be read"):
        Table(tmp_path / "t.csv", ("case",)).cut(1)


def test_events_that_cannot_be_written_are_said_whenever_it_shows(tmp_path, monkeypatch):
    writer = "torch.utils.tensorboard.writer.SummaryWriter"
    logs = Logs(tmp_path / "a", ("psnr",), step=0, evaluated=-1)
    with monkeypatch.context() as full:
        full.setattr(f"{writer}.add_scalar", fail)
        with pytest.raises(OutputError, match="TensorBoard's events cannot be written"):
            logs.losses(3, {("codec", "term", "pixel"): 0.25})
        full.setattr(f"{writer}.close", fail)
        with pytest.raises(OutputError, match="TensorBoard's events cannot be written"):
            logs.close()
    logs.close()
    monkeypatch.setattr(f"{writer}.__init__", fail)
    with pytest.raises(OutputError, match="TensorBoard's events cannot be written"):
        Logs(tmp_path / "b", ("psnr",), step=0, evaluated=-1)
