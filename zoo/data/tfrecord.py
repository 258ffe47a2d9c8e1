"""TFRecord files, read and written without TensorFlow.

A file is a sequence of records and nothing else; numbers are little-endian::

    uint64 length | uint32 masked CRC-32C of the length | length bytes of data | uint32 masked CRC-32C of the data

Both checksums are always verified. Lengths are compared with the size of the file before anything is read, so that a
damaged length never becomes an allocation.
Source: ``tensorflow/core/lib/io/record_writer.h``. The data of a record is parsed by :mod:`zoo.data.tf_example`.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Literal, NamedTuple

import google_crc32c
import numpy as np

from zoo.errors import DataError

OnBadRecord = Literal["raise", "skip"]

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_GZIP_MAGIC = b"\x1f\x8b"


class BadRecord(NamedTuple):
    """A record that was left out; ``reason`` is the message of the error."""

    file: str
    record: int
    reason: str


class RecordIndex(NamedTuple):
    """The records of a file; every array is [n]."""

    offsets: np.ndarray  # int64: of the first byte of the record, its length
    lengths: np.ndarray  # int64: bytes of data
    checksums: np.ndarray  # uint32: the masked CRC-32C of the data as stored, not yet compared with the data
    bad: BadRecord | None  # where the framing breaks, if it does; nothing after it can be found


def masked_crc32c(data: bytes) -> int:
    """Returns the CRC-32C, rotated and offset as TFRecord stores it (so that a CRC of CRCs stays a good CRC)."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _place(path: str | os.PathLike[str], record: int, offset: int) -> str:
    return f"{os.fspath(path)}: record {record} at byte {offset}"


def _check_header(header: bytes, *, origin: str, remaining: int) -> int:
    """Returns the length of the data that follows a header, given the bytes of the file from the header on."""
    if len(header) < _HEADER.size:
        raise DataError(f"{origin}: the file ends after {len(header)} of the {_HEADER.size} bytes of its header")
    length, stored = _HEADER.unpack(header)
    expected = masked_crc32c(header[:8])
    if stored != expected:
        hint = "; the file looks compressed by gzip, decompress it first" if header[:2] == _GZIP_MAGIC else ""
        raise DataError(f"{origin}: length checksum is {stored:#010x}, expected {expected:#010x}{hint}")
    available = remaining - _HEADER.size - _FOOTER.size
    if length > available:
        raise DataError(
            f"{origin}: the file is truncated: {length} bytes of data are announced, {max(available, 0)} follow"
        )
    return int(length)


def index_records(path: str | os.PathLike[str], *, on_bad_record: OnBadRecord = "raise") -> RecordIndex:
    """Finds the records of a file from their headers, without reading the data.

    Under ``skip`` the records before a broken header are kept and ``bad`` reports it; those after it cannot be found.

    Raises:
        DataError: if the file cannot be read or, under ``raise``, if a length is damaged or the file is truncated.
    """
    rows: list[tuple[int, int, int]] = []
    bad: BadRecord | None = None
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            size, offset = os.fstat(descriptor).st_size, 0
            block = os.pread(descriptor, _HEADER.size, 0)
            while offset < size:
                origin = _place(path, len(rows), offset)
                try:
                    length = _check_header(block, origin=origin, remaining=size - offset)
                    # One read gives the checksum of this record's data and the header of the next record.
                    end = offset + _HEADER.size + length
                    block = os.pread(descriptor, _FOOTER.size + _HEADER.size, end)
                    if len(block) < _FOOTER.size:
                        raise DataError(f"{origin}: the file became shorter while it was read")
                except DataError as error:
                    if on_bad_record == "raise":
                        raise
                    bad = BadRecord(os.fspath(path), len(rows), f"{error}; the rest of the file is left out")
                    break
                rows.append((offset, length, _FOOTER.unpack_from(block)[0]))
                offset, block = end + _FOOTER.size, block[_FOOTER.size :]
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error
    offsets, lengths, checksums = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return RecordIndex(offsets, lengths, checksums.astype(np.uint32), bad)


def read_record(path: str | os.PathLike[str], *, record: int = 0, offset: int = 0, length: int | None = None) -> bytes:
    """Reads the data of one record, by default the first one of the file.

    ``record`` is its number for the message of an error, ``offset`` its first byte, and ``length`` the bytes of data
    according to the index, of which None accepts any number.

    Raises:
        DataError: if the file cannot be read, has changed since it was indexed, or a checksum is wrong.
    """
    origin = _place(path, record, offset)
    try:
        # Opened for every record: a set has thousands of files, more than a process may hold open.
        with Path(path).open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            header = os.pread(file.fileno(), _HEADER.size, offset)
            found = _check_header(header, origin=origin, remaining=size - offset)
            if length not in (None, found):
                raise DataError(f"{origin}: has {found} bytes of data, but had {length} when the file was indexed")
            length = found
            block = os.pread(file.fileno(), length + _FOOTER.size, offset + _HEADER.size)
    except OSError as error:
        raise DataError(f"{origin}: cannot be read: {error.strerror}") from error
    if len(block) < length + _FOOTER.size:
        raise DataError(
            f"{origin}: the file is truncated: {len(block)} of {length + _FOOTER.size} bytes follow the header"
        )
    data, (stored,) = block[:length], _FOOTER.unpack_from(block, length)
    expected = masked_crc32c(data)
    if stored != expected:
        raise DataError(f"{origin}: data checksum is {stored:#010x}, expected {expected:#010x}")
    return data


class RecordWriter:
    """Appends records to a new file, in place: the path lies inside :func:`zoo.files.writing_directory`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.num_records = 0
        self._file = Path(path).open("xb")  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """Appends one record."""
        length = len(data).to_bytes(8, "little")
        for part in (length, _FOOTER.pack(masked_crc32c(length)), data, _FOOTER.pack(masked_crc32c(data))):
            self._file.write(part)
        self.num_records += 1

    def close(self) -> None:
        """Writes buffered data; a full disk is an ``OSError`` here, or in :meth:`write`."""
        self._file.close()
