"""ClassCheckHook: datasets, heads and checkpoints that name other classes stop the run."""

from __future__ import annotations

import pytest

from fashion_mmdet.core.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.mm

HOOKS = [dict(type="ClassCheckHook")]
SWAPPED = ("b", "a")


def model_with_heads(box: int, mask: int):
    import torch
    from toy_runner import ToyModel

    model = ToyModel()
    model.rpn_head = torch.nn.Module()
    model.rpn_head.num_classes = 1
    model.roi_head = torch.nn.Module()
    model.roi_head.bbox_head = torch.nn.ModuleList([torch.nn.Module()])
    model.roi_head.bbox_head[0].num_classes = box
    model.roi_head.mask_head = torch.nn.Module()
    model.roi_head.mask_head.num_classes = mask
    return model


def test_heads_of_the_right_number_train(tmp_path):
    from toy_runner import build

    build(tmp_path, epochs=1, model=model_with_heads(2, 2), custom_hooks=HOOKS).train()


@pytest.mark.parametrize(("box", "mask", "name"), [(49, 2, "bbox_head.0"), (2, 1, "mask_head")])
def test_heads_of_another_number_are_refused(tmp_path, box: int, mask: int, name: str):
    from toy_runner import build

    runner = build(tmp_path, epochs=1, model=model_with_heads(box, mask), custom_hooks=HOOKS)
    with pytest.raises(ConfigError, match=rf"{name}\.num_classes: 2 expected.*train_dataloader"):
        runner.train()


def test_validation_in_another_order_is_refused(tmp_path):
    from toy_runner import build

    runner = build(tmp_path, 1, validate=True, classes={"val": SWAPPED}, custom_hooks=HOOKS)
    with pytest.raises(ConfigError, match="val_dataloader.*class 0 is 'a' there and 'b' here"):
        runner.train()


def test_test_of_a_checkpoint_of_other_classes_is_refused(tmp_path):
    from toy_runner import build

    build(tmp_path / "a", epochs=1).train()
    keys = dict(load_from=str(tmp_path / "a/epoch_1.pth"), tests=True, custom_hooks=HOOKS)
    assert build(tmp_path / "b", **keys).test() == {"toy/score": 0.3}
    with pytest.raises(CheckpointError, match=r"epoch_1\.pth.*class 0 is 'a' there and 'b' here"):
        build(tmp_path / "c", classes={"test": SWAPPED}, **keys).test()


def test_resume_with_other_classes_is_refused(tmp_path):
    from toy_runner import build, train_until

    train_until(1, tmp_path, epochs=2)
    runner = build(
        tmp_path, 2, resume=True, classes={"train": ("a", "b", "c")}, custom_hooks=HOOKS
    )
    with pytest.raises(CheckpointError, match="class 2 is none there and 'c' here"):
        runner.train()


def test_start_from_a_checkpoint_of_other_classes_warns_where_the_classifier_fits(tmp_path):
    from toy_runner import build, log_text

    build(tmp_path / "a", epochs=1).train()
    keys = dict(load_from=str(tmp_path / "a/epoch_1.pth"), custom_hooks=HOOKS)
    build(tmp_path / "b", 1, classes={"train": SWAPPED}, **keys).train()
    build(tmp_path / "c", 1, classes={"train": ("a", "b", "c")}, **keys).train()
    assert "other classes of the same number: class 0 is 'a' there" in log_text(tmp_path / "b")
    assert "other classes" not in log_text(tmp_path / "c")


def test_joined_datasets_are_each_compared(tmp_path):
    from toy_runner import NoisySamples, build

    runner = build(tmp_path, epochs=1, custom_hooks=HOOKS)
    samples = NoisySamples()
    samples.metainfo = [{"classes": ("a", "b")}, {"classes": ["a", "b"], "palette": []}, {}]
    runner._train_dataloader["dataset"] = samples
    runner.train()
    samples.metainfo = [{"classes": ("a", "b")}, {"classes": SWAPPED}]
    runner = build(tmp_path, epochs=1, custom_hooks=HOOKS)
    runner._train_dataloader["dataset"] = samples
    with pytest.raises(ConfigError, match=r"train\[1\]_dataloader"):
        runner.train()


def test_head_with_one_mask_for_all_classes_is_not_asked():
    from fashion_mmdet.hooks import require_heads

    model = model_with_heads(2, 49)
    with pytest.raises(ConfigError):
        require_heads(model, ("a", "b"), "train")
    model.roi_head.mask_head.class_agnostic = True
    require_heads(model, ("a", "b"), "train")


def test_older_spellings_of_the_classes_are_read():
    from fashion_mmdet.hooks import trained_classes

    assert trained_classes({"meta": {"CLASSES": ("a", "b")}}) == ("a", "b")
    assert trained_classes({"meta": {"dataset_meta": {"CLASSES": ("a",)}}}) == ("a",)
    assert trained_classes({"meta": {"dataset_meta": {"classes": [1, "a"]}}}) is None


def test_checkpoint_that_names_no_classes_is_let_through():
    from fashion_mmdet.hooks import trained_classes

    for checkpoint in ({}, {"meta": None}, {"meta": {}}, {"meta": {"dataset_meta": {}}}):
        assert trained_classes(checkpoint) is None
    assert trained_classes({"meta": {"dataset_meta": {"classes": ["a"]}}}) == ("a",)


def test_member_of_an_ensemble_that_was_trained_on_other_classes_is_refused(tmp_path):
    from toy_runner import ToyModel, build

    def tested(name: str, **meta):
        model = ToyModel()  # what MaskTTAModel says of its members
        model.member_checkpoints = [("member.pth", {"meta": meta})]
        return build(tmp_path / name, tests=True, model=model, custom_hooks=HOOKS).test()

    assert tested("a") == tested("b", dataset_meta={"classes": ("a", "b")}) == {"toy/score": 0.3}
    with pytest.raises(CheckpointError, match=r"member\.pth.*class 0 is 'b' there and 'a' here"):
        tested("c", dataset_meta={"classes": SWAPPED})
