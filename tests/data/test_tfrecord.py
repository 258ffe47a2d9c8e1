"""TFRecord framing: the published layout, and no damage that passes unnoticed."""

import contextlib
import struct
import tracemalloc

import numpy as np
import pytest
from byte_edits import EDITS, edited
from hypothesis import HealthCheck, given, settings
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.summary.writer.record_writer import RecordWriter as TensorboardWriter

from zoo.data.tfrecord import RecordWriter, index_records, masked_crc32c, read_record
from zoo.errors import DataError

RECORDS = [b"hello", b"", bytes(range(256)) * 3, b"x"]


def write(path, records=RECORDS):
    with contextlib.closing(RecordWriter(path)) as writer:
        for data in records:
            writer.write(data)
    assert writer.num_records == len(records)
    return path


def read_all(path, **settings):
    index = index_records(path, **settings)
    return [
        read_record(path, record=i, offset=int(offset), length=int(length))
        for i, (offset, length) in enumerate(zip(index.offsets, index.lengths, strict=True))
    ]


def framed(length_field, data):
    header = struct.pack("<Q", length_field)
    return header + struct.pack("<I", masked_crc32c(header)) + data + struct.pack("<I", masked_crc32c(data))


def crc32c_bit_by_bit(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_checksum_is_the_castagnoli_one_rotated_and_offset():
    assert crc32c_bit_by_bit(b"123456789") == 0xE3069283, "the check value of CRC-32C"
    for data in (b"", b"123456789", bytes(range(256))):
        crc = crc32c_bit_by_bit(data)
        rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
        assert masked_crc32c(data) == (rotated + 0xA282EAD8) % 2**32


def test_files_are_compatible_with_tensorboard_both_ways(tmp_path):
    ours, theirs = write(tmp_path / "ours.tfrecord"), tmp_path / "theirs.tfrecord"
    reader = PyRecordReader_New(str(ours))
    for data in RECORDS:
        reader.GetNext()
        assert reader.record() == data
    with theirs.open("wb") as file:
        writer = TensorboardWriter(file)
        for data in RECORDS:
            writer.write(data)
        writer.flush()
    assert theirs.read_bytes() == ours.read_bytes()


def test_records_come_back_in_order(tmp_path):
    path = write(tmp_path / "a.tfrecord")
    assert path.read_bytes() == b"".join(framed(len(data), data) for data in RECORDS)
    assert read_all(path) == RECORDS
    index = index_records(path)
    assert index.bad is None
    assert index.offsets.tolist() == np.cumsum([0] + [len(data) + 16 for data in RECORDS[:-1]]).tolist()
    assert index.checksums.tolist() == [masked_crc32c(data) for data in RECORDS]


def test_an_empty_file_has_no_records(tmp_path):
    (tmp_path / "a.tfrecord").touch()
    index = index_records(tmp_path / "a.tfrecord")
    assert len(index.offsets) == 0 and index.bad is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.tfrecord: cannot be read"):
        index_records(tmp_path / "gone.tfrecord")
    with pytest.raises(DataError, match=r"gone\.tfrecord: record 3 at byte 5: cannot be read"):
        read_record(tmp_path / "gone.tfrecord", record=3, offset=5, length=1)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 6])
def test_an_absurd_length_with_a_good_checksum_allocates_nothing(tmp_path, length):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(framed(1, b"x") + framed(length, b"hello"))
    tracemalloc.start()
    try:
        with pytest.raises(
            DataError, match=rf"a\.tfrecord: record 1 at byte 17: .*{length} bytes .*announced, 5 follow"
        ):
            index_records(path)
        with pytest.raises(DataError, match="announced"):
            read_record(path, record=1, offset=17, length=length)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_damaged_length_names_both_checksums_and_skip_keeps_the_records_before(tmp_path):
    path = write(tmp_path / "a.tfrecord")
    data = bytearray(path.read_bytes())
    second = 16 + len(RECORDS[0]) + 16
    data[second] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        DataError, match=r"record 2 at byte 37: length checksum is 0x[0-9a-f]{8}, expected 0x[0-9a-f]{8}"
    ):
        index_records(path)
    index = index_records(path, on_bad_record="skip")
    assert len(index.offsets) == 2
    assert (index.bad.file, index.bad.record) == (str(path), 2)
    assert "rest of the file" in index.bad.reason
    assert read_all(path, on_bad_record="skip") == RECORDS[:2]


def test_damaged_data_names_file_record_offset_and_both_checksums(tmp_path):
    path = write(tmp_path / "a.tfrecord")
    data = bytearray(path.read_bytes())
    data[40 + 16] ^= 1
    path.write_bytes(data)
    found, expected = masked_crc32c(RECORDS[2]), masked_crc32c(bytes(data[49 : 49 + len(RECORDS[2])]))
    with pytest.raises(
        DataError,
        match=rf"a\.tfrecord: record 2 at byte 37: data checksum is {found:#010x}, expected {expected:#010x}",
    ):
        read_all(path)


@pytest.mark.faults
def test_every_truncation_is_noticed(tmp_path):
    sound = write(tmp_path / "sound.tfrecord", [b"hello", b"world"]).read_bytes()
    for size in set(range(1, len(sound))) - {len(sound) // 2}:
        path = tmp_path / "cut.tfrecord"
        path.write_bytes(sound[:size])
        with pytest.raises(DataError, match=r"cut\.tfrecord: record [01] at byte (0|21): "):
            index_records(path)
        assert len(index_records(path, on_bad_record="skip").offsets) == (size > len(sound) // 2)


def test_a_compressed_file_is_distinguished_from_a_damaged_one(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"\x1f\x8b" + bytes(30))
    with pytest.raises(DataError, match="gzip"):
        index_records(path)


def test_a_file_that_changed_since_it_was_indexed_is_noticed(tmp_path):
    path = write(tmp_path / "a.tfrecord", [b"hello"])
    path.write_bytes(framed(4, b"hell"))
    with pytest.raises(DataError, match="has 4 bytes of data, but had 5"):
        read_record(path, record=0, offset=0, length=5)


@pytest.mark.faults
def test_every_flipped_bit_is_noticed(tmp_path):
    sound = write(tmp_path / "sound.tfrecord", [b"hello", b"gqn"]).read_bytes()
    path = tmp_path / "flipped.tfrecord"
    for bit in range(len(sound) * 8):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"flipped\.tfrecord: record [01] at byte (0|21): "):
            read_all(path)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS)
def test_no_damage_returns_a_record_that_was_never_written(tmp_path, edits):
    sound = b"".join(framed(len(data), data) for data in RECORDS)
    path = tmp_path / "fuzzed.tfrecord"
    path.write_bytes(edited(sound, edits))
    for mode in ("raise", "skip"):
        try:
            found = read_all(path, on_bad_record=mode)
        except DataError as error:
            assert "fuzzed.tfrecord: record" in str(error)
        else:
            assert all(data in RECORDS for data in found)
