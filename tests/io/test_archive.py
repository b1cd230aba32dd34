import io
import os
import stat
import zipfile

import pytest

from rushlight.io.archive import Reader, Writer, replacing

RECORDS = {"data.pkl": b"pickle", "data/0": bytes(range(256)) * 5, "data/1": b"", "data/12": b"x"}


def written(records=RECORDS, stream=None):
    stream = io.BytesIO() if stream is None else stream
    writer = Writer(stream, "name")
    for record, data in records.items():
        writer.write(record, data)
    writer.write_marks()
    writer.close()
    return stream


def test_records_come_back():
    reader = Reader(written())
    assert {record: reader.read(record) for record in RECORDS} == RECORDS
    assert reader.read("version") == b"3\n" and "byteorder" in reader
    assert "data/7" not in reader and reader.size("data/0") == 1280


def test_records_are_aligned_and_not_compressed():
    stream = written()
    reader = Reader(stream)
    for record, data in RECORDS.items():
        start = reader.position(record)
        assert start % 64 == 0
        assert stream.getvalue()[start:start + len(data)] == data


def test_any_unzip_reads_it():
    with zipfile.ZipFile(written()) as file:
        assert file.testzip() is None
        assert file.namelist()[0] == "name/data.pkl"


def test_equal_contents_are_equal_files():
    assert written().getvalue() == written().getvalue()
    assert written({"data.pkl": b"other"}).getvalue() != written({"data.pkl": b"mother"}).getvalue()


def test_a_flipped_bit_is_found():
    data = bytearray(written().getvalue())
    data[Reader(written()).position("data/0") + 100] ^= 1
    with pytest.raises(RuntimeError, match="record 'data/0' is damaged"):
        Reader(io.BytesIO(data)).read("data/0")


@pytest.mark.parametrize("cut", [1, 100, 500])
def test_a_short_file_is_found(cut):
    with pytest.raises(RuntimeError, match="failed reading zip archive"):
        Reader(io.BytesIO(written().getvalue()[:-cut]))


def test_a_missing_record_is_named():
    with pytest.raises(RuntimeError, match="no record 'data/7'"):
        Reader(written()).read("data/7")


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "file.pt"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), replacing(str(path)) as stream:
        stream.write(b"half of the ne")
        raise KeyError
    assert path.read_bytes() == b"old"
    with replacing(str(path)) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file.pt"]


def test_permissions_and_links_are_those_of_a_plain_write(tmp_path):
    plain, path, link = tmp_path / "plain", tmp_path / "file", tmp_path / "link"
    plain.write_bytes(b"")
    with replacing(str(path)):
        pass
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    link.symlink_to(path)
    with replacing(str(link)) as stream:
        stream.write(b"through")
    assert link.is_symlink() and path.read_bytes() == b"through"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(RuntimeError, match=r"Parent directory .*/nowhere does not exist"), \
            replacing(str(tmp_path / "nowhere" / "file.pt")):
        pass
