"""read_frame: every format and dialect from real files, and one line for each that is refused."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from skae.cli import InputError, main
from skae.cli.reading import read_frame
from skae.cli.sources import read_bytes


@pytest.fixture
def read(tmp_path):
    """Write a file and read it."""

    def read(content, name="t.csv", **params):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_frame(path, **params)

    return read


def columns(frame):
    return {name: frame[name].tolist() for name in frame}


# -- delimited text ------------------------------------------------------------------------------

AB = {"a": [1, 3], "b": [2, 4]}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b\n1,2\n3,4\n", AB),
        ("a;b\n1;2\n3;4\n", AB),
        ("a\tb\n1\t2\n3\t4\n", AB),
        ("a|b\n1|2\n3|4", AB),
        ("a,b\r\n1,2\r\n3,4\r\n", AB),
        ("a,b\r1,2\r3,4\r", AB),
        ("a, b\n1, 2\n3, 4\n", AB),
        ("sep=;\na;b\n1;2\n3;4\n", AB),
        # lines without anything, and a separator at the end of each line
        ("\na,b\n1,2\n\n3,4\n  \n\n", AB),
        ("a,b,\n1,2,\n3,4,\n", AB),
        ("a,b\n1,2,\n3,4,\n", AB),
        # another separator within fields
        ("a|b\n1|x, y\n2|z\n", {"a": [1, 2], "b": ["x, y", "z"]}),
        ('"a;b",c\n"1;2",x\n', {"a;b": ["1;2"], "c": ["x"]}),
        ('a,b\n"x\ny ""z""",2\n', {"a": ['x\ny "z"'], "b": [2]}),
        # equal names and names that are missing, as pandas has them
        ("a,a,\n1,2,3\n", {"a": [1], "a.1": [2], "Unnamed: 2": [3]}),
        ("a\n1\n\n2\n\n", {"a": [1.0, None, 2.0]}),
        ("day,x\n2020-01-31,1\n", {"day": ["2020-01-31"], "x": [1]}),
    ],
)
def test_separators_quotes_and_blank_lines(text, found, read):
    frame = read(text)
    assert columns(frame.astype(object).where(frame.notna(), None)) == found


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("1,2\n3,4\n", False),
        ("1,5;2\n3,5;4\n", False),
        ("2020-01-01,5\n2020-01-02,6\n", False),
        ("NA,5\n3,6\n", False),
        ("5.1,setosa\n4.9,setosa\n", False),
        ("yes,no\nno,no\nyes,yes\n", False),
        ("name,town\nAnn,Rome\n", True),
        ("x,5th\nx,1\nx,2\n", True),
        # as pandas writes a frame of an array
        (",0,1\n0,.5,.25\n1,.5,.25\n", True),
    ],
)
def test_a_first_row_of_values_is_no_header(text, header, read):
    n_rows = text.count("\n")
    assert len(read(text)) == n_rows - header
    assert ("column 1" in read(text)) is not header
    assert len(read(text, header=True)) == n_rows - 1
    assert next(iter(read(text, header=False))) == "column 0"
    assert len(read(text, header=False)) == n_rows


def test_a_first_row_that_may_be_either_is_asked_for(read):
    text = "country,2019,2020\nFrance,1,2\n"
    with pytest.raises(InputError, match=r"names or values \(country, 2019, 2020\); --header or"):
        read(text)
    assert list(read(text, header=True)) == ["country", "2019", "2020"]
    assert len(read(text, header=False)) == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a;b\n1,5;x\n2;y\n", [1.5, 2.0]),
        ("a\tb\n0,125\tx\n-1,5e3\ty\n", [0.125, -1500.0]),
        # thousands, or what may be thousands, remain as they are
        ("a\tb\n1,234\tx\n2,345\ty\n", ["1,234", "2,345"]),
        ('a,b\n"1,234",x\n"1,234,567",y\n', ["1,234", "1,234,567"]),
        ("a;b\n1.234;1,5\n2.345;2,5\n", ["1.234", "2.345"]),
        ('a,b\n"1,5",x\n', ["1,5"]),
        ("a;b\n1,5;x\nnone;y\n", ["1,5", "none"]),
        # one comma in each line, and two semicolons
        ("a;b;c,d\n0,5;x;y\n1,5;x;\n0,5;x;y\n", [0.5, 1.5, 0.5]),
    ],
)
def test_decimal_commas(text, found, read):
    assert read(text)["a"].tolist() == found


def test_given_decimal_marks(read):
    assert read("a\tb\n1,234\tx\n", decimal=",")["a"].tolist() == [1.234]
    assert read("a;b\n1,5;2.5\n", decimal=".")["b"].tolist() == [2.5]
    with pytest.raises(InputError, match="'b' has decimal commas and column 'a' decimal points"):
        read("a;b\n1.25;1,5\n")
    with pytest.raises(InputError, match=r"--decimal must be '\.' or ',', got '!'"):
        read("a;b\n1.25;1,5\n", decimal="!")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "é€"),
        ("utf-8-sig", "é"),
        ("utf-16", "é"),
        ("utf-32", "é"),
        ("cp1252", "é€ß"),
        ("latin-1", "é\x81"),
    ],
)
def test_encodings_are_found(encoding, text, read):
    frame = read(f"ü,b\n{text},1\n".encode(encoding))
    assert columns(frame) == {"ü": [text], "b": [1]}


def test_given_encodings(read):
    assert read("ä,b\nя,1\n".encode("utf-16-le"), encoding="utf-16-le")["ä"].tolist() == ["я"]
    assert read("a,b\nя,1\n".encode("cp1251"), encoding="cp1251")["a"].tolist() == ["я"]
    assert list(read("a,b\n1,2\n".encode("utf-8-sig"), encoding="UTF8")) == ["a", "b"]


def test_given_separators(read):
    assert columns(read("a b\n1 2\n3 4\n", sep=" ")) == AB
    assert columns(read("a\tb\n1\t2\n3\t4\n", sep="\\t")) == AB
    assert columns(read("a\n1,5\n", sep=";")) == {"a": [1.5]}
    with pytest.raises(InputError, match="--sep must be one character, or 'tab'; got ';;'"):
        read("a b\n", sep=";;")


def test_a_field_may_be_longer_than_the_csv_module_allows(read):
    assert len(read("a,b\n1," + 200_000 * "x")["b"][0]) == 200_000


def test_an_open_quotation_mark_after_a_long_field(read):
    with pytest.raises(InputError, match="line 3: a quotation mark is opened and never closed"):
        read("a,b\n1," + 200_000 * "x" + '\n2,"y\n')


BAD_TEXT = {
    "the file is empty": ["", "\n \n", b"\xef\xbb\xbf"],
    "the file has a header and no rows": ["a,b\n", "a\n\n", "a;b"],
    r"line 3: 3 fields, and 2 in the header \(separator ','": ["a,b\n1,2\n1,2,3\n"],
    r"line 3: 2 fields, and 3 in the header \(separator 'tab'": ["a\tb\tc\n1\t2\t3\n1\t2\n4\t5\t6"],
    "line 4: 1 field, and 2 in the header": ['a,b\n"x\ny",2\n3\n4,5\n'],
    "line 3: 2 fields, and 1 in the header": ["a\n1\n1,2\n3\n"],
    "line 3: 2 fields, and 3 in the first row": ["1,2,3\n4,5,6\n7,8\n"],
    "line 2: 3 fields, and 2 in the header, as in every row": ["a,b\n1,2,3\n4,5,6\n"],
    "line 3: a quotation mark is opened": ['a,b\n1,2\n"x,3\n4,5\n', 'a,b\n1,2\n3,"x\n4,5\n'],
    "a binary file": [b"\x00\x01", bytes(range(1, 256)), "a,b\n1,2\n".encode("utf-16-le")],
    "not a text file but a Parquet file": [b"PAR1\x15"],
    "not a text file but a gzip file": [gzip.compress(b"a,b\n1,2\n", mtime=0)],
    "line 3: byte 0xff is not valid in utf-8": ["a,b\né,ü\n".encode() + b"\xff,\xc3\xa4\n"],
    "holds null characters": ["a,b\n1,\0\n".encode("utf-16")],
}


@pytest.mark.parametrize(
    ("message", "text"), [(message, text) for message, texts in BAD_TEXT.items() for text in texts]
)
def test_bad_text(message, text, read):
    with pytest.raises(InputError, match=rf"t\.csv.*{message}") as raised:
        read(text)
    assert "\n" not in str(raised.value)


def test_a_bad_encoding(read):
    with pytest.raises(InputError, match="'utf-9' is not an encoding of text"):
        read("a,b\n", encoding="utf-9")
    with pytest.raises(InputError, match="'base64' is not an encoding of text"):
        read("a,b\n", encoding="base64")
    with pytest.raises(InputError, match="line 2: byte 0xe9 is not valid in ascii"):
        read("a,b\né,1\n".encode("cp1252"), encoding="ascii")


# -- a round trip --------------------------------------------------------------------------------

# no quotation mark, escape or control, which pandas does not write in the same way in all cases
WORDS = st.text(
    st.characters(codec="cp1252", exclude_categories=["C", "Z"]) | st.sampled_from(' ,;|\t\n"'),
    min_size=1,
    max_size=8,
).map(lambda word: f"w{word}w")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32).map(float)


@st.composite
def frames(draw):
    n_rows = draw(st.integers(2, 6))
    names = draw(st.lists(WORDS, min_size=2, max_size=4, unique=True))
    kinds = [NUMBERS | st.just(np.nan), st.integers(-1000, 1000), WORDS | st.just(np.nan)]
    frame = {"number": draw(st.lists(NUMBERS, min_size=n_rows, max_size=n_rows))}
    for name in names:
        values = draw(st.sampled_from(kinds))
        frame[name] = draw(st.lists(values, min_size=n_rows, max_size=n_rows))
    # A column that is missing throughout has no dtype that a file could hold.
    return pd.DataFrame(frame).dropna(axis=1, how="all")


@settings(max_examples=200, deadline=None)
@given(data=st.data(), frame=frames(), sep=st.sampled_from(",;\t|"))
def test_what_pandas_writes_is_read_back(data, frame, sep, tmp_path_factory):
    decimal = "." if sep == "," else data.draw(st.sampled_from(".,"))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    quoting = data.draw(st.sampled_from([0, 1, 2]))
    ending = data.draw(st.sampled_from(["\n", "\r\n"]))
    path = tmp_path_factory.mktemp("round") / data.draw(st.sampled_from(["t.csv", "t.csv.gz"]))
    frame.to_csv(
        path,
        index=False,
        sep=sep,
        decimal=decimal,
        encoding=encoding,
        quoting=quoting,
        lineterminator=ending,
    )
    # A single column of 0,0 may as well be two of 0, which is refused.
    ambiguous = decimal == "," and frame.shape[1] == 1
    given = {"sep": sep, "decimal": decimal} if ambiguous or data.draw(st.booleans()) else {}
    # Some texts of cp1252, such as Ã©, are valid UTF-8 as well.
    coded = {"encoding": encoding} if encoding == "cp1252" else {}
    found = read_frame(path, header=True, **given, **coded)
    assert list(found) == list(frame)
    assert (found.isna() == frame.isna()).all(axis=None)
    if given or decimal == ".":
        # Numbers such as 1,234 may be thousands, unless the decimal mark is given.
        assert_frame_equal(found, frame, check_dtype=False)


# -- files that are not there, and standard input ------------------------------------------------


def test_no_file_a_directory_and_no_path(tmp_path):
    with pytest.raises(InputError, match=r"^no file '.*none\.csv'$"):
        read_frame(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"cannot be read \(is a directory\)"):
        read_frame(tmp_path)
    with pytest.raises(InputError, match="is not a path"):
        read_frame("a\0b")


def test_a_file_without_permission(tmp_path):
    path = tmp_path / "t.csv"
    path.touch(0)
    if os.geteuid() == 0:
        # root may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match=r"cannot be read \(permission denied\)"):
            read_bytes(path)
    finally:
        os.seteuid(os.getuid())


@pytest.mark.extended
def test_standard_input(tmp_path):
    command = [sys.executable, "-m", "skae", "detect", "-", "--out", str(tmp_path / "a.csv")]
    text = "a;b\n" + "".join(f"{j % 7},5;{j % 5}\n" for j in range(30))
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "a.csv")) == 30
    done = subprocess.run(command, input=b"a,b\n1\n", capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"skae: error: standard input, line 2: 1 field")
    assert done.stderr.count(b"\n") == 1


def test_a_bad_table_is_refused_before_torch_is_imported(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n")
    code = (
        "import sys; from skae.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "compare", str(tmp_path / "t.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert main(["compare", str(tmp_path / "t.csv")]) == 2
    assert capsys.readouterr().err == done.stderr
    assert json.dumps(done.stderr).count("\\n") == 1
