"""A worker: what cannot be read or stored fails alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from tests.bulk.test_engine import Orders, run, states

from plica.bulk import worker
from plica.bulk.ledger import Ledger
from plica.bulk.worker import CHANGED, load_codec
from plica.codecs.catalogue import load
from plica.errors import LatentError
from plica.formats.store_writing import ShardWriter
from plica.latent import Latent


def test_files_that_change_or_fail_while_they_are_read_fail_alone(order: Orders, monkeypatch):
    made = order()
    real, seen = worker.sign, set()

    def sign(path: Path, files: tuple[str, ...] = ()) -> str:
        if path.name == "ct1.nii":
            raise PermissionError(13, "Permission denied")
        if path.name == "ct2.nii":
            raise MemoryError
        if path.name == "ct3.nii" and path not in seen:
            seen.add(path)
            return "another"
        return real(path, files)

    monkeypatch.setattr(worker, "sign", sign)
    run(made)
    with Ledger(made.store) as ledger:
        failed = {Path(path).name: reason for _, path, reason in ledger.failures()}
    assert failed.pop("broken.nii")
    assert failed == {
        "ct1.nii": "[Errno 13] Permission denied",
        "ct2.nii": "there is not enough memory",
        "ct3.nii": CHANGED,
    }


def test_a_latent_that_cannot_be_stored_fails_alone(order: Orders, monkeypatch):
    made = order()
    real = ShardWriter.add

    def add(writer: ShardWriter, key: str, latent: Latent, row: dict[str, object]) -> None:
        if latent.source.shape[0] == 17:
            raise LatentError("it has no end")
        real(writer, key, latent, row)

    monkeypatch.setattr(ShardWriter, "add", add)
    run(made)
    with Ledger(made.store) as ledger:
        failed = {Path(path).name: reason for _, path, reason in ledger.failures()}
    assert failed["ct1.nii"] == "it has no end"
    assert states(made)["done"] == 14


def test_threads_of_a_worker_are_those_of_its_order(order: Orders):
    before = torch.get_num_threads()
    try:
        load_codec(order(threads=1))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_codec_that_works_in_what_an_image_takes_is_told_of_no_memory(order: Orders):
    codec = load_codec(replace(order(), codec="identity", memory=1))
    assert codec == load("identity")
