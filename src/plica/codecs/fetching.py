"""The one place plica connects to: the Hugging Face hub, for weights that somebody named.

A machine without a network is common where patients' images are. So the hub is tried once before
its library is asked: that one tries six times, half a minute long, and prints each time.
"""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plica.errors import WeightsError

PATIENCE_S = 10.0


INSTEAD = "give it with --weights FILE"


def fetch(
    repository: str, filename: str, revision: str, *, name: str, instead: str = INSTEAD
) -> Path:
    """A file of the hub: from its cache on this machine, or fetched into it.

    A whole commit that is in the cache is taken without asking anybody; of a branch, or where no
    revision is named, the hub is asked for the newest, and the cache stands in where it cannot be
    reached.

    Args:
        repository: "owner/name".
        filename: Within it.
        revision: Branch, tag or commit; "" is the newest.
        name: The codec's, for messages.
        instead: What to do with a file fetched by hand.

    Raises:
        WeightsError: It is not on this machine, and cannot be fetched; with what to do instead.

    Examples:
        >>> path = fetch("owner/name", "w.bin", "", name="mine")  # asks the hub  # doctest: +SKIP
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    cached = find_cached(repository, filename, revision)
    if cached is not None and len(revision) == 40:
        return cached
    reason = ""
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set, and forbids it"
    elif not can_reach(constants.ENDPOINT):
        reason = f"{constants.ENDPOINT} cannot be reached from here"
    if reason:
        if cached is not None:
            return cached
        said = f"the weights of {name} could not be fetched: {reason}. "
        advice = _advise(repository, filename, revision, instead)
        raise WeightsError(said + advice) from ConnectionError(reason)
    try:
        with _silenced():
            return Path(hf_hub_download(repository, filename, revision=revision or None))
    except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
        said = f"the weights of {name} could not be fetched: {first_line(error)}. "
        raise WeightsError(said + _advise(repository, filename, revision, instead)) from error


def find_cached(repository: str, filename: str, revision: str) -> Path | None:
    """A file of the hub in its cache on this machine; None where it is not, or nobody's.

    Args:
        revision: Branch, tag or commit; "" is the newest.

    Examples:
        >>> find_cached("nobody/nothing", "weights.bin", "") is None
        True
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repository, filename, revision=revision or None)
    except HFValidationError:
        return None  # the hub's library says the same better, when it is asked to fetch
    return Path(found) if isinstance(found, str) else None


def _advise(repository: str, filename: str, revision: str, instead: str) -> str:
    from huggingface_hub import constants

    at = f"revision {revision}" if revision else "newest revision"
    page = f"{constants.ENDPOINT}/{repository}/tree/{revision or 'main'}"
    return (
        f"Fetch {filename} of the hub repository {repository} ({at}) where there is a network, "
        f"from {page}, and {instead}"
    )


def can_reach(address: str) -> bool:
    """Whether the network leads to an address at all, tried once and quickly.

    An answer that is a refusal is an answer, and so is a certificate nobody knows here: the hub's
    library has certificates, proxies and words of its own for those.
    """
    try:
        asked = urllib.request.Request(address, method="HEAD")
        urllib.request.urlopen(asked, timeout=PATIENCE_S).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return not isinstance(error.reason, OSError) or isinstance(error.reason, ssl.SSLError)
    except (TimeoutError, socket.gaierror):
        return False
    except OSError:
        return True  # a connection that broke off; the hub's library tries again
    except (ValueError, http.client.HTTPException):
        return True  # no address at all, or an answer that is no HTTP: its words are the hub's own
    return True


@contextmanager
def _silenced() -> Iterator[None]:
    """The hub's library without its word on every attempt; what it gives up with is raised."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def first_line(error: BaseException) -> str:
    """The first line of another library's message, which may be a page."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ")[:200] if lines else type(error).__name__
