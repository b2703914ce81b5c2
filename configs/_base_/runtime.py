"""How a run behaves, whatever it trains: hooks, logging, W&B, environment."""

_base_ = "mmdet::_base_/default_runtime.py"

# Everything of ours that a config names by string is registered by this import.
custom_imports = dict(imports=["fashion_mmdet.register"], allow_failed_imports=False)
runner_type = "FashionRunner"

# What --tta wraps the model in; the views are the tta_pipeline of the data.
tta_model = dict(type="MaskTTAModel")

# The one W&B switch: off, offline or online. FASHION_WANDB=offline, or
# --cfg-options wandb.mode=offline; both also under mim.
wandb = dict(mode="{{$FASHION_WANDB:off}}", project="fashion-mmdet")

default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(
        type="FashionCheckpointHook",
        interval=1,
        max_keep_ckpts=2,
        save_best="coco/segm_mAP",
        rule="greater",
    ),
    visualization=dict(_delete_=True, type="FashionVisualizationHook", count=8, score_thr=0.5),
    weights_report=dict(type="WeightsReportHook"),
    class_check=dict(type="ClassCheckHook"),
    leak_check=dict(type="LeakCheckHook"),
    finite_loss=dict(type="FiniteLossHook"),
    run_record=dict(type="RunRecordHook"),
)

vis_backends = [dict(type="LocalVisBackend"), dict(type="FashionWandbBackend")]
visualizer = dict(type="FashionVisualizer", vis_backends=vis_backends)

randomness = dict(seed=0)
