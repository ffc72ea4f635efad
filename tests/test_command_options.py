"""The options of both commands, and files that are written whole or not at all."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from skae.cli import InputError, main
from skae.cli.choosing import choose_columns, choose_rows
from skae.cli.writing import check_output, written_whole

QUICK = ["--n-components", "1", "--cv", "2", "--max-iter", "1"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Go to a folder with a table in which rows have a number, and a name that is no feature."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)).round(3), columns=["length", "width", "height"])
    frame["name"] = [f"n{j}" for j in range(60)]
    frame["price"] = rng.normal(size=60).round(3)
    frame.to_csv("t.csv", index=False)
    return frame


def refused(arguments, capsys):
    """Return the only line that a command writes when it refuses its input."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.strip() and not is_progress(line))
    return line


def is_progress(line):
    return "epoch/s" in line or line.startswith("reading ")


# -- columns and rows ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "features"),
    [
        (["--drop", "name"], ["length", "width", "height", "price"]),
        (["--drop", "name", "width", "--target", "price"], ["length", "height"]),
        (["--columns", "height", "length"], ["length", "height"]),
        (["--columns", "height", "name", "--drop", "name"], ["height"]),
        (["--columns", "height", "price", "--target", "price"], ["height"]),
    ],
)
def test_the_features_are_those_chosen(chosen, features, table):
    assert main(["detect", "t.csv", *chosen, "--out", "a.csv"]) == 0
    assert list(pd.read_csv("a.csv"))[4:] == features


def test_compare_has_the_same_options(table, capsys):
    chosen = ["--drop", "name", "--target", "price", "--sample", "50", "--sep", ","]
    assert main(["compare", "t.csv", *chosen, *QUICK, "--out", "r"]) == 0
    assert "downstream score" in capsys.readouterr().out
    assert sorted(os.listdir("r")) == ["report.html", "results.csv"]
    assert main(["compare", "iris", "--drop", "sepal length (cm)", *QUICK, "--out", "r"]) == 0


@pytest.mark.parametrize("option", ["--drop", "--columns", "--target"])
@pytest.mark.parametrize("command", ["compare", "detect"])
def test_an_unknown_column_is_named_with_the_nearest_one(command, option, table, capsys):
    line = refused([command, "t.csv", option, "widht"], capsys)
    assert line == (
        "skae: error: t.csv: no column 'widht' (did you mean 'width'?); "
        "columns: length, width, height, name, price"
    )
    assert "did you mean" not in refused([command, "t.csv", option, "zzz"], capsys)


def test_the_sets_have_columns_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    chosen = ["--target", "alcohol", "--drop", "hue", "--sample", "60", "--explain"]
    assert main(["detect", "wine", *chosen]) == 0
    found = list(pd.read_csv("anomalies.csv"))[5:]
    assert len(found) == 11
    assert not {"alcohol", "hue", "target"} & set(found)
    capsys.readouterr()
    assert "(did you mean 'hue'?)" in refused(["detect", "wine", "--drop", "hues"], capsys)
    assert "target is the only" in refused(["detect", "wine", "--columns", "target"], capsys)


def test_an_error_is_one_line_whatever_the_names_are(tmp_path, capsys):
    (tmp_path / "t.csv").write_text('"a\nb",c\nx,1\n')
    line = refused(["detect", str(tmp_path / "t.csv"), "--drop", "d"], capsys)
    assert line.endswith("columns: a b, c")


def test_columns_that_contradict_each_other():
    names = [f"x{j}" for j in range(60)]
    with pytest.raises(InputError, match="'x1' is both the target and to be dropped"):
        choose_columns(names, "t", drop=["x1"], target="x1")
    with pytest.raises(InputError, match="no columns are left"):
        choose_columns(names, "t", columns=["x1"], drop=["x1"])
    with pytest.raises(InputError, match="x49 and 10 more"):
        choose_columns(names, "t", drop=["y"])


def test_a_sample_keeps_the_numbers_of_its_rows(table):
    table.loc[41, "height"] = 90
    table.to_csv("t.csv", index=False)
    seed = next(s for s in range(99) if 41 in choose_rows(60, 30, s))
    arguments = ["t.csv", "--drop", "name", "--sample", "30", "--random-state", str(seed)]
    assert main(["detect", *arguments, "--out", "a.csv"]) == 0
    found = pd.read_csv("a.csv").row
    assert found[0] == 41
    assert sorted(found) == choose_rows(60, 30, seed).tolist()
    assert main(["detect", *arguments, "--out", "b.csv"]) == 0
    assert pd.read_csv("b.csv").row.tolist() == found.tolist()


def test_samples_are_of_distinct_rows():
    rows = choose_rows(100, 30, 0)
    assert np.unique(rows).tolist() == rows.tolist()
    assert len(rows) == 30
    assert rows.tolist() != choose_rows(100, 30, 1).tolist()
    assert choose_rows(3, 30, 0).tolist() == choose_rows(3, None, 0).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sample", "0"], "--sample must be at least 1, got 0"),
        (["--random-state", "-1"], "--random-state must not be negative, got -1"),
        (["--sep", "ab"], "--sep must be one character, or 'tab'; got 'ab'"),
        (["--encoding", "utf-9"], "'utf-9' is not an encoding of text"),
        (["--drop", "name", "--sample", "3"], "at least 4 rows are needed, got 3"),
    ],
)
def test_options_that_are_not_valid(arguments, message, table, capsys):
    assert message in refused(["detect", "t.csv", *arguments], capsys)


def test_what_the_file_is_like_can_be_said(table):
    text = table.drop(columns="name").to_csv(index=False, header=False, sep="\t", decimal=",")
    with open("t.txt", "w", encoding="utf-16-le") as file:
        file.write(text)
    said = ["--no-header", "--sep", "tab", "--decimal", ",", "--encoding", "utf-16-le"]
    assert main(["detect", "t.txt", *said, "--explain", "--out", "a.csv"]) == 0
    assert list(pd.read_csv("a.csv"))[5:] == [f"column {j}" for j in range(4)]
    assert len(pd.read_csv("a.csv")) == 60


# -- files ---------------------------------------------------------------------------------------


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")

    def write():
        with written_whole(path) as unfinished:
            unfinished.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_new_file_takes_the_place_of_the_old_one(tmp_path):
    path, link = tmp_path / "a.csv", tmp_path / "link.csv"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with written_whole(link) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "link.csv"]


def test_a_file_that_may_not_grow_leaves_the_old_one(tmp_path):
    """The system refuses the write half-way, as it does when a disk is full."""
    pytest.importorskip("resource")
    path = tmp_path / "a.csv"
    path.write_text("old")
    code = """
        import resource, signal, sys
        from skae.cli.errors import InputError
        from skae.cli.writing import written_whole

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with written_whole(sys.argv[1]) as unfinished, unfinished.open("w") as file:
                for row in range(100_000):
                    file.write(f"{row}\\n")
        except InputError as error:
            print(error)
    """
    command = [sys.executable, "-c", "\n".join(line[8:] for line in code.splitlines()), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{path}: not written (File too large)"]
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_devices_are_written_to_and_never_replaced(table, capsys):
    arguments = ["detect", "t.csv", "--drop", "name", "--out"]
    assert "No space left on device" in refused([*arguments, "/dev/full"], capsys)
    assert main([*arguments, "/dev/null"]) == 0
    for device in ("/dev/full", "/dev/null"):
        assert not os.path.isfile(device)
        assert os.path.exists(device)


def test_outputs_that_cannot_be_written_are_refused_before_the_fit(table, tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    for path, message in {
        "t.csv": "is the file that is read",
        "./folder/../t.csv": "is the file that is read",
        "folder": "is a directory",
        "t.csv/a.csv": "not writable",
    }.items():
        with pytest.raises(InputError, match=message):
            check_output(path, "t.csv")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"folder/a\.csv: not writable"):
        check_output("folder/a.csv", "t.csv")
