"""``fashion predict``: a folder of good and bad photos goes through, and can be gone on with."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from trained import make_run

pytestmark = pytest.mark.mm


@pytest.fixture(scope="module")
def run(repo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("work dirs") / "run", repo_dir)


@pytest.fixture
def predict(run: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return ``fashion predict`` of the made run: exit code, and what it said on both streams."""
    from fashion_mmdet.commands import COMMANDS
    from fashion_mmdet.commands import run as guarded
    from fashion_mmdet.commands.predict import main

    assert "predict" in COMMANDS

    def call(*words: object) -> tuple[int, str]:
        code = guarded(main, [str(run), *map(str, words), "--device", "cpu"])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def photo(path: Path, size_hw: tuple[int, int] = (96, 128), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 255, (*size_hw, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "รูป ถ่าย"
    for n in range(3):
        photo(folder / "in" / f"{n}.jpg", seed=n)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_output_is_written_and_agrees(predict: Any, photos: Path, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    from datasets_tools.submission import check_submission

    out = tmp_path / "out"
    flags = ("--pictures", "--csv", "--coco", "--cutouts", "--submission")
    code, said = predict(photos, "--out", out, *flags)
    assert code == 0, said
    table = rows(out / "instances.csv")
    assert {row["photo"] for row in table} == {f"in/{n}.jpg" for n in range(3)}
    assert {row["class"] for row in table} == {"dress"}
    results = json.loads((out / "results.json").read_text())
    coco = COCO(str(out / "images.json"))
    assert len(coco.loadRes(results).anns) == len(results) == len(table)
    assert coco.loadCats([results[0]["category_id"]])[0]["name"] == "dress"
    for n in range(3):
        picture = cv2.imread(str(out / "pictures" / "in" / f"{n}.jpg"))
        assert picture is not None and picture.std() > 5
    cut = sorted((out / "cutouts" / "in" / "0").iterdir())
    with_pixels = [r for r in table if r["photo"] == "in/0.jpg" and int(r["area_px"])]
    assert len(cut) == len(with_pixels) > 3
    assert Image.open(cut[0]).mode == "RGBA"
    assert {r["ImageId"] for r in rows(out / "submission.csv")} == {f"{n}.jpg" for n in range(3)}
    assert not check_submission(out / "submission.csv").findings.counts
    assert f"{out}: {len(table)} instances on 3 photos" in said


def test_bad_photos_are_said_and_the_rest_goes_on(
    predict: Any, photos: Path, tmp_path: Path
) -> None:
    whole = (photos / "in" / "0.jpg").read_bytes()
    (photos / "zero.jpg").write_bytes(b"")
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "page.png").write_text("<html>404")
    photo(photos / "tiny.png", (1, 1))
    photo(photos / "panorama.png", (40, 3000))
    photo(photos / "line.png", (1, 3000))
    out = tmp_path / "out"
    code, said = predict(photos, "--out", out, "--csv")
    assert code == 0, said
    for name in ("zero.jpg", "cut.jpg", "page.png"):
        assert f"left out: {photos / name}: a" in said
    entries = [json.loads(x) for x in (out / "predictions.jsonl").read_text().splitlines()[1:]]
    assert len(entries) == 9
    failed = {e["file_name"] for e in entries if "error" in e}
    assert {"zero.jpg", "cut.jpg", "page.png"} <= failed
    assert failed <= {"zero.jpg", "cut.jpg", "page.png", "tiny.png", "line.png"}
    assert f"{len(failed)} photos left out" in said


def test_nothing_but_bad_photos_is_an_error(predict: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    code, said = predict(tmp_path / "a.jpg", "--out", tmp_path / "out")
    assert code == 1 and "1 photo left out" in said


def test_resume_predicts_what_is_new_and_makes_what_is_missing(
    predict: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashion_mmdet.inference import predictor

    out = tmp_path / "out"
    assert predict(photos, "--out", out)[0] == 0
    before = (out / "instances.csv").read_text()
    code, said = predict(photos, "--out", out)
    assert code == 1 and "Go on with --resume" in said
    assert (out / "instances.csv").read_text() == before
    seen: list[int] = []
    forward = predictor.Predictor.forward
    monkeypatch.setattr(
        predictor.Predictor,
        "forward",
        lambda self, items: seen.append(len(items)) or forward(self, items),
    )
    (out / "pictures" / "in" / "1.jpg").unlink()
    photo(photos / "in" / "9.jpg", seed=9)
    code, said = predict(photos, "--out", out, "--resume", "--csv", "--pictures", "--submission")
    assert code == 0 and seen == [1], said
    assert "on 4 photos (2 of them known before)" in said  # of the third the picture was missing
    assert (out / "pictures" / "in" / "1.jpg").is_file()
    assert (out / "instances.csv").read_text().startswith(before)
    assert len({r["ImageId"] for r in rows(out / "submission.csv")}) == 4


def test_photos_are_never_written_over(predict: Any, tmp_path: Path) -> None:
    mine = photo(tmp_path / "pictures" / "x.jpg")
    before = mine.read_bytes()
    code, said = predict(tmp_path / "pictures", "--out", tmp_path)
    assert code == 1 and "x.jpg: a photo outside" in said
    other = photo(tmp_path / "other.jpg")
    for words in ((), ("--force",), ("--resume",)):
        code, said = predict(other, "--out", tmp_path, *words)
        assert code == 1 and "it holds files of something else" in said
    assert mine.read_bytes() == before
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "pictures").symlink_to(tmp_path / "pictures")
    code, said = predict(other, "--out", tmp_path / "out", "--force")
    assert code == 1 and "got a link" in said and mine.read_bytes() == before


def test_photo_with_a_number_sign_has_its_picture(predict: Any, tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a#1.jpg")
    assert predict(tmp_path / "in", "--out", tmp_path / "out", "--pictures")[0] == 0
    assert (tmp_path / "out" / "pictures" / "a#1.jpg").is_file()


def test_resumed_photos_keep_their_pictures_and_get_their_present_names(
    predict: Any, tmp_path: Path
) -> None:
    first = photo(tmp_path / "a" / "x.jpg", seed=1)
    second = photo(tmp_path / "b" / "x.jpg", seed=2)
    out = tmp_path / "out"
    assert predict(first, second, "--out", out)[0] == 0
    pictures = {p: p.read_bytes() for p in (out / "pictures").rglob("*.jpg")}
    assert len(pictures) == 2
    assert predict(second, first, "--out", out, "--resume")[0] == 0
    assert {p: p.read_bytes() for p in (out / "pictures").rglob("*.jpg")} == pictures
    assert {row["photo"] for row in rows(out / "instances.csv")} == {"a/x.jpg", "b/x.jpg"}
    assert predict(tmp_path / "a", "--out", out, "--resume", "--csv")[0] == 0
    assert {row["photo"] for row in rows(out / "instances.csv")} == {"x.jpg"}


def test_cutouts_that_a_kill_has_parted_are_made_whole(predict: Any, tmp_path: Path) -> None:
    given = photo(tmp_path / "x.jpg")
    out = tmp_path / "out"
    assert predict(given, "--out", out, "--cutouts")[0] == 0
    made = sorted(p.name for p in (out / "cutouts" / "x").iterdir())
    for name in made[1:]:
        (out / "cutouts" / "x" / name).unlink()
    assert predict(given, "--out", out, "--cutouts", "--resume")[0] == 0
    assert sorted(p.name for p in (out / "cutouts" / "x").iterdir()) == made


def test_known_photos_are_not_held_until_the_end(run: Path) -> None:
    from fashion_mmdet.inference import job

    held, most = 0, 0

    def tasks() -> Any:
        nonlocal held, most
        for _ in range(50):
            held += 1
            most = max(most, held)
            yield job._Task(entry=None, load=None)

    for _ in job._through_network(None, tasks(), batch_size=4):
        held -= 1
    assert most <= 2


def test_what_a_submission_cannot_hold_is_told_before_the_work(
    predict: Any, photos: Path, tmp_path: Path
) -> None:
    photo(tmp_path / "more" / "0.jpg")
    out = tmp_path / "out"
    for words, said in (
        ((photos / "in", tmp_path / "more"), "0.jpg"),
        ((photos / "in", "--submission-size", "9999"), "at most 4096 px expected"),
        ((photos / "in", "--sample", tmp_path / "gone.csv"), "gone.csv"),
    ):
        code, text = predict(*words, "--out", out, "--submission")
        assert code == 1 and said in text and not out.exists()


@pytest.mark.slow
def test_killed_run_loses_no_photo_that_was_done(
    predict: Any, run: Path, photos: Path, tmp_path: Path
) -> None:
    import subprocess
    import sys
    import time

    for n in range(20):
        photo(photos / f"{n:02d}.jpg", seed=n)
    out = tmp_path / "out"
    words = [sys.executable, "-m", "fashion_mmdet", "predict", run, photos, "--out", out]
    ledger = out / "predictions.jsonl"
    with subprocess.Popen([*map(str, words), "--device", "cpu"]) as process:
        for _ in range(1200):
            if ledger.is_file() and len(ledger.read_bytes().splitlines()) > 4:
                break
            time.sleep(0.1)
        process.kill()
    done = ledger.read_bytes().count(b"\n") - 1
    assert 4 <= done < 23
    code, said = predict(photos, "--out", out, "--resume", "--csv", "--pictures")
    assert code == 0, said
    assert f"on 23 photos ({done} of them known before)" in said
    assert len(list((out / "pictures").rglob("*.jpg"))) == 23


def test_resume_goes_on_with_the_point_that_it_was_begun_with(
    predict: Any, photos: Path, run: Path, tmp_path: Path
) -> None:
    from fashion_mmdet.core.operating_point import (
        FILE_NAME,
        OperatingPoint,
        write_operating_point,
    )

    out = tmp_path / "out"
    assert predict(photos, "--out", out, "--csv")[0] == 0
    before = (out / "instances.csv").read_text()
    write_operating_point(run / FILE_NAME, OperatingPoint(max_count=1), {})
    try:
        code, said = predict(photos, "--out", out, "--resume", "--coco")
        assert code == 0, said
        assert "brought up to date as well: instances.csv" in said
        assert (out / "instances.csv").read_text() == before
        code, said = predict(photos, "--out", tmp_path / "new", "--csv")
        assert code == 0 and "3 instances on 3 photos" in said
        code, said = predict(photos, "--out", tmp_path / "none", "--csv", "--point", "none")
        assert code == 0 and "3 instances on 3 photos" not in said
    finally:
        (run / FILE_NAME).unlink()


def test_resume_with_other_settings_is_refused(predict: Any, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(photos, "--out", out)[0] == 0
    code, said = predict(photos, "--out", out, "--resume", "--score", "0.9")
    assert code == 1 and "another operating point" in said


def test_force_begins_anew_and_leaves_no_picture_of_before(
    predict: Any, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert predict(photos, "--out", out, "--pictures", "--cutouts")[0] == 0
    (out / "pictures" / "mine.jpg").write_bytes(b"x")
    shutil.rmtree(photos / "in")
    photo(photos / "other.jpg")
    assert predict(photos, "--out", out, "--force")[0] == 0
    assert sorted(p.name for p in (out / "pictures").rglob("*.jpg")) == ["mine.jpg", "other.jpg"]
    assert not list((out / "cutouts").rglob("*.png"))


def test_list_is_followed_and_each_of_its_photos_has_a_row(
    predict: Any, photos: Path, tmp_path: Path
) -> None:
    sample = tmp_path / "sample_submission.csv"
    ids = ["2.jpg", "gone.jpg", "0.jpg"]
    body = "".join(f"{i},1 1,0\n" for i in ids)
    sample.write_text(f"ImageId,EncodedPixels,ClassId\n{body}")
    out = tmp_path / "out"
    code, said = predict(sample, "--images", photos / "in", "--out", out, "--submission")
    assert code == 0, said
    assert "missing: " in said and "a photo 'gone' with" in said
    table = rows(out / "submission.csv")
    assert list(dict.fromkeys(r["ImageId"] for r in table)) == ids
    assert [r for r in table if r["ImageId"] == "gone.jpg"] == [
        {"ImageId": "gone.jpg", "EncodedPixels": "1 1", "ClassId": "23"}
    ]


def test_ids_of_a_coco_file_are_spoken(predict: Any, photos: Path, tmp_path: Path) -> None:
    ann = tmp_path / "ann.json"
    images = [
        {"id": 70 + n, "file_name": f"in/{n}.jpg", "height": 96, "width": 128} for n in (0, 1)
    ]
    categories = [{"id": 5, "name": "dress"}, {"id": 6, "name": "shoe"}]
    ann.write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))
    out = tmp_path / "out"
    code, said = predict(photos, "--out", out, "--coco", "--image-ids", ann)
    assert code == 0, said
    results = json.loads((out / "results.json").read_text())
    assert {r["image_id"] for r in results} == {70, 71}
    assert {r["category_id"] for r in results} == {5}
    assert "left out 1 photos that" in said


def test_video_goes_through_frame_by_frame(predict: Any, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (128, 96))
    rng = np.random.default_rng(0)
    for _ in range(6):
        writer.write(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8))
    writer.release()
    out = tmp_path / "out"
    code, said = predict(path, "--out", out, "--every", 2)
    assert code == 0, said
    assert {r["photo"] for r in rows(out / "instances.csv")} == {
        f"clip.avi#{n:06d}" for n in (0, 2, 4)
    }
    video = cv2.VideoCapture(str(out / "pictures" / "clip.webm"))
    n_frames = 0
    while video.read()[0]:
        n_frames += 1
    assert n_frames == 3
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    code, said = predict(tmp_path / "bad.mp4", "--out", tmp_path / "out2")
    assert code == 1 and "a video expected" in said


@pytest.mark.parametrize(
    "words",
    [("--score", "2"), ("--batch-size", "0"), ("--sample", "x.csv"), ("--resume", "--force")],
)
def test_wrong_usage_is_told_with_code_2(
    predict: Any, photos: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as raised:
        predict(photos, "--out", tmp_path / "out", *words)
    assert raised.value.code == 2
