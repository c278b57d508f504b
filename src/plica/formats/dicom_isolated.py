"""Decode with GDCM in a process of its own, which it may take down without taking ours.

GDCM ends the whole process on some damaged JPEG streams. It is the only free decoder of lossless
JPEG, so it is kept, at arm's length: one child, started when first needed, answers frame by frame
over its standard input and output, and is started again after it died.
"""

from __future__ import annotations

import atexit
import json
import os
import struct
import subprocess
import sys
import threading
import warnings
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from plica.errors import UnreadableFile

SECONDS_ALLOWED = 60.0
LENGTHS = struct.Struct("<II")  # bytes of the JSON part, bytes of the rest


class Decoder:
    """The child, and the lock that keeps questions apart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def decode(self, name: str, attributes: dict[str, Any], stream: bytes) -> NDArray[Any]:
        """The pixels of one compressed frame.

        Args:
            name: The file, for messages.
            attributes: The Image Pixel attributes by keyword, and "TransferSyntaxUID".
            stream: The compressed frame.

        Raises:
            UnreadableFile: GDCM refused the stream, died of it, or took too long.
        """
        with self._lock:
            child = self._living_child()
            timer = threading.Timer(SECONDS_ALLOWED, child.kill)
            timer.start()
            try:
                record, data = _ask(child, attributes, stream)
            except (OSError, EOFError) as error:
                self._end()
                raise UnreadableFile(
                    f"{name} is damaged: its compressed frame ended the decoder; fetch it again"
                ) from error
            finally:
                timer.cancel()
        if "error" in record:
            raise UnreadableFile(f"{name} is damaged: decoding a frame failed ({record['error']})")
        return np.frombuffer(data, np.dtype(record["dtype"])).reshape(record["shape"])

    def _living_child(self) -> subprocess.Popen[bytes]:
        """The child; another one after it died, or in a fork of the process that started it."""
        if self._child is None or self._owner != os.getpid() or self._child.poll() is not None:
            self._end()
            paths = os.pathsep.join(path for path in sys.path if path)
            self._child = subprocess.Popen(
                [sys.executable, "-m", "plica.formats.dicom_isolated"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
            )
            self._owner = os.getpid()
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if self._owner == os.getpid():
            child.kill()
            child.wait()
        else:
            child.returncode = 0  # another process's child: only our copies of its pipes go
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # a pipe whose reader died cannot be flushed
                    continue

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._end()


DECODER = Decoder()
atexit.register(DECODER.close)


def _ask(
    child: subprocess.Popen[bytes], attributes: dict[str, Any], stream: bytes
) -> tuple[dict[str, Any], bytes]:
    if child.stdin is None or child.stdout is None:
        raise EOFError("the decoder has no pipes")
    _send(child.stdin, attributes, stream)
    return _receive(child.stdout)


def _send(pipe: BinaryIO | Any, record: dict[str, Any], data: bytes) -> None:
    text = json.dumps(record).encode()
    pipe.write(LENGTHS.pack(len(text), len(data)) + text + data)
    pipe.flush()


def _receive(pipe: BinaryIO | Any) -> tuple[dict[str, Any], bytes]:
    lengths = pipe.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        raise EOFError("the decoder closed its pipe")
    text_length, data_length = LENGTHS.unpack(lengths)
    text, data = pipe.read(text_length), pipe.read(data_length)
    if len(data) < data_length:
        raise EOFError("the decoder closed its pipe")
    return json.loads(text), data


def answer(attributes: dict[str, Any], stream: bytes) -> NDArray[Any]:
    """What the child does: decode one frame with GDCM through pydicom."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = attributes.pop("TransferSyntaxUID")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = encapsulate([stream])
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    return np.ascontiguousarray(decoder.as_array(dataset, decoding_plugin="gdcm")[0])


def serve() -> None:
    """Answer questions until there are no more."""
    from plica.formats.dicom_file import DAMAGE

    warnings.simplefilter("ignore")
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not mix with the answers
    while True:
        try:
            attributes, stream = _receive(questions)
        except EOFError:
            return
        try:
            pixels = answer(attributes, stream)
            record = {"dtype": pixels.dtype.str, "shape": pixels.shape}
            _send(answers, record, pixels.tobytes())
        except DAMAGE as error:
            _send(answers, {"error": " ".join(str(error).split())[:200]}, b"")


if __name__ == "__main__":
    serve()
