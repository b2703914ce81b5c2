"""Saves checkpoints that are plain and whole, and resumes from the newest that can be read."""

from __future__ import annotations

import contextlib
import re
import time
import zipfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader, Runner

from fashion_mmdet.core.errors import CheckpointError, ConfigError, did_you_mean
from fashion_mmdet.core.files import atomic_open

from .plain import HISTORY_FORMAT, pack_history, plain, unpack_history
from .rng import rng_state, set_rng_state

_UNFINISHED = re.compile(r"\.(?:(?:epoch|iter|best)_.*\.pth|last_checkpoint)\..*\.part")
_NUMBERED = re.compile(r"(?:epoch|iter)_(\d+)\.pth")


@HOOKS.register_module()
class FashionCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, with the same arguments and these differences.

    * A checkpoint holds tensors and plain values only, so ``torch.load(weights_only=True)``
      reads it with nothing allow-listed; the log history comes back on load. What has no plain
      form is left out and named in a warning.
    * The new checkpoint is saved before an old one is removed, last and best alike. For a moment
      the disk holds one more than ``max_keep_ckpts``.
    * ``last_checkpoint`` is written whole or not at all; a resume that finds it missing, empty or
      pointing to an unreadable file takes the newest checkpoint that can be read, and says so.
    * A checkpoint's list of files to remove (``best_ckpt``, ``keep_ckpt_ids``) is followed inside
      the folder of checkpoints only.
    * The state of the random generators is saved, and a resume by epoch goes on from it.

    Resuming by epoch is bit-equal to not having stopped, random augmentation included, on one
    process with ``num_workers=0`` (or with workers that end with each epoch: mmengine seeds them
    anew) and deterministic kernels. It is not: with ``persistent_workers``, whose generators live
    in the workers; on several processes, whose generators differ and of which only one saves; by
    iteration, where mmengine replays the data loader. For the same end, validation does not
    advance the generators that training uses.
    """

    _rng: dict[str, Any] | None = None
    """The generators between two training epochs: as the former left them."""
    _rng_epoch: int | None = None
    """Epoch that a loaded ``_rng`` belongs to; None for one of this run."""

    def before_run(self, runner: Runner) -> None:
        """Mend ``last_checkpoint`` where it would mislead the resume that comes next."""
        super().before_run(runner)
        # No public name tells a hook that a resume without a given file is about to come.
        if not runner._resume or runner._load_from is not None:
            return
        if is_main_process():
            found = latest_checkpoint(runner.work_dir)
            if found is not None and found != _pointed_to(Path(runner.work_dir)):
                runner.logger.warning(
                    f"last_checkpoint of {runner.work_dir} is missing or points to nothing that "
                    f"can be read. Resuming from {found}."
                )
                _point_to(runner.work_dir, str(found))
        barrier()

    def before_train(self, runner: Runner) -> None:
        """As stock; takes from a resumed message hub only what lies in the checkpoint folder."""
        info = runner.message_hub.runtime_info
        steps = info.get("keep_ckpt_ids", [])
        if not isinstance(steps, list) or not all(type(step) is int for step in steps):
            runner.logger.warning(f"keep_ckpt_ids: whole numbers expected, got {steps}. Ignored.")
            info["keep_ckpt_ids"] = []
        super().before_train(runner)
        for key in [k for k in info if k.startswith("best_ckpt")]:
            if not _inside(self.out_dir, info[key]):
                runner.logger.warning(
                    f"{key}: a file in {self.out_dir} expected, got {info[key]!r}. It is kept when "
                    "a better one comes."
                )
                runner.message_hub.pop_info(key)
                self._forget_best(key)
        if is_main_process() and Path(self.out_dir).is_dir():
            for part in Path(self.out_dir).glob(".*.part"):
                # Left by a save that was killed. A fresh one may be another run's, being written.
                if _UNFINISHED.match(part.name) and time.time() - part.stat().st_mtime > 3600:
                    part.unlink(missing_ok=True)
                    runner.logger.info(f"{part}: an unfinished checkpoint, removed.")

    def before_train_epoch(self, runner: Runner) -> None:
        """Put the random generators where the last training epoch left them."""
        if self._rng is not None and self._rng_epoch in (None, runner.epoch):
            set_rng_state(self._rng)
        self._rng = self._rng_epoch = None

    def after_train_epoch(self, runner: Runner) -> None:
        """Note the random generators, then save as stock does."""
        if self.by_epoch and get_world_size() == 1:
            self._rng = rng_state()
        super().after_train_epoch(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Make the checkpoint plain, and add the random generators to it."""
        hub = checkpoint["message_hub"]
        hub["log_scalars"] = pack_history(hub["log_scalars"])
        hub["history_format"] = HISTORY_FORMAT
        if self._rng is not None:
            checkpoint["rng_state"] = self._rng
        dropped: list[str] = []
        for key in list(checkpoint):
            checkpoint[key] = plain(checkpoint[key], dropped, key)
        if dropped:
            runner.logger.warning(
                f"checkpoint: plain values expected, got {', '.join(dropped)}. Left out."
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Bring the log history back; keep the random generators for a resume by epoch."""
        meta = checkpoint.get("meta")
        if runner._resume and not (isinstance(meta, dict) and "epoch" in meta and "iter" in meta):
            raise CheckpointError(
                f"--resume {runner._load_from}: a checkpoint of a training run expected, got "
                "weights alone. Start from weights with FASHION_WEIGHTS=<file> instead."
            )
        if isinstance(checkpoint.get("message_hub"), dict):
            unpack_history(checkpoint["message_hub"])
        state = checkpoint.pop("rng_state", None)
        if state is None or not isinstance(meta, dict) or not self.by_epoch:
            return
        if get_world_size() == 1 and isinstance(meta.get("epoch"), int):
            # Loading weights only leaves the runner at epoch 0, where this is then not used.
            self._rng, self._rng_epoch = state, meta["epoch"]

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        outdated: list[int] = []
        if self.max_keep_ckpts > 0:
            kept = [s for s in self.keep_ckpt_ids if s != step] + [step]
            outdated, kept = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            runner.message_hub.update_info("keep_ckpt_ids", kept)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        _point_to(runner.work_dir, self.last_ckpt)
        for old in outdated:
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        if not self.save_best:
            return
        for key in self.key_indicators:
            if key != "auto" and key not in metrics:
                raise ConfigError(
                    f"save_best: one of {sorted(metrics)} expected, got {key!r}."
                    f"{did_you_mean(key, metrics)} Set it to a metric of the evaluator."
                )
        with self._removing_last():
            super()._save_best_checkpoint(runner, metrics)

    @contextlib.contextmanager
    def _removing_last(self) -> Iterator[None]:
        """Hold back the removals of the file backend until all is saved."""
        remove = self.file_backend.remove  # the backend is this hook's own
        held_back: list[str] = []
        self.file_backend.remove = held_back.append
        try:
            yield
        finally:
            self.file_backend.remove = remove
        saved = {self.last_ckpt, getattr(self, "best_ckpt_path", None)}
        saved |= set(getattr(self, "best_ckpt_path_dict", {}).values())
        for path in held_back:
            if path not in saved:  # a run from the same epoch saves under the same name
                remove(path)

    def _forget_best(self, info_key: str) -> None:
        if not self.save_best:
            return
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = None
        else:
            self.best_ckpt_path_dict[info_key[len("best_ckpt_") :]] = None


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the checkpoint of ``work_dir`` to resume from, or None where there is none yet.

    That is the one ``last_checkpoint`` names, if it can be read to its end; otherwise the most
    recently written ``epoch_*.pth`` or ``iter_*.pth`` that can. (Best checkpoints have no
    optimizer state.) A file of that name in ``work_dir`` itself comes first: a copied work dir
    goes on from its own.

    Raises:
        CheckpointError: where there are checkpoints and none can be read; starting anew would
            write over them.
    """
    folder = Path(work_dir)
    pointed = _pointed_to(folder)
    candidates = [] if pointed is None else [folder / pointed.name, pointed]
    numbered = [(p, m) for p in folder.glob("*_*.pth") if (m := _NUMBERED.fullmatch(p.name))]
    numbered.sort(key=lambda pm: (pm[0].stat().st_mtime_ns, int(pm[1][1])), reverse=True)
    candidates += [path for path, _match in numbered]
    for path in candidates:
        if path.is_file() and _is_whole(path):
            return path
    if numbered:
        raise CheckpointError(
            f"{folder}: a checkpoint that can be read expected, got {len(numbered)} that cannot "
            f"({', '.join(sorted(p.name for p, _m in numbered)[:3])}). Copy a good one here, or "
            "move them away to start anew."
        )
    return None


def _pointed_to(folder: Path) -> Path | None:
    try:
        name = (folder / "last_checkpoint").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Path(name) if name and "\0" not in name else None


def _point_to(work_dir: str, checkpoint: str) -> None:
    with atomic_open(Path(work_dir) / "last_checkpoint") as stream:
        stream.write(checkpoint)


def _is_whole(path: Path) -> bool:
    """Whether the file can be read to its end: by its checksums, else by reading it."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
        CheckpointLoader.load_checkpoint(str(path), map_location="cpu", logger="silent")
        return True
    except Exception:  # a broken file can raise anything at all; which is the answer
        return False


def _inside(folder: str, path: Any) -> bool:
    return isinstance(path, str) and Path(path).resolve().parent == Path(folder).resolve()
