"""``FashionRunner``: mmengine's runner, with its silent turns made loud.

``runner_type = 'FashionRunner'`` in a config is all it takes; ``mim train``, ``mim test`` and
``fashion`` build it alike.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from fashion_mmdet.core.errors import CheckpointError, ConfigError


@RUNNERS.register_module()
class FashionRunner(Runner):
    """mmengine's ``Runner`` with these differences.

    * Starting weights are the config's top-level ``weights`` unless ``load_from`` says
      otherwise; ``weights='none'`` starts from the backbone's initialisation.
    * ``--resume`` takes the newest checkpoint that can be read. Where there is none yet, a run
      starts from ``weights`` as it would have without ``--resume`` (mmdet's ``tools/train.py``
      sets ``load_from`` to None, and stock mmengine then trains from random weights).
    * A resumed run reads no pretrained backbone: the checkpoint holds all of the model, and the
      file or the network may be gone.
    * A test leaves the config that a training has written in the work dir as it is (``--tta`` wraps
      the model, ``--cfg-options`` change it), and writes its own beside its log.
    * With a distributed launcher and no CUDA device it opens a gloo group; stock mmengine calls
      ``torch.cuda.set_device`` first and dies.
    """

    @classmethod
    def from_cfg(cls, cfg: Any) -> FashionRunner:
        """Build from a config; see the class for what ``weights`` means."""
        if not cfg.get("load_from") and not cfg.get("resume") and _named(cfg.get("weights")):
            cfg = cfg.copy()
            cfg.load_from = cfg.weights
        return super().from_cfg(cfg)

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """As stock; a default hook of ours that is None is switched off like one of mmengine's."""
        if hooks is not None:
            hooks = {k: v for k, v in hooks.items() if v is not None or k in _MMENGINES_HOOKS}
        super().register_default_hooks(hooks)

    def dump_config(self) -> None:
        """Write the config to the work dir, or where one lies there, beside the log."""
        name = os.path.basename(self.cfg.filename or "")
        if name and os.path.exists(os.path.join(self.work_dir, name)):
            if self.rank == 0:
                self.cfg.dump(os.path.join(self.log_dir, name))
        else:
            super().dump_config()

    def train(self) -> Any:
        """Train as stock; the config in the work dir becomes that of this training."""
        super().dump_config()
        return super().train()

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Open a gloo process group where there is no CUDA device, then set up as usual."""
        if self.distributed and not torch.cuda.is_available() and not dist.is_initialized():
            if self.launcher != "pytorch":
                raise ConfigError(
                    f"--launcher: 'none' or 'pytorch' expected on a machine without a GPU, got "
                    f"{self.launcher!r}. Use torchrun and --launcher pytorch."
                )
            if "RANK" not in os.environ:
                raise ConfigError(
                    "--launcher pytorch: a process started by torchrun expected, got none (RANK "
                    "is not set). Start it as: torchrun --nproc_per_node=N -m fashion_mmdet ..."
                )
            dist.init_process_group(backend="gloo")
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: Any) -> Any:
        """As stock; on CPUs without device ids, of which torch's wrapper wants none there."""
        if self.distributed and not torch.cuda.is_available():
            model_wrapper_cfg = {
                "type": "MMDistributedDataParallel",
                "broadcast_buffers": False,
                "find_unused_parameters": self.cfg.get("find_unused_parameters", False),
                **(model_wrapper_cfg or {}),
                "device_ids": None,
            }
        return super().wrap_model(model_wrapper_cfg, model)

    def _init_model_weights(self) -> None:
        """Initialise as stock, unless a checkpoint is about to fill the whole model."""
        self._settle_resume()
        if not self._resume:
            super()._init_model_weights()

    def load_or_resume(self) -> None:
        """Resume, load, or start anew, and say which."""
        if not self._has_loaded:
            self._settle_resume()
        super().load_or_resume()

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume as stock; an optimizer of other parameters is a sentence, not a traceback."""
        try:
            super().resume(filename, *args, **kwargs)
        except KeyError as error:
            raise CheckpointError(
                f"{filename}: a checkpoint with the state of a run of mmengine expected, got one "
                f"without {error}. Start from it instead: FASHION_WEIGHTS, or load_from."
            ) from None
        except ValueError as error:
            if "parameter group" not in str(error):
                raise
            raise CheckpointError(
                f"{filename}: the optimizer state of this config expected, got one of other "
                "parameters (frozen stages, weight decay groups). Resume with the config, and the "
                "FASHION_WEIGHTS and FASHION_BACKBONE, of the run's start."
            ) from None

    def _settle_resume(self) -> None:
        """Turn --resume into a start from ``weights`` where there is no checkpoint yet."""
        if self._resume and self._load_from is None:
            # FashionCheckpointHook has mended `last_checkpoint` by now, in its before_run.
            found = find_latest_checkpoint(self.work_dir)
            if not found or not os.path.isfile(found):
                self._resume = False
                weights = self.cfg.get("weights")
                self._load_from = weights if _named(weights) else None
                self.logger.warning(
                    f"--resume: no readable checkpoint in {self.work_dir}, starting from "
                    f"{self._load_from or 'the beginning'}."
                )


#: mmengine drops these by itself where a config says None
_MMENGINES_HOOKS = {
    "runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint",
}  # fmt: skip


def _named(weights: Any) -> bool:
    return bool(weights) and weights != "none"
