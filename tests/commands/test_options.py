"""--cfg-options: a key that means nothing is refused, with the nearest that does."""

from __future__ import annotations

import pytest

from fashion_mmdet.core.errors import ConfigError

pytestmark = pytest.mark.mm


@pytest.fixture(scope="module")
def cfg(request: pytest.FixtureRequest):
    from mmengine.config import Config

    repo = request.config.rootpath
    return Config.fromfile(str(repo / "configs" / "fashion" / "mask_rcnn_r50.py"))


@pytest.mark.parametrize(
    "key",
    [
        "optim_wrapper.optimizer.lr",
        "train_cfg.max_epochs",
        "param_scheduler.1.milestones",
        "randomness.seed",
        "wandb.mode",
        # left at its default in the config, but a parameter of what stands there
        "train_dataloader.dataset.check_photos",
        "train_dataloader.dataset.indices",
        "model.backbone.with_cp",
        "optim_wrapper.clip_grad",
        "default_hooks.checkpoint.published_keys",
        "train_dataloader.multiprocessing_context",
        "randomness.deterministic",
        "optim_wrapper.paramwise_cfg",
        "weights",
        "load_from",
        "experiment_name",
    ],
)
def test_option_that_means_something_is_taken(cfg, key: str) -> None:
    from fashion_mmdet.commands.options import check_key, register

    register(cfg)
    check_key(cfg, key)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("optim_wraper.optimizer.lr", "optim_wrapper"),
        ("optim_wrapper.optimiser.lr", "optimizer"),
        ("train_cfg.max_epoch", "max_epochs"),
        ("train_dataloader.batchsize", "batch_size"),
        ("train_dataloader.dataset.data_rot", "data_root"),
        ("model.backbone.frozen_stage", "frozen_stages"),
        ("model.roi_head.bbox_head.num_class", "num_classes"),
        ("param_scheduler.1.gama", "gamma"),
        ("param_scheduler.7.gamma", "0 to 1"),
        ("randomness.seeds", "seed"),
        ("wandb.mod", "mode"),
        # variables of the config files, which have used them already
        ("data_root", "FASHION_DATA"),
        ("train_pipeline.2.scale", "train_dataloader.dataset.pipeline"),
        ("num_classes", "model.roi_head.bbox_head.num_classes"),
        ("train_cfg.max_epochs.x", "max_epochs"),
    ],
)
def test_option_that_means_nothing_is_refused_with_the_nearest(cfg, key: str, hint: str) -> None:
    from fashion_mmdet.commands.options import merge_options

    with pytest.raises(ConfigError, match=hint) as error:
        merge_options(cfg, {key: 1})
    assert key in str(error.value)


@pytest.mark.parametrize(
    ("key", "given", "said"),
    [
        ("optim_wrapper.optimizer.lr", "abc", r"a number .* \(the config has 0.02\), got .abc.\."),
        ("optim_wrapper.optimizer.lr", True, "a number expected .*got True"),
        ("optim_wrapper.optimizer.lr", [0, 2], r"a number expected .*got \[0, 2\]"),
        ("train_cfg.max_epochs", "12 epochs", r"a number expected \(the config has 12\)"),
        ("param_scheduler.1.gamma", "a", r"a number expected \(the config has 0.1\)"),
        ("auto_scale_lr.enable", 1, r"true or false expected \(the config has True\), got 1"),
        ("auto_scale_lr.enable", "yes", "true or false expected"),
        ("model", 3, "a dict expected, got 3. Set what is in it: model.type, .*, ..."),
        ("wandb", "offline", "a dict expected, got 'offline'. .*: wandb.mode, wandb.project.$"),
        ("param_scheduler.1", "cosine", "a dict expected"),
    ],
)  # fmt: skip
def test_option_of_another_kind_is_refused_with_what_the_config_has(
    cfg, key: str, given: object, said: str
) -> None:
    from fashion_mmdet.commands.options import merge_options

    copy = cfg.copy()
    with pytest.raises(ConfigError, match=f"^--cfg-options {key}: {said}"):
        merge_options(copy, {key: given})
    assert copy._cfg_dict == cfg._cfg_dict, "nothing is merged"


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("optim_wrapper.optimizer.lr", 1),  # int and float stand for one another
        ("train_cfg.max_epochs", 3.0),
        ("train_cfg.max_epochs", None),
        ("model.backbone.init_cfg", None),
        ("randomness.seed", None),
        ("load_from", "a.pth"),  # None in the config
        ("work_dir", 5),  # not in the config
        ("optim_wrapper.clip_grad", "abc"),  # left at its default: its kind is not known
        ("wandb.mode", ["a"]),  # a text gives way
        ("param_scheduler.1.milestones", 8),  # a list gives way
        ("auto_scale_lr.enable", False),
    ],
)
def test_option_of_a_kind_that_may_do_is_taken(cfg, key: str, given: object) -> None:
    from fashion_mmdet.commands.options import merge_options

    copy = cfg.copy()
    merge_options(copy, {key: given})
    node = copy._cfg_dict
    for part in key.split("."):
        node = node[int(part) if part.isdigit() else part]
    assert node == given


def test_option_of_another_kind_is_one_line(capsys, repo_dir) -> None:
    from fashion_mmdet.commands import main

    config = str(repo_dir / "configs" / "fashion" / "mask_rcnn_r50.py")
    words = ["train", config, "--cfg-options", "optim_wrapper.optimizer.lr=abc"]
    assert main(words) == 1
    assert capsys.readouterr().err == (
        "error: --cfg-options optim_wrapper.optimizer.lr: a number expected (the config has "
        "0.02), got 'abc'.\n"
    )


def test_options_are_merged(cfg) -> None:
    from fashion_mmdet.commands.options import merge_options

    copy = cfg.copy()
    merge_options(copy, {"optim_wrapper.optimizer.lr": 0.5, "param_scheduler.1.gamma": 0.2})
    assert copy.optim_wrapper.optimizer.lr == 0.5 and copy.param_scheduler[1].gamma == 0.2


def test_option_for_parameters_by_name_is_taken(request: pytest.FixtureRequest) -> None:
    from mmengine.config import Config

    from fashion_mmdet.commands.options import check_key, register

    path = request.config.rootpath / "configs" / "ccp" / "mask_rcnn_r50_ccp_cpu.py"
    cfg = Config.fromfile(str(path))
    register(cfg)
    check_key(cfg, "optim_wrapper.paramwise_cfg.custom_keys.neck.lr_mult")


@pytest.mark.parametrize("words", [["foo"], ["a=[1,"]])
def test_option_that_cannot_be_read_is_wrong_usage(words: list[str]) -> None:
    from fashion_mmdet.commands import main

    with pytest.raises(SystemExit) as stop:
        main(["train", "x.py", "--cfg-options", *words])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    "text",
    ["_base_ = 'mmdet::nope.py'", "a = b", "model = dict()", "x = (", "\xff"],
)
def test_config_that_cannot_be_read_is_one_line(tmp_path, capsys, text: str) -> None:
    from fashion_mmdet.commands import main

    path = tmp_path / "bad.py"
    path.write_bytes(text.encode("latin-1"))
    assert main(["train", str(path)]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {path}") and "expected" in printed


@pytest.mark.parametrize("which", ["config", "checkpoint"])
def test_figures_never_overwrite_what_they_are_of(tmp_path, capsys, repo_dir, which: str) -> None:
    from fashion_mmdet.commands import main

    checkpoint = tmp_path / "epoch_1.pth"
    checkpoint.write_bytes(b"hours of training")
    config = tmp_path / "c.py"
    config.write_text(f"_base_ = {str(repo_dir / 'configs/demo/mask_rcnn_r18_demo.py')!r}\n")
    out = {"config": config, "checkpoint": checkpoint}[which]
    before = out.read_bytes()
    assert main(["test", str(config), str(checkpoint), "--out", str(out), "--force"]) == 1
    assert "another file than the input expected" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_scope_of_the_config_is_current_whatever_was_made_before() -> None:
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from fashion_mmdet.commands.options import register

    if not DefaultScope.check_instance_created("mmdet"):
        DefaultScope.get_instance("mmdet", scope_name="mmdet")
    DefaultScope.get_instance("test-last", scope_name="mmengine")
    register(Config({"default_scope": "mmdet"}))
    assert DefaultScope.get_current_instance().scope_name == "mmdet"
