"""Weights that are not here: what is said, and nobody waits for a network that is not there."""

import http.server
import logging
import socket
import threading
import time

import pytest
from huggingface_hub import constants

from plica.codecs import fetching
from plica.errors import WeightsError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The hub's cache, empty; asking the hub's library for more than its cache is an error."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def download(*_, **__):
        raise AssertionError("the hub's library was asked")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return tmp_path


def keep(cache, revision):
    """A file in the hub's cache, in its layout."""
    root = cache / "models--some--codec"
    folder = root / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "a.safetensors").write_bytes(b"weights")
    if revision != COMMIT:
        (root / "refs").mkdir()
        (root / "refs" / revision).write_text(COMMIT)
    return folder / "a.safetensors"


def refuse():
    with pytest.raises(WeightsError) as caught:
        fetching.fetch("some/codec", "a.safetensors", COMMIT, name="codec-x")
    return str(caught.value)


def test_offline_is_said_with_what_to_fetch_from_where(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(fetching, "can_reach", lambda address: pytest.fail("it was tried"))

    message = refuse()

    page = f"https://huggingface.co/some/codec/tree/{COMMIT}"
    for part in ("codec-x", "HF_HUB_OFFLINE is set", "a.safetensors", page, "--weights FILE"):
        assert part in message
    assert len(message) < 400


@pytest.fixture
def logged():
    """What its library logs, and all others."""
    records: list[logging.LogRecord] = []
    keeper = logging.Handler()
    keeper.emit = records.append
    loggers = logging.getLogger(), logging.getLogger("huggingface_hub")
    for logger in loggers:
        logger.addHandler(keeper)
    yield records
    for logger in loggers:
        logger.removeHandler(keeper)


def test_without_a_network_it_is_said_at_once(cache, monkeypatch, logged):
    def nowhere(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    slept: list[float] = []  # its library waits between tries
    monkeypatch.setattr(time, "sleep", slept.append)

    message = refuse()

    assert not slept
    assert "cannot be reached from here" in message
    assert "Please check your connection" not in message
    assert not logged


@pytest.mark.parametrize("offline", [True, False])
def test_what_is_in_the_cache_is_taken_where_there_is_no_network(cache, monkeypatch, offline):
    kept = keep(cache, "main")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(fetching, "can_reach", lambda address: False)

    for revision in ("main", ""):
        assert fetching.fetch("some/codec", "a.safetensors", revision, name="x") == kept


def test_a_whole_commit_in_the_cache_asks_nobody(cache, monkeypatch):
    kept = keep(cache, COMMIT)
    monkeypatch.setattr(fetching, "can_reach", lambda address: pytest.fail("it was tried"))

    assert fetching.fetch("some/codec", "a.safetensors", COMMIT, name="x") == kept


def test_the_hubs_library_says_nothing_by_itself(cache, monkeypatch, logged):
    def download(repository, filename, *, revision):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise OSError("gone")

    monkeypatch.setattr(fetching, "can_reach", lambda address: True)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    level = logging.getLogger("huggingface_hub").level

    assert "could not be fetched: gone" in refuse()
    assert not logged
    assert logging.getLogger("huggingface_hub").level == level


@pytest.fixture
def direct(monkeypatch):
    """No proxy between here and here."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY",
                 "ALL_PROXY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


def test_a_closed_port_is_no_way(direct):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert not fetching.can_reach(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["huggingface.co", "http://[", "http://a b/", ""])
def test_an_address_that_is_none_is_left_to_the_hubs_own_words(direct, address):
    assert fetching.can_reach(address)


def test_an_answer_that_is_no_http_is_an_answer(direct):
    with socket.create_server(("127.0.0.1", 0)) as held:

        def answer():
            client, _ = held.accept()
            with client:
                client.recv(1000)
                client.sendall(b"220 mail ready\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert fetching.can_reach(f"http://127.0.0.1:{held.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize(("patience_s", "reached"), [(0.05, False), (10, True)])
def test_silence_is_no_way_and_a_connection_that_breaks_off_is_one(
    direct, monkeypatch, patience_s, reached
):
    monkeypatch.setattr(fetching, "PATIENCE_S", patience_s)
    with socket.create_server(("127.0.0.1", 0)) as held:

        def hang_up():
            client, _ = held.accept()
            client.recv(1000)
            client.close()

        thread = threading.Thread(target=hang_up)
        if reached:
            thread.start()
        assert fetching.can_reach(f"http://127.0.0.1:{held.getsockname()[1]}") is reached
        if reached:
            thread.join()


@pytest.mark.parametrize("status", [200, 403, 500])
def test_an_answer_that_is_a_refusal_is_an_answer(direct, status):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            """Nothing is printed."""

    asked = []
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        assert fetching.can_reach(f"http://127.0.0.1:{server.server_port}")
        serving.join()
    assert asked
