"""The tables of names: what they read, refuse, and print again."""

from __future__ import annotations

import argparse
import csv
import io

import pytest

from datasets_tools.category_map import MAPS, CategoryTable, MapRow, add_map_arguments
from fashion_mmdet.core.errors import FashionError, OntologyError


def table(tmp_path, text):
    path = tmp_path / "map.csv"
    path.write_text(text, encoding="utf-8")
    return CategoryTable.read(path)


def test_table_all_columns_are_read(tmp_path):
    rows = table(
        tmp_path,
        'id,name,category,split,note\n3,boots,shoe,yes,"a, b"\n\n4,"bag, wallet","bag, wallet",,\n'
        "5,phone,,no,none\n",
    ).rows
    assert rows["boots"] == MapRow("boots", "shoe", 3, True, "a, b")
    assert rows["bag, wallet"] == MapRow("bag, wallet", "bag, wallet", 4)
    assert rows["phone"].category is None and not rows["phone"].is_pair
    assert list(rows) == ["boots", "bag, wallet", "phone"]


def test_table_with_bom_windows_ends_and_blanks_is_the_same(tmp_path):
    plain = table(tmp_path, "name,category\nboots,shoe\n").rows
    assert table(tmp_path, "\ufeffname , category\r\n boots ,shoe \r\n").rows == plain


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", FashionError, ":1: the columns name, category"),
        ("name,class\na,shoe\n", FashionError, "got name, class"),
        ("name,category,colour\na,shoe,1\n", FashionError, "colour"),
        ("name,category,name\na,shoe,b\n", FashionError, "each once"),
        ("name,category\n", FashionError, "got none"),
        ("name,category\nboots,shoes\n", OntologyError, "map.csv:2: 'boots': one of the 49"),
        ("name,category\nboots,shoes\n", OntologyError, "Did you mean 'shoe'"),
        ("name,category\na,shoe\na,sock\n", OntologyError, "map.csv:3: each name once"),
        ("name,category,id\na,shoe,1\nb,sock,01\n", OntologyError, "map.csv:3: each id once"),
        ("name,category,id\na,shoe,x\n", FashionError, "map.csv:2: a whole number"),
        ("name,category,id\na,shoe,-1\n", FashionError, "map.csv:2: a whole number"),
        ("name,category,split\na,shoe,true\n", FashionError, "'yes', 'no' or nothing"),
        ("name,category\nbag, wallet,shoe\n", FashionError, "map.csv:2: a name and its"),
        ("name,category\n,shoe\n", FashionError, "map.csv:2: a name and its"),
        # A line without a comma would otherwise drop the name for good.
        ("name,category\nshoe\n", FashionError, "map.csv:2: a name and its"),
    ],
)
def test_table_faulty_is_refused(tmp_path, text, error, said):
    with pytest.raises(error) as caught:
        table(tmp_path, text)
    assert said in str(caught.value)


def test_table_missing_or_binary_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "map.csv").write_bytes(b"\xff\xfe\x00n")
    (tmp_path / "old.csv").write_bytes(b"name,category\n\xe9t\xe9,shoe\n")
    (tmp_path / "folder.csv").mkdir()
    for name, said in (
        ("map.csv", "got UTF-16. Save it as UTF-8, in Excel as 'CSV UTF-8'"),
        ("old.csv", "got bytes that are none. Save it as UTF-8, in Excel"),
        ("gone.csv", "found no file. Check the path"),
        ("folder.csv", "found a folder. Give the file in it"),
    ):
        with pytest.raises(FashionError, match=f"{name}: a CSV file in UTF-8 expected, {said}"):
            CategoryTable.read(tmp_path / name)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_table_saved_by_excel_is_the_same(tmp_path, separator):
    plain = table(tmp_path, 'name,category,id\n"bag, wallet","bag, wallet",3\nboots,shoe,\n').rows
    lines = ["name;category;id", "bag, wallet;bag, wallet;3", "boots;shoe;", ";;", ""]
    text = "\r\n".join(lines).replace(";", separator)
    assert table(tmp_path, f"\ufeff{text}").rows == plain


def test_find_other_spelling_is_found_where_only_one_name_reads_so(tmp_path):
    known = table(
        tmp_path,
        "name,category\nt-shirt,shoe\nleg warmer,sock\nBag,coat\nbag,hat\nt shirts,cape\n",
    )
    for name in ("t-shirt", "T-Shirt", "T_SHIRT", "t shirt", " t  shirt "):
        assert known.find(name).name == "t-shirt"
    assert known.find("Leg-Warmer").name == "leg warmer"
    assert known.find("Bag").category == "coat" and known.find("bag").category == "hat"
    assert known.find("BAG") is None and known.find("tshirt") is None
    with pytest.raises(OntologyError, match="'BAG'. Did you mean 'Bag'"):
        known.require(["T-Shirt", "BAG"], "a.json")


def test_read_added_rows_take_the_place_of_the_tables_and_keep_its_ids(tmp_path):
    (tmp_path / "more.csv").write_text("name,category\nphone,\nboots,sandals\n")
    (tmp_path / "map.csv").write_text("name,category,id,split\nboots,shoe,3,yes\nhat,hat,4,\n")
    known = CategoryTable.read(tmp_path / "map.csv", tmp_path / "more.csv")
    assert list(known.rows.values()) == [
        MapRow("boots", "sandals", 3), MapRow("hat", "hat", 4), MapRow("phone", None),
    ]  # fmt: skip
    with pytest.raises(OntologyError, match=r"names of .*map\.csv and .*more\.csv expected"):
        known.row("gizmo", "a.json")
    (tmp_path / "more.csv").write_text("name,category,id\nphone,,4\n")
    with pytest.raises(OntologyError, match=r"more\.csv: each id once expected, got 4 twice"):
        CategoryTable.read(tmp_path / "map.csv", tmp_path / "more.csv")


def test_row_unknown_name_names_the_nearest(tmp_path):
    known = table(tmp_path, "name,category\nboots,shoe\n")
    assert known.row("boots", "a.json").category == "shoe"
    said = r"^a\.json:4: .*'Boot'\. Did you mean 'boots'\?.*--map-add.*--map"
    with pytest.raises(OntologyError, match=said):
        known.row("Boot", "a.json:4")


def test_require_names_all_that_are_missing(tmp_path):
    known = table(tmp_path, "name,category\nboots,shoe\n")
    known.require(["boots"], "a.json")
    with pytest.raises(OntologyError, match=r"'phone'.*'sofa'"):
        known.require(["sofa", "boots", "phone"], "a.json")


def test_name_of_id_holds_rows_with_an_id_alone(tmp_path):
    known = table(tmp_path, "name,category,id\nb,shoe,7\na,sock,\nc,,0\n")
    assert known.name_of_id() == {7: "b", 0: "c"}


@pytest.mark.parametrize("path", sorted(MAPS.glob("*.csv")), ids=lambda p: p.stem)
def test_table_of_each_source_reads_and_its_text_reads_the_same(path, tmp_path):
    known = CategoryTable.read(path)
    again = table(tmp_path, "".join(f"{line}\n" for line in known.text()))
    assert again.rows == known.rows


def parser():
    made = argparse.ArgumentParser()
    add_map_arguments(made, "ccp")
    made.add_argument("needed")
    return made


def test_map_option_is_the_sources_table_by_default():
    assert parser().parse_args(["x"]).map == MAPS / "ccp.csv"
    assert parser().parse_args(["x", "--map", "my.csv"]).map == "my.csv"
    assert parser().parse_args(["x"]).map_add is None


def test_show_map_prints_csv_and_needs_no_other_argument(capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(["--show-map"])
    assert stopped.value.code == 0
    shown = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in shown] == list(CategoryTable.read(MAPS / "ccp.csv").rows)
    (tmp_path / "my.csv").write_text('name,category,note\n"a ""b""",shoe,"x, y"\n')
    with pytest.raises(SystemExit):
        parser().parse_args(["--map", str(tmp_path / "my.csv"), "--show-map"])
    assert capsys.readouterr().out.splitlines()[1] == '"a ""b""",shoe,,,"x, y"'


def test_show_map_has_the_added_rows(capsys, tmp_path):
    (tmp_path / "my.csv").write_text("name,category\nspats,shoe\n")
    with pytest.raises(SystemExit):
        parser().parse_args(["--map-add", str(tmp_path / "my.csv"), "--show-map"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "spats,shoe,,," and len(lines) == 61


def test_show_map_of_a_faulty_table_is_one_line(capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(["--map", str(tmp_path / "gone.csv"), "--show-map"])
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "gone.csv" in line
