"""read_frame: Parquet, JSON, Excel, arrays and compressed files, and what is wrong with some."""

import gzip
import io
import re
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from skae.cli import InputError
from skae.cli.reading import read_frame

FRAME = pd.DataFrame({"number": [1.5, 2.25], "word": ["x", "ü"], "count": [1, 2]})


def save(frame, path):
    if path.name.endswith(".parquet"):
        frame.to_parquet(path)
    elif ".json" in path.name or ".ndjson" in path.name:
        frame.to_json(path, orient="records", lines=not path.name.endswith(".json"))
    elif path.suffix == ".xlsx":
        pytest.importorskip("openpyxl")
        frame.to_excel(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


NAMES = ["t.csv", "t.TXT", "t", "t.csv.gz", "t.csv.bz2", "t.csv.xz", "t.csv.zip", "t.parquet"]
NAMES += ["t.json", "t.jsonl", "t.ndjson", "t.jsonl.gz", "t.xlsx"]


@pytest.mark.parametrize("name", NAMES)
def test_each_format_and_compression(name, tmp_path):
    assert_frame_equal(read_frame(save(FRAME, tmp_path / name)), FRAME)
    assert_frame_equal(read_frame(str(tmp_path / name)), FRAME)


def test_an_array_has_numbered_columns(tmp_path):
    np.save(tmp_path / "X.npy", np.eye(2, dtype=int))
    expected = pd.DataFrame({"column 0": [1.0, 0.0], "column 1": [0.0, 1.0]})
    assert_frame_equal(read_frame(tmp_path / "X.npy"), expected)


def test_the_index_of_a_parquet_file_is_a_column_if_it_has_a_name(tmp_path):
    FRAME[1:].to_parquet(tmp_path / "t.parquet")
    assert_frame_equal(read_frame(tmp_path / "t.parquet"), FRAME[1:].reset_index(drop=True))
    FRAME.set_index("word").to_parquet(tmp_path / "t.parquet")
    assert list(read_frame(tmp_path / "t.parquet")) == ["word", "number", "count"]


def test_strings_in_json_remain_strings(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('[{"zip": "01234", "day": "2020-01-31"}, {"zip": null}]')
    frame = read_frame(path)
    assert frame["zip"][0] == "01234"
    assert frame["day"][0] == "2020-01-31"
    assert frame["zip"].isna()[1]
    assert frame["day"].isna()[1]


def test_sheets_and_headers_of_excel(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as writer:
        FRAME.to_excel(writer, sheet_name="first", index=False)
        pd.DataFrame(np.eye(2)).to_excel(writer, sheet_name="bare", index=False, header=False)
        pd.DataFrame().to_excel(writer, sheet_name="none", index=False)
    assert read_frame(path, sheet="bare").to_dict("list") == {
        "column 0": [1, 0],
        "column 1": [0, 1],
    }
    assert len(read_frame(path, header=False)) == 3
    for sheet, message in {"2": "no sheet '2'; sheets: first, bare", "none": "is empty"}.items():
        with pytest.raises(InputError, match=message):
            read_frame(path, sheet=sheet)


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "a,b\n1,2\n")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv.gz", b"a,b\n1,2\n", r"not a readable \.gz file"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], r"not a readable \.gz file"),
        ("t.csv.bz2", b"BZh9", r"not a readable \.bz2 file"),
        ("t.csv.xz", b"a,b\n1,2\n", r"not a readable \.xz file"),
        ("t.csv.zip", b"a,b\n1,2\n", r"not a readable \.zip file"),
        ("t.csv.zip", zipped("a.csv", "b.csv"), "must hold one file, and this one holds 2"),
        ("t.csv.gz", gzip.compress(b"", mtime=0), "the file is empty"),
        ("t.parquet", b"a,b\n1,2\n", "not a readable Parquet file"),
        ("t.parquet", b"", "the file is empty"),
        ("t.npy", b"a,b\n1,2\n", r"not a readable \.npy file"),
        ("t.json", b'{"a": [1]}', "a list of objects is needed, got an object"),
        ("t.json", b"[1]", "entry 0: an object is needed, got a number"),
        ("t.json", b"[", "not a readable JSON file"),
        ("t.json", b"[]", "0 rows and 0 columns"),
        ("t.json", b'[{"a": [1]}]', "column 'a' holds lists or objects"),
        ("t.jsonl", b'{"a": 1}\n{"a"\n', "line 2: not valid JSON"),
        ("t.jsonl", b'{"a": 1}\n\n[1]\n', "line 3: an object is needed, got a list"),
        ("t.xlsx", b"a,b\n1,2\n", "not a readable Excel file"),
        ("t.xls", b"\xd0\xcf\x11\xe0", r"an Excel file of the old kind \(\.xls\)"),
    ],
)
def test_bad_files(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{re.escape(name)}.*{message}") as raised:
        read_frame(tmp_path / name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(3), r"two dimensions is needed, got shape \(3,\)"),
        (np.array([["x"]]), "numbers are needed, got dtype <U1"),
        (np.array([[{}]]), "not a readable .npy file"),
        (np.ones((0, 2)), "0 rows and 2 columns"),
    ],
)
def test_bad_arrays(array, message, tmp_path):
    np.save(tmp_path / "X.npy", array)
    with pytest.raises(InputError, match=message):
        read_frame(tmp_path / "X.npy")


@pytest.mark.parametrize(
    ("missing", "name", "message"),
    [
        ("pandas", "t.csv", r"needs pandas; install it with pip install 'skae\[plot\]'"),
        ("pyarrow", "t.parquet", "needs pyarrow; install it with pip install pyarrow"),
        ("openpyxl", "t.xlsx", "needs openpyxl; install it with pip install openpyxl"),
    ],
)
def test_a_missing_package_is_named(missing, name, message, tmp_path, monkeypatch):
    path = save(FRAME, tmp_path / name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=rf"t\.\w+: {message}"):
        read_frame(path)
