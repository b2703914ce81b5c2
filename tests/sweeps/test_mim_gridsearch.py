"""``mim gridsearch`` with a config of ours: a work dir and a record for each value."""

from __future__ import annotations

from pathlib import Path

import pytest

from fashion_mmdet.core.run_record import read_run

pytestmark = [pytest.mark.mm, pytest.mark.slow]


def test_mim_gridsearch_leaves_a_recorded_run_for_each_value_to_compare(tmp_path: Path) -> None:
    from drawn_set import BIN, CONFIG, SHORT, call, draw

    draw(tmp_path)
    key = "optim_wrapper.optimizer.lr"
    said = call(
        [BIN / "mim", "gridsearch", "mmdet", CONFIG, "--gpus", "0", "--work-dir", "out/grid",
         "--search-args", f"--{key} 1e-3 5e-3",
         "--cfg-options", *(f"{k}={v}" for k, v in SHORT.items())],
        tmp_path,
    )  # fmt: skip
    assert "The hyper parameter search finished successfully" in said
    names = {rate: f"search_{key}_{rate}" for rate in (0.001, 0.005)}
    folders = {rate: tmp_path / "out" / f"grid_{name}" for rate, name in names.items()}
    assert sorted((tmp_path / "out").iterdir()) == sorted(folders.values())
    for rate, folder in folders.items():
        record = read_run(folder)
        assert record.status == "finished" and len(record.validations) == 1
        assert record.config["optim_wrapper"]["optimizer"]["lr"] == rate
        assert record.name == f"{CONFIG.stem}_{names[rate]}"
        # mim writes a whole config, with the value in it, into the work dir; there mmengine writes
        # that of the run over it, and what it said before cannot be known.
        assert record.config_file and (tmp_path / record.config_file).parent == folder
        assert record.overrides is None
        assert all(record.config["train_cfg"][k] == 1 for k in ("max_epochs", "val_interval"))
        assert (folder / "epoch_1.pth").is_file()

    said = call([BIN / "fashion", "compare", *folders.values(), "--out", "compared"], tmp_path)
    assert "lr 0.005" in said and "the reference" in said


@pytest.mark.parametrize("room", ["ccp", "demo", "fashion"])
def test_config_that_mim_gridsearch_writes_says_what_the_config_says(
    tmp_path: Path, repo_dir: Path, room: str
) -> None:
    from mmengine.config import Config

    for path in sorted((repo_dir / "configs" / room).glob("*.py")):
        plain = Config.fromfile(str(path), import_custom_modules=False)
        written = tmp_path / path.name
        written.write_text(plain.pretty_text)
        again = Config.fromfile(str(written), import_custom_modules=False)
        assert again.to_dict() == plain.to_dict(), path
