import itertools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.stored import fill, key_of
from tests.training.test_stored import write_labels
from torch.utils.data import DataLoader

import plica
from plica.errors import SettingsError
from plica.training import streamed
from plica.training.store_labels import Labels
from plica.training.store_order import Order, Span

pytest.importorskip("pyarrow")
COUNTS = (4, 1, 7, 2, 9)
ALL = sorted(map(key_of, range(sum(COUNTS))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streamed") / "store"
    fill(folder, counts=COUNTS)
    return folder


class Worker:
    """What torch tells a worker of itself."""

    def __init__(self, number, workers):
        self.id, self.num_workers = number, workers


def parts_of(folder, monkeypatch, *, world, workers, **options):
    """The stream of each worker of each rank, as its own process would have it."""
    for rank, worker in itertools.product(range(world), range(workers)):
        monkeypatch.setattr(streamed, "find_rank", lambda rank=rank: (rank, world))
        monkeypatch.setattr(
            streamed, "get_worker_info", lambda worker=worker: Worker(worker, workers)
        )
        yield plica.open_store(folder).stream(**options)


def keys(items):
    return [item["key"] for item in items]


# -- order ---------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    counts=st.lists(st.integers(0, 12), max_size=8),
    parts=st.tuples(st.integers(1, 5), st.integers(1, 4)),
    seed=st.integers(0, 9),
    buffer=st.integers(1, 20),
    shuffle=st.booleans(),
    even=st.booleans(),
)
def test_parts_meet_every_row_once(counts, parts, seed, buffer, shuffle, even):
    order = Order(tuple(counts), seed, shuffle, buffer)
    met, sizes = [], []
    for rank in range(parts[0]):
        mine = order.whole.cut(rank, parts[0], even=even)
        for worker in range(parts[1]):
            span = mine.cut(worker, parts[1], even=even)
            walked = list(order.walk(3, span))
            for skip in (1, buffer, len(span)):
                assert list(order.walk(3, span, skip)) == walked[skip:]
            met += walked
            sizes.append(len(walked))
    rows = [(shard, row) for shard, count in enumerate(counts) for row in range(count)]

    assert len(set(met)) == len(met)
    assert set(met) <= set(rows)
    assert sizes == sizes[:1] * len(sizes) if even else len(met) == len(rows)
    if not shuffle:
        assert met == sorted(met)


def test_orders_differ_by_seed_and_epoch_and_by_nothing_else():
    def walk(seed, epoch):
        order = Order((50, 50, 50), seed, buffer=20)
        return tuple(order.walk(epoch, order.whole))

    assert walk(0, 0) == walk(0, 0)
    assert len({walk(seed, epoch) for seed in range(3) for epoch in range(3)}) == 9


def test_shuffling_mixes_far_rows_as_the_buffer_allows():
    order = Order((1000,) * 10, 0, buffer=3000)
    first = [shard for shard, _ in list(order.walk(0, order.whole))[:100]]
    assert len(set(first)) >= 3
    assert len(set(first)) <= 4


def test_positions_that_are_none_are_refused():
    for wrong in (lambda: Order((1,), buffer=0), lambda: Order((1,), -1), lambda: Span(0, 9).cut(
        3, 3)):  # fmt: skip
        with pytest.raises(SettingsError):
            wrong()


# -- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("world", "workers"), [(1, 1), (1, 3), (2, 2), (3, 4), (30, 1)])
def test_every_item_comes_once_over_ranks_and_workers(folder, monkeypatch, world, workers):
    for buffer in (1, 5, 1000):
        streams = parts_of(folder, monkeypatch, world=world, workers=workers, buffer=buffer)
        met = [keys(stream) for stream in streams]
        assert sorted(itertools.chain.from_iterable(met)) == ALL
        assert max(map(len, met)) - min(map(len, met)) <= 2


def test_even_parts_are_equal_and_leave_out_few(folder, monkeypatch):
    streams = parts_of(folder, monkeypatch, world=2, workers=3, even=True)
    met = [keys(stream) for stream in streams]
    assert [len(part) for part in met] == [3] * 6
    assert len(set(itertools.chain.from_iterable(met))) == 18


def test_epochs_differ_and_can_be_repeated(folder):
    stream = plica.open_store(folder).stream(seed=4, buffer=6)
    passes = []
    for epoch in (0, 1, 2, 1):
        stream.set_epoch(epoch)
        passes.append(keys(stream))
    assert all(sorted(each) == ALL for each in passes)
    assert passes[1] == passes[3]
    assert len(set(map(tuple, passes))) == 3
    other = plica.open_store(folder).stream(seed=5, buffer=6)
    assert keys(other) != passes[0]
    unshuffled = plica.open_store(folder).stream(shuffle=False)
    assert keys(unshuffled) == plica.open_store(folder).store.keys


def test_streamed_items_are_those_of_the_map(folder, tmp_path):
    table = write_labels(tmp_path / "labels.csv", [20, 3, 5, 11, 4])
    labels = Labels(table, kinds={"age": int}, subset=True)
    data = plica.open_store(folder, columns=("source",), labels=labels)
    by_key = {item["key"]: item for item in data}
    streamed_items = list(data.stream(buffer=3))
    assert sorted(item["age"] for item in streamed_items) == [3, 4, 5, 11, 20]
    for item in streamed_items:
        same = by_key[item["key"]]
        assert torch.equal(item["codes"], same["codes"])
        assert {**item, "codes": 0} == {**same, "codes": 0}
        assert item["source"] == f"site/{item['age']}.nii.gz"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking beside threads
@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_pass_goes_on_where_it_stopped(folder, workers):
    def load(stream):
        options = {"persistent_workers": True, "multiprocessing_context": "fork"} if workers else {}
        return DataLoader(stream, batch_size=2, num_workers=workers, **options)

    stream = plica.open_store(folder).stream(seed=1, buffer=4)
    loader = load(stream)
    stream.set_epoch(0)
    first = [batch["key"] for batch in loader]
    stream.set_epoch(2)  # which workers that outlive the epoch must hear of
    whole = [batch["key"] for batch in loader]
    assert sorted(itertools.chain.from_iterable(whole)) == ALL
    assert whole != first
    assert stream.count_batches(2, workers=workers) == len(whole)
    for done in (0, 1, 4, 7, len(whole) - 1, len(whole)):
        stream.resume(epoch=2, batches=done, batch_size=2)
        assert [batch["key"] for batch in loader] == whole[done:]
    with pytest.raises(SettingsError):
        stream.resume(epoch=0, batches=-1)


def test_the_batches_of_any_loader_are_counted(folder, monkeypatch):
    for workers in (1, 2, 5):
        for drop_last in (False, True):
            loaders = [
                list(DataLoader(stream, batch_size=3, drop_last=drop_last))
                for stream in parts_of(folder, monkeypatch, world=1, workers=workers)
            ]
            stream = plica.open_store(folder).stream()
            monkeypatch.setattr(streamed, "find_rank", lambda: (0, 1))
            assert stream.count_batches(3, workers=workers, drop_last=drop_last) == sum(
                map(len, loaders)
            )


def test_the_rank_is_the_environments_where_no_group_says_it(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert streamed.find_rank() == (0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert streamed.find_rank() == (2, 3)
    for rank, world in (("3", "3"), ("x", "1"), ("-1", "2")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", world)
        with pytest.raises(SettingsError, match="RANK"):
            streamed.find_rank()


def test_a_stream_holds_the_index_of_few_shards(folder, monkeypatch):
    read = []
    data = plica.open_store(folder)
    plain = type(data).columns_of
    monkeypatch.setattr(
        type(data), "columns_of", lambda self, s, c: (read.append(s), plain(self, s, c))[1]
    )
    assert sorted(keys(data.stream(buffer=2))) == ALL
    assert sorted(set(read)) == list(range(len(COUNTS)))
    assert "places" not in vars(data.store)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**63))
def test_any_seed_will_do(folder, seed):
    assert sorted(keys(plica.open_store(folder).stream(seed=seed))) == ALL


def test_the_rank_is_that_of_the_group_of_processes_where_there_is_one(monkeypatch):
    for name, answer in (("is_initialized", True), ("get_rank", 1), ("get_world_size", 4)):
        monkeypatch.setattr(streamed.distributed, name, lambda answer=answer: answer)
    assert streamed.find_rank() == (1, 4)
