"""Every config is read and checked here, in the pure tier; none of them is built."""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import Any

import pytest

from fashion_mmdet.core.ontology import CLASSES

mmengine_config = pytest.importorskip("mmengine.config")

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
# A user's own recipes beside ours are the user's.
LEAVES = sorted(p for top in ("fashion", "ccp", "demo") for p in (CONFIGS / top).glob("*.py"))
BRICKS = sorted(p for p in CONFIGS.rglob("*.py") if "_base_" in p.parts)


def name_of(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


def load(path: Path):
    """Read a config anew, environment and all (about 0.6 s)."""
    return mmengine_config.Config.fromfile(str(path), import_custom_modules=False)


@functools.cache
def config(path: Path):
    """Read a config once for all tests that only look at it."""
    return load(path)


def bases(path: Path) -> list[Path]:
    """Return the files of ours that ``path`` names in ``_base_``."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_base_":
            named = ast.literal_eval(node.value)
            named = [named] if isinstance(named, str) else named
            return [(path.parent / n).resolve() for n in named if not n.startswith("mmdet::")]
    return []


def depth(path: Path) -> int:
    return 1 + max((depth(base) for base in bases(path)), default=0)


def test_promised_recipes_are_there() -> None:
    names = {name_of(p) for p in LEAVES}
    assert names >= {
        "fashion/mask_rcnn_r50.py",
        "fashion/mask_rcnn_r50_2x.py",
        "fashion/mask_rcnn_r50_3x.py",
        "fashion/mask_rcnn_r101.py",
        "fashion/mask_rcnn_r101_2x.py",
        "fashion/mask_rcnn_r101_3x.py",
        "fashion/mask_rcnn_r50_amp.py",
        "fashion/mask_rcnn_r50_ms_3x.py",
        "fashion/mask_rcnn_r50_notebook.py",
        "fashion/mask_rcnn_r18_cpu.py",
        "ccp/mask_rcnn_r50_ccp.py",
        "ccp/mask_rcnn_r101_ccp.py",
        "demo/mask_rcnn_r18_demo.py",
    }


def test_no_two_leaves_share_a_run_folder() -> None:
    # mmdet names the work dir after the file; two datasets in one folder would resume each other.
    stems = [p.stem for p in LEAVES]
    assert len(set(stems)) == len(stems)


@pytest.mark.parametrize("path", [*LEAVES, *BRICKS], ids=name_of)
def test_config_imports_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_leaf_is_a_notebook_page_and_names_its_own_command(path: Path) -> None:
    page = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert f"configs/{name_of(path)}" in page or "make demo" in page
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_leaf_chain_is_at_most_three_files_deep(path: Path) -> None:
    assert depth(path) <= 3


@pytest.mark.parametrize("path", BRICKS, ids=name_of)
def test_brick_is_used_and_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert any(path.resolve() in bases(other) for other in [*LEAVES, *BRICKS])


def trained_on(cfg: Any) -> Any:
    """The set that is trained on, also where another wraps it to repeat photos."""
    dataset = cfg.train_dataloader.dataset
    return dataset.dataset if "dataset" in dataset else dataset


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_leaf_trains_49_classes_with_our_parts(path: Path) -> None:
    cfg = config(path)
    heads = cfg.model.roi_head
    assert heads.bbox_head.num_classes == heads.mask_head.num_classes == len(CLASSES) == 49
    assert cfg.custom_imports["imports"] == ["fashion_mmdet.register"]
    assert cfg.runner_type == "FashionRunner"
    datasets = [trained_on(cfg), cfg.val_dataloader.dataset, cfg.test_dataloader.dataset]
    assert [dataset.type for dataset in datasets] == ["FashionDataset"] * 3
    files = [dataset.ann_file for dataset in datasets]
    assert len(set(files)) == 3, "train, val and test are three files"


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_leaf_evaluates_the_file_that_it_loads(path: Path) -> None:
    cfg = config(path)
    for loader, evaluator in (
        (cfg.val_dataloader, cfg.val_evaluator),
        (cfg.test_dataloader, cfg.test_evaluator),
    ):
        assert evaluator.ann_file == loader.dataset.data_root + loader.dataset.ann_file
        assert loader.dataset.test_mode is True


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_leaf_epochs_and_rate_end_together(path: Path) -> None:
    cfg = config(path)
    ends = [s["end"] for s in cfg.param_scheduler if s.get("by_epoch")]
    assert ends and set(ends) == {cfg.train_cfg.max_epochs}
    for s in cfg.param_scheduler:
        assert all(m < cfg.train_cfg.max_epochs for m in s.get("milestones", []))


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_leaf_pipelines_reach_the_loaders(path: Path) -> None:
    # Re-assigning `train_pipeline` or `data_root` in a child changes no dataloader by itself.
    cfg = config(path)
    if "train_pipeline" in cfg:
        assert trained_on(cfg).pipeline == cfg.train_pipeline
    assert cfg.test_dataloader.dataset.pipeline == cfg.test_pipeline
    assert cfg.val_dataloader.dataset.pipeline == cfg.test_pipeline
    assert trained_on(cfg).data_root == cfg.data_root


@pytest.mark.parametrize("path", LEAVES[::4], ids=name_of)
def test_leaf_data_root_follows_fashion_data(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_DATA", "/somewhere else")
    cfg = load(path)
    assert cfg.train_dataloader.dataset.data_root.startswith("/somewhere else/")
    assert cfg.val_evaluator.ann_file.startswith("/somewhere else/")
    monkeypatch.delenv("FASHION_DATA")
    assert load(path).train_dataloader.dataset.data_root.startswith("data/")


def test_weights_come_from_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    path = CONFIGS / "fashion" / "mask_rcnn_r50.py"
    assert load(path).weights.startswith("https://download.openmmlab.com/")
    monkeypatch.setenv("FASHION_WEIGHTS", "none")
    assert load(path).weights == "none"


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_leaf_from_nothing_leaves_nothing_frozen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A frozen stage that no file filled would stay random for good.
    monkeypatch.setenv("FASHION_WEIGHTS", "none")
    monkeypatch.setenv("FASHION_BACKBONE", "none")
    cfg = load(path)
    assert cfg.weights == "none" and cfg.model.backbone.init_cfg is None
    assert cfg.model.backbone.frozen_stages == -1 and cfg.model.backbone.norm_eval is False


def test_cpu_recipes_take_their_backbone_from_one_variable(monkeypatch) -> None:
    for name in ("fashion/mask_rcnn_r18_cpu.py", "ccp/mask_rcnn_r50_ccp_cpu.py"):
        monkeypatch.setenv("FASHION_BACKBONE", "/a/file.pth")
        backbone = load(CONFIGS / name).model.backbone
        assert backbone.init_cfg == {"type": "Pretrained", "checkpoint": "/a/file.pth"}
        assert backbone.frozen_stages >= 1


def test_demo_starts_from_nothing_whatever_the_environment_says(monkeypatch) -> None:
    monkeypatch.setenv("FASHION_WEIGHTS", "/a/file.pth")
    monkeypatch.setenv("FASHION_BACKBONE", "/a/file.pth")
    cfg = load(CONFIGS / "demo" / "mask_rcnn_r18_demo.py")
    assert cfg.weights == "none" and cfg.model.backbone.init_cfg is None


def test_notebook_recipe_is_the_notebooks() -> None:
    cfg = config(CONFIGS / "fashion" / "mask_rcnn_r50_notebook.py")
    resize = next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == "Resize")
    assert resize.scale == (512, 512) and resize.keep_ratio is False
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.optim_wrapper.optimizer.lr == 2e-3
    assert cfg.optim_wrapper.optimizer.weight_decay == 1e-4
    assert cfg.optim_wrapper.clip_grad.max_norm == 5
    assert dict(cfg.param_scheduler[0])["milestones"] == [1]
    assert cfg.train_cfg.max_epochs == 3
    anchors = cfg.model.rpn_head.anchor_generator
    assert [anchors.scales[0] * s for s in anchors.strides] == [16, 32, 64, 128, 256]
    assert {"type": "HeadsFirstHook", "epochs": 1} in [dict(h) for h in cfg.custom_hooks]
    assert cfg.model.test_cfg.rcnn.score_thr == 0.7
    assert cfg.model.test_cfg.rcnn.nms.iou_threshold == 0.3
