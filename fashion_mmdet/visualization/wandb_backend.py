"""``FashionWandbBackend``: the one place where Weights & Biases starts.

The switch is the config's ``wandb.mode``. Whatever W&B does, training goes on.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import VISBACKENDS
from mmengine.visualization import BaseVisBackend

from fashion_mmdet.core.errors import ConfigError, did_you_mean
from fashion_mmdet.core.provenance import code, masked, masked_text

MODES = ("off", "offline", "online")


@VISBACKENDS.register_module()
class FashionWandbBackend(BaseVisBackend):
    """Log a run to W&B where ``cfg.wandb.mode`` says so.

    ``wandb = dict(mode=..., project=...)`` at the top level of the config is read when the run
    starts, so ``--cfg-options wandb.mode=offline`` works. Modes:

    * ``off``: nothing happens, ``wandb`` is not imported;
    * ``offline``: the run is written below ``work_dir/wandb``, for ``wandb sync`` to upload;
    * ``online``: uploaded as it goes; without a login or a network it becomes ``offline``.

    Logged: training scalars as ``train/<name>`` over ``iter``, metrics under their own names
    over ``val/step`` (mmengine's step: the epoch, or the iteration), pictures over ``iter``, the
    resolved config with what looks like a secret masked, and the git revision. Not logged:
    environment variables, code, git remotes, console output. W&B's own step only ever counts
    up, which is why it drops a metric logged by epoch after losses logged by iteration; the axes
    here are columns of their own.

    What W&B's own variables say of a run counts before what this class would say: WANDB_NAME,
    WANDB_RUN_ID, WANDB_RESUME, WANDB_RUN_GROUP, WANDB_JOB_TYPE, WANDB_TAGS and WANDB_NOTES. Under
    a W&B agent the run is the one that the agent names, in the sweep's project, and W&B names it.
    Its parameters are in the run's config beside ours; below a parameter that is a dict, ours are
    told by dotted keys, as W&B gives the whole of it to the sweep.

    The W&B run starts with the first thing logged, so testing a checkpoint starts none. A
    failure of W&B at any time is said once and never stops training.

    Args:
        save_dir: mmengine's folder of this run; used where the config names no ``work_dir``.
        init_timeout_s: longest wait for W&B at the start.
        finish_timeout_s: longest wait for the upload at the end.
    """

    def __init__(
        self, save_dir: str, init_timeout_s: float = 30.0, finish_timeout_s: float = 120.0
    ) -> None:
        super().__init__(save_dir)
        self.init_timeout_s = init_timeout_s
        self.finish_timeout_s = finish_timeout_s
        self._mode = "off"
        self._project = ""
        self._config: dict[str, Any] = {}
        self._name = ""
        self._dir = save_dir
        self._run: Any = None
        self._axes: set[str] = set()
        self._failures = 0

    @property
    def experiment(self) -> Any:
        """The W&B run; None while there is none."""
        return self._run

    def _init_env(self) -> None:
        """Nothing to do: the run starts with the first thing logged."""

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Read the switch. mmengine calls this once, on the main process, before training.

        Raises:
            ConfigError: for an unknown mode or key.
        """
        switch = dict(config.get("wandb") or {"mode": "off"})
        unknown = sorted(set(switch) - {"mode", "project"})
        if unknown:
            raise ConfigError(
                f"wandb: the keys 'mode' and 'project' expected, got {unknown[0]!r}."
                f"{did_you_mean(unknown[0], ('mode', 'project'))}"
            )
        self._mode = switch.get("mode")
        if self._mode not in MODES:
            raise ConfigError(
                f"wandb.mode: one of 'off', 'offline' or 'online' expected, got {self._mode!r}."
                f"{did_you_mean(self._mode, MODES)}"
            )
        if self._mode == "off":
            return
        self._project = switch.get("project") or "fashion-mmdet"
        self._dir = os.path.abspath(config.get("work_dir") or self._save_dir)
        self._name = Path(config.filename).stem if config.filename else Path(self._dir).name
        self._config = {**masked(config.to_dict()), "git": _git()}

    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs: Any) -> None:
        """Log one value over ``iter``."""
        self._log({name: value}, "iter", step)

    def add_scalars(
        self, scalar_dict: dict[str, Any], step: int = 0, file_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Log the scalars of a training interval (mmengine puts ``iter`` in) or a validation."""
        training = "iter" in scalar_dict
        prefix = "train/" if training else "val/"
        row = {
            key if "/" in key else prefix + key: value
            for key, value in scalar_dict.items()
            if key != "iter"
        }
        self._log(row, "iter" if training else "val/step", step)

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: Any) -> None:
        """Log an RGB picture, (height, width, 3) uint8, as ``pictures/<name>`` over ``iter``."""
        if self._mode == "off":
            return

        def picture() -> Any:
            import wandb

            return wandb.Image(image, caption=f"{name}, step {step}", file_type="jpg")

        self._log({f"pictures/{name}": picture}, "iter", step)

    def close(self) -> None:
        """Finish the run; what is logged later is not."""
        run, self._run, mode, self._mode = self._run, None, self._mode, "off"
        if run is not None:
            self._guarded("finish", run.finish)
        if self._failures > 1:
            _say(f"W&B failed {self._failures} times in this run ({mode}).", logging.WARNING)

    def _log(self, row: dict[str, Any], axis: str, step: int) -> None:
        if self._mode == "off":
            return
        self._guarded("log", lambda: self._log_unguarded(row, axis, step))

    def _log_unguarded(self, row: dict[str, Any], axis: str, step: int) -> None:
        if self._run is None:
            self._start()
        if self._run is None:
            return
        for key in row:
            pattern = f"{key.split('/', 1)[0]}/*" if "/" in key else key
            if pattern not in self._axes:
                self._run.define_metric(pattern, step_metric=axis)
                self._axes.add(pattern)
        values = {k: v() if callable(v) else _number(v) for k, v in row.items()}
        self._run.log({axis: int(step), **{k: v for k, v in values.items() if v is not None}})

    def _start(self) -> None:
        """Open the run, offline where online fails; where that fails too, switch off."""
        try:
            import wandb
        except Exception as error:
            self._mode = "off"
            _say(f"W&B: this run is not logged: {_first_line(error)}.", logging.WARNING)
            return
        os.makedirs(self._dir, exist_ok=True)
        if self._mode == "online":
            try:
                wandb.setup(settings=wandb.Settings(silent=True))
                if not wandb.login(prompt=False, verify=False):
                    raise RuntimeError("no login; run `wandb login` or set WANDB_API_KEY")
                self._run = self._init(wandb, "online")
                _say(f"W&B: online as {self._run.url}.")
                return
            except Exception as error:
                _say(
                    f"W&B: online expected, got {_first_line(error)}. This run is logged offline.",
                    logging.WARNING,
                )
        try:
            self._run = self._init(wandb, "offline")
        except BaseException:
            self._mode = "off"
            raise
        folder = Path(self._run.dir).parent
        _say(f"W&B: offline in {folder}. Upload it with: wandb sync {shlex.quote(str(folder))}")

    def _init(self, wandb: Any, mode: str) -> Any:
        in_sweep = bool(os.environ.get("WANDB_SWEEP_ID"))
        return wandb.init(
            project=None if in_sweep else self._project,
            name=os.environ.get("WANDB_NAME") or (None if in_sweep else self._name),
            dir=self._dir,
            config=_beside(self._config, _sweep_parameters()),
            mode=mode,
            reinit="finish_previous",
            settings=wandb.Settings(
                silent=True,
                # The console shows the config unmasked, and git remotes may hold a token.
                console="off",
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_disable_meta=True,
                init_timeout=self.init_timeout_s,
                finish_timeout=self.finish_timeout_s,
            ),
        )

    def _guarded(self, what: str, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:
            self._failures += 1
            if self._failures == 1:
                _say(
                    f"W&B: {what} failed: {_first_line(error)}. Training goes on; further "
                    "failures are counted.",
                    logging.WARNING,
                )


def _sweep_parameters() -> dict[str, Any]:
    """Return the parameters that a W&B agent has given this run, as its file has them."""
    path = os.environ.get("WANDB_SWEEP_PARAM_PATH")
    try:
        with open(path or os.devnull, encoding="utf-8") as file:
            held = yaml.safe_load(file) or {}
        return {key: item["value"] for key, item in held.items() if isinstance(item, Mapping)}
    except (OSError, ValueError, KeyError, AttributeError, yaml.YAMLError):
        return {}  # W&B reads it, too, and says what is wrong with it


def _beside(config: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return ``config`` with what W&B would drop for a dict of ``parameters`` under dotted keys.

    >>> _beside({"cfg": {"epochs": 3, "by": "x"}, "lr": 1}, {"cfg": {"epochs": 3}, "lr": 1})
    {'lr': 1, 'cfg.by': 'x'}
    """
    clash = [k for k in config if isinstance(parameters.get(k), Mapping)]
    given = {key for name in clash for key, _ in _leaves(name, parameters[name])}
    kept = {key: value for key, value in config.items() if key not in clash}
    for name in clash:
        kept.update((k, v) for k, v in _leaves(name, config[name]) if k not in given)
    return kept


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        yield key, value
        return
    for name, item in value.items():
        yield from _leaves(f"{key}.{name}", item)


def _number(value: Any) -> float | int | None:
    """Return a scalar of any kind as a Python number; None for what is not one."""
    if hasattr(value, "item") and getattr(value, "size", 1) != 0:
        try:
            value = value.item()
        except (ValueError, RuntimeError):
            return None
    return value if isinstance(value, (int, float)) else None


def _git() -> dict[str, Any] | None:
    found = code()
    return None if found is None else {"revision": found.revision, "dirty": not found.clean}


def _first_line(error: BaseException) -> str:
    text = masked_text(str(error)).strip() or "no message"
    return f"{type(error).__name__}: {text.splitlines()[0]}"


def _say(message: str, level: int = logging.INFO) -> None:
    print_log(message, logger="current", level=level)
