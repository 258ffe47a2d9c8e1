"""TFRecord files and the ``tf.train.Example`` messages in them, read and written without TensorFlow.

A file is a sequence of records and nothing else; numbers are little-endian::

    uint64 length | uint32 masked CRC-32C of the length | length bytes of data | uint32 masked CRC-32C of the data

Both checksums are always verified. Lengths are compared with the size of the file before anything is read, so that a
damaged length never becomes an allocation.
Sources: ``tensorflow/core/lib/io/record_writer.h``, ``tensorflow/core/example/{example,feature}.proto``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format

from zoo.errors import DataError
from zoo.files import reading

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
    with reading(os.fspath(path), error=DataError), Path(path).open("rb", buffering=0) as file:
        size, offset = os.fstat(file.fileno()).st_size, 0
        block = os.pread(file.fileno(), _HEADER.size, 0)
        while offset < size:
            origin = _place(path, len(rows), offset)
            try:
                length = _check_header(block, origin=origin, remaining=size - offset)
                # One read gives the checksum of this record's data and the header of the next record.
                end = offset + _HEADER.size + length
                block = os.pread(file.fileno(), _FOOTER.size + _HEADER.size, end)
                if len(block) < _FOOTER.size:
                    raise DataError(f"{origin}: the file became shorter while it was read")
            except DataError as error:
                if on_bad_record == "raise":
                    raise
                bad = BadRecord(os.fspath(path), len(rows), f"{error}; the rest of the file is left out")
                break
            rows.append((offset, length, _FOOTER.unpack_from(block)[0]))
            offset, block = end + _FOOTER.size, block[_FOOTER.size :]
    offsets, lengths, checksums = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return RecordIndex(offsets, lengths, checksums.astype(np.uint32), bad)


def read_record(path: str | os.PathLike[str], *, record: int = 0, offset: int = 0, length: int | None = None) -> bytes:
    """Reads the data of one record, by default the first one of the file.

    ``record`` is its number, for messages, and ``length`` the bytes of data by the index; None accepts any number.

    Raises:
        DataError: if the file cannot be read, has changed since it was indexed, or a checksum is wrong.
    """
    origin = _place(path, record, offset)
    # Opened for every record: a set has thousands of files, more than a process may hold open.
    with reading(origin, error=DataError), Path(path).open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        header = os.pread(file.fileno(), _HEADER.size, offset)
        found = _check_header(header, origin=origin, remaining=size - offset)
        if length not in (None, found):
            raise DataError(f"{origin}: has {found} bytes of data, but had {length} when the file was indexed")
        length = found
        block = os.pread(file.fileno(), length + _FOOTER.size, offset + _HEADER.size)
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
        self.path, self.num_records = Path(path), 0
        self._file = self.path.open("xb")

    def write(self, data: bytes) -> None:
        """Appends one record."""
        length = len(data).to_bytes(8, "little")
        for part in (length, _FOOTER.pack(masked_crc32c(length)), data, _FOOTER.pack(masked_crc32c(data))):
            self._file.write(part)
        self.num_records += 1

    def close(self) -> None:
        """Writes buffered data; a full disk is an ``OSError`` here, or in :meth:`write`."""
        self._file.close()


_DESCRIPTOR = """
name: "zoo/example.proto" package: "zoo" syntax: "proto3"
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type {
  name: "Feature"
  oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: ".zoo.BytesList" oneof_index: 0 }
  field { name: "float_list" number: 2 type: TYPE_MESSAGE type_name: ".zoo.FloatList" oneof_index: 0 }
  field { name: "int64_list" number: 3 type: TYPE_MESSAGE type_name: ".zoo.Int64List" oneof_index: 0 }
}
message_type {
  name: "Features"
  nested_type {
    name: "FeatureEntry"
    options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".zoo.Feature" }
  }
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".zoo.Features.FeatureEntry" }
}
message_type {
  name: "Example"
  field { name: "features" number: 1 type: TYPE_MESSAGE type_name: ".zoo.Features" }
}
"""


# In a pool of its own, so that TensorFlow's message may exist too.
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(text_format.Parse(_DESCRIPTOR, descriptor_pb2.FileDescriptorProto()))
_Example: type[Any] = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("zoo.Example"))


def parse_example(data: bytes, *, kinds: Mapping[str, str], origin: str) -> dict[str, Sequence[Any]]:
    """Returns features of a serialised ``tf.train.Example`` by name.

    ``kinds`` says which and of what kind, such as ``float_list``; an item of a ``bytes_list`` is copied when it is indexed.

    Raises:
        DataError: naming ``origin``, if the data is no such message, or has no such feature.
    """
    try:
        features = _Example.FromString(data).features.feature
    except message.DecodeError as error:
        raise DataError(f"{origin}: is not a tf.train.Example: {error}") from error
    for name, kind in kinds.items():
        if name not in features:
            raise DataError(f"{origin}: has no feature {name!r}; there are {sorted(features)}")
        found = features[name].WhichOneof("kind")
        if found != kind:
            raise DataError(f"{origin}: feature {name!r} holds {found or 'nothing'}, expected {kind}")
    return {name: getattr(features[name], kind).value for name, kind in kinds.items()}


def serialise_example(features: Mapping[str, Sequence[bytes] | np.ndarray]) -> bytes:
    """Returns a ``tf.train.Example``: arrays become float lists, sequences of byte strings become bytes lists."""
    example = _Example()
    for name, value in features.items():
        feature = example.features.feature[name]
        if isinstance(value, np.ndarray):
            feature.float_list.value.extend(value.astype(np.float32).ravel().tolist())
        else:
            feature.bytes_list.value.extend(value)
    return example.SerializeToString(deterministic=True)
