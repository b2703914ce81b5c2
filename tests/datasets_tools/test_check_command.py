"""``fashion data check`` as a command: text, JSON, exit codes, what it refuses to write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faulty_set import FaultySet

from fashion_mmdet.commands import main
from fashion_mmdet.commands import run as run_command
from fashion_mmdet.core.ontology import CLASSES


@pytest.fixture
def faulty(tmp_path, monkeypatch) -> FaultySet:
    monkeypatch.chdir(tmp_path)
    return FaultySet(tmp_path)


def run(faulty: FaultySet, *words: str) -> int:
    Path("ann.json").write_text(json.dumps(faulty.coco))
    return run_command(main, ["data", "check", "ann.json", "--scale", "200", "200", *words])


def test_check_whole_set_exits_with_0_and_says_so(faulty, capsys):
    assert run(faulty, "--images", "photos") == 0
    *_, speed, last = capsys.readouterr().out.splitlines()
    assert speed.startswith("photos: 1 decoded in ") and speed.endswith(" MB/s")
    assert last == "ann.json: 1 image, 2 annotations: 0 errors, 0 warnings, 0 notes"


def test_check_warnings_and_notes_exit_with_0_errors_with_1(faulty):
    faulty.fault("crowd", iscrowd=1)
    faulty.fault("box missing", bbox=None)
    assert run(faulty) == 0
    faulty.fault("area 0", area=0)
    assert run(faulty) == 1


def test_check_text_is_ranked_and_names_three_of_a_kind(faulty, capsys):
    faulty.fault("crowd", iscrowd=1)
    for _ in range(2):
        faulty.fault("area malformed", area="x")
    for _ in range(5):
        faulty.fault("area 0", area=0)
    for _ in range(9):
        faulty.fault("box missing", bbox=None)
    run(faulty)
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert [head.partition(": ")[2].partition(":")[0] for head in heads[:-1]] == [
        "area 0 (5)", "area malformed (2)", "box missing (9)", "crowd (1)"
    ]  # fmt: skip
    of_first = lines[1 : lines.index(heads[1])]
    assert len(of_first) == 5 and "annotations[5] (id 6) [005.jpg]: 400 px expected" in of_first[0]
    assert of_first[3] == "    and 2 more" and "--fix: " in of_first[4]


def test_check_json_has_every_finding_and_each_kind(faulty):
    faulty.plant_all()
    assert run(faulty, "--images", "photos", "--json", "f.json") == 1
    found = json.loads(Path("f.json").read_text())
    assert {(f["kind"], f["image_id"], f["annotation_id"]) for f in found["findings"]} == (
        faulty.expected
    )
    keys = {"kind", "severity", "message", "image_id", "annotation_id", "file_name", "where"}
    assert all(set(finding) == keys for finding in found["findings"])
    assert sum(kind["count"] for kind in found["kinds"].values()) == len(found["findings"])
    assert found["errors"] + found["warnings"] + found["notes"] == len(found["findings"])
    assert found["replay"] is None


def test_check_fix_writes_copy_and_changes_and_keeps_the_input(faulty):
    faulty.plant_all()
    assert run(faulty, "--images", "photos", "--fix", "out.json") == 1
    assert Path("ann.json").read_text() == json.dumps(faulty.coco)
    assert json.loads(Path("out.json.changes.json").read_text())
    assert main(["data", "check", "out.json", "--images", "photos"]) == 0


def test_check_fix_log_of_a_removed_entry_with_nan_is_json(faulty):
    faulty.coco["annotations"][0]["segmentation"] = {"size": [60, 80], "counts": [float("nan")]}
    assert run(faulty, "--fix", "out.json") == 1
    (change,) = json.loads(Path("out.json.changes.json").read_text(), parse_constant=pytest.fail)
    assert change["before"]["segmentation"]["counts"] == ["nan"]


def test_check_fix_that_cannot_be_written_leaves_no_log_alone(faulty, capsys):
    faulty.coco["info"] = {"year": float("nan")}
    assert run(faulty, "--fix", "out.json") == 1
    assert "out.json: finite numbers expected" in capsys.readouterr().err
    assert not list(Path().glob("out*"))


def test_check_fix_counts_what_is_left_without_notes(faulty, capsys):
    faulty.coco["categories"] += [{"id": 901, "name": "gizmo"}, {"id": 902, "name": "cape"}]
    faulty.fault("crowd", iscrowd=1)
    assert run(faulty, "--fix", "out.json") == 0
    out = capsys.readouterr().out
    assert "0 changes, each in out.json.changes.json; errors and warnings that a person " in out
    assert "must look at: 1\n" in out  # the gizmo


def test_check_categories_without_annotations_take_one_short_line(faulty, capsys):
    faulty.coco["categories"] += [{"id": 900 + i, "name": n} for i, n in enumerate(CLASSES)
                                  if n not in ("shoe", "dress")]  # fmt: skip
    assert run(faulty) == 0
    line, last = capsys.readouterr().out.splitlines()
    assert line.startswith("note: category without annotations: 47 of 49 have none: 'shirt, blouse")
    assert line.endswith("', ... Nothing, unless you expected some.") and len(line) < 180
    assert last.endswith("0 errors, 0 warnings, 1 note")


@pytest.mark.parametrize(("photos", "page"), [("p", "p"), ("page/page_files", "page")])
def test_check_html_in_the_photos_names_its_own_option(faulty, photos, page, capsys):
    Path(photos).parent.mkdir(exist_ok=True)
    faulty.photos.rename(photos)
    assert run(faulty, "--images", photos, "--html", page) == 1
    message = capsys.readouterr().err
    assert "Choose another --html." in message and "--out" not in message


def test_check_html_has_the_advice_of_each_kind_found_and_no_other(faulty):
    faulty.fault("crowd", iscrowd=1)
    faulty.fault("box missing", bbox=None)
    assert run(faulty, "--images", "photos", "--html", "page") == 0
    page = Path("page/index.html").read_text(encoding="utf-8")
    assert "Nothing, if it is one. Some exporters mark masks with holes as crowds." in page
    assert "Add it. --fix: the box becomes that of the mask." in page
    assert "cannot be decoded" not in page


def test_check_html_without_photos_leaves_no_contact_sheet(faulty):
    words = ["--images", "photos", "--html", "page"]
    faulty.fault("crowd", iscrowd=1)
    assert run(faulty, *words) == 0 and Path("page/sheet.jpg").is_file()
    del faulty.coco["images"][1:], faulty.coco["annotations"][2:]
    assert run(faulty, *words, "--force") == 0
    assert not Path("page/sheet.jpg").exists()
    assert '"sheet":null' in Path("page/index.html").read_text(encoding="utf-8")


def test_check_progress_bars_stay_out_of_a_log(faulty, capfd):
    faulty.fault("crowd", iscrowd=1)
    assert run(faulty, "--images", "photos", "--html", "page") == 0
    assert capfd.readouterr().err == ""


def test_check_fix_of_no_coco_file_writes_nothing(faulty, capsys):
    faulty.coco = []
    assert run(faulty, "--fix", "out.json", "--images", "photos") == 1
    assert not list(Path().glob("out*")) and "--fix: nothing was written" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--fix", "--json"])
def test_check_outputs_are_not_overwritten_and_never_the_input(faulty, option, capsys):
    Path("there.json").write_text("mine")
    assert run(faulty, option, "there.json") == 1
    assert "Use --force" in capsys.readouterr().err
    assert Path("there.json").read_text() == "mine"
    assert run(faulty, option, "ann.json", "--force") == 1
    assert "another file than the input" in capsys.readouterr().err
    assert run(faulty, option, "there.json", "--force") == 0
    assert Path("there.json").read_text() != "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "x.py"], "--config: the folder of the photos expected"),
        (["--html", "page"], "--html: the folder of the photos expected"),
        (["--images", "gone"], "gone: the folder of the photos expected"),
        (["--images", "photos", "--workers", "0"], "--workers, --scale: numbers of at least 1"),
    ],
)
def test_check_wrong_arguments_are_one_line(faulty, words, message, capsys):
    assert run(faulty, *words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


def test_check_html_shows_the_photos_with_findings(faulty, capsys):
    faulty.plant_all()
    assert run(faulty, "--images", "photos", "--html", "page") == 1
    n_photos = len(list(Path("page/page_files/thumb").iterdir()))
    assert 40 < n_photos <= len(faulty.coco["images"])
    page = Path("page/index.html").read_text(encoding="utf-8")
    assert all(kind in page for kind, _, _ in faulty.expected)
    assert "photos with findings; open it in a browser" in capsys.readouterr().out
    assert run(faulty, "--images", "photos", "--html", "page") == 1
    assert "Use --force" in capsys.readouterr().err


def test_check_photos_that_are_missing_are_not_counted_as_decoded(faulty, capsys):
    faulty.photo_fault("photo missing").unlink()
    faulty.photo_fault("photo unreadable").write_text("no photo")
    faulty.photo_fault("photo grey")
    assert run(faulty, "--images", "photos", "--json", "f.json") == 1
    assert "photos: 2 decoded in " in capsys.readouterr().out
    assert json.loads(Path("f.json").read_text())["photos_decoded"] == 2


def test_check_photos_that_lie_below_are_found_there(faulty):
    Path("photos/images").mkdir()
    missing = faulty.photo_fault("photo missing")
    missing.rename(Path("photos/images") / missing.name)
    assert run(faulty, "--images", "photos", "--json", "f.json") == 1
    [found] = [f for f in json.loads(Path("f.json").read_text())["findings"] if "below" in str(f)]
    assert "give --images photos/images" in str(found)


def test_check_html_without_findings_says_so_and_shows_no_photo(faulty, capsys):
    faulty.fault("crowd", iscrowd=1)
    words = ["--images", "photos", "--html", "page"]
    assert run(faulty, *words) == 0
    assert len(list(Path("page/page_files/thumb").iterdir())) == 1
    capsys.readouterr()
    del faulty.coco["images"][1:], faulty.coco["annotations"][2:]
    assert run(faulty, *words, "--force") == 0
    assert "page/index.html: nothing was found; open it" in capsys.readouterr().out
    page = Path("page/index.html").read_text(encoding="utf-8")
    assert "Nothing was found: 1 image, 2 annotations: 0 errors" in page
    assert not list(Path("page/page_files/thumb").iterdir()) and "as asked for" not in page


def test_check_html_of_findings_of_no_photo_shows_them_alone(faulty, capsys):
    faulty.coco["categories"].append({"id": 999, "name": "gizmo"})
    assert run(faulty, "--images", "photos", "--html", "page") == 0
    assert "page/index.html: 2 findings, of no photo" in capsys.readouterr().out
    page = Path("page/index.html").read_text(encoding="utf-8")
    assert "category unknown" in page and "Nothing was found" not in page
    assert not list(Path("page/page_files/thumb").iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "same.json", "--fix", "./same.json"],
        ["--json", "same.json", "--fix", "link.json"],
        ["--json", "x.json.changes.json", "--fix", "x.json"],
        ["--json", "page/index.html", "--images", "photos", "--html", "page"],
        ["--fix", "page/sheet.jpg", "--images", "photos", "--html", "page"],
    ],
)
def test_check_two_outputs_of_one_name_are_refused(faulty, words, capsys):
    Path("link.json").symlink_to("same.json")
    assert run(faulty, *words, "--force") == 1
    assert "a file of its own for each output expected" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["ann.json", "link.json", "photos"]


@pytest.mark.parametrize("name", ["index.html", "sheet.jpg"])
def test_check_html_over_files_of_the_user_needs_force(faulty, name, capsys):
    mine = Path("page") / name
    mine.parent.mkdir()
    mine.write_text("mine")
    assert run(faulty, "--images", "photos", "--html", "page") == 1
    assert "Use --force" in capsys.readouterr().err
    assert mine.read_text() == "mine" and len(list(mine.parent.iterdir())) == 1


def test_check_html_over_its_own_input_is_refused(faulty, capsys):
    Path("page").mkdir()
    Path("page/sheet.jpg").symlink_to("../ann.json")
    assert run(faulty, "--images", "photos", "--html", "page", "--force") == 1
    assert "another file than the input" in capsys.readouterr().err


def test_check_html_of_a_box_of_400_digits_is_written(faulty):
    faulty.fault("box malformed", bbox=[1, 2, 10**400, 4])
    run(faulty, "--images", "photos", "--html", "page")
    assert Path("page/index.html").is_file()


def test_check_without_config_imports_no_torch(faulty):
    Path("ann.json").write_text(json.dumps(faulty.coco))
    code = (
        "import sys; from fashion_mmdet.commands import main\n"
        "code = main(['data', 'check', 'ann.json', '--images', 'photos'])"
        "\nassert code == 0 and 'torch' not in sys.modules, code"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_check_fix_with_most_photos_missing_is_refused(faulty, capsys):
    Path("wrong").mkdir()
    assert run(faulty, "--images", "wrong", "--fix", "out.json") == 1
    said = "1 of 1 that would be removed: 1 photo missing. Is --images right?"
    assert said in capsys.readouterr().err
    assert not list(Path().glob("out*"))


def test_check_fix_with_most_photos_unreadable_is_refused(faulty, capsys):
    for name in ("photo missing", "photo unreadable"):
        faulty.photo_fault(name).write_text("version https://git-lfs.github.com/spec/v1")
    assert run(faulty, "--images", "photos", "--fix", "out.json") == 1
    assert "that would be removed: 2 photo unreadable" in capsys.readouterr().err
    assert not list(Path().glob("out*"))


def test_check_fix_with_a_photo_in_two_missing_removes_it(faulty):
    faulty.photo_fault("photo missing").unlink()
    assert run(faulty, "--images", "photos", "--fix", "out.json") == 1
    assert [image["id"] for image in json.loads(Path("out.json").read_text())["images"]] == [1]


def test_check_json_of_file_names_that_are_no_utf8_is_written(faulty):
    name = os.fsdecode(b"ann\xff.json")
    faulty.photo_fault("photo missing").rename(os.fsdecode(b"photos/002.\xff"))
    try:
        Path(name).write_text(json.dumps(faulty.coco))
    except OSError:
        pytest.skip("the file system takes names of UTF-8 alone")
    words = ["data", "check", name, "--images", "photos", "--json", "f.json"]
    assert run_command(main, words) == 1
    found = json.loads(Path("f.json").read_text(encoding="utf-8"))
    assert found["file"] == "ann\ufffd.json"
    assert "There is 002.\ufffd." in found["findings"][0]["message"]
