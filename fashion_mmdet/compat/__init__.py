"""What makes stock mmdet, mmengine and mim run, safely, on today's PyTorch.

Small, alone, removable: nothing here imports another room of this project, and importing it
imports no torch. :func:`autoload` is the project's entry point in the group
``torch.backends``, which torch calls at the end of every ``import torch`` (torch >= 2.5).

* ``operators_finder``: answers ``import mmcv._ext`` with ``operators`` (torch and torchvision)
  where no compiled mmcv is installed.
* ``after_import``: runs the two modules below as soon as the mmengine module that they
  register with has been imported, and not before.
* ``checkpoints``: reads checkpoints without running what is inside them, with the help of
  ``stand_ins``, the exact list of what a checkpoint of plain mmengine may hold.
* ``file_backend``: writes files so that a stop leaves the old or the new one.
"""

from __future__ import annotations

import os


def autoload() -> None:
    """Install the import hooks; cheap (no import of torch, mmcv or mmengine) and idempotent.

    ``FASHION_COMPAT=0`` in the environment turns all of it off.
    """
    if os.environ.get("FASHION_COMPAT", "1") == "0":
        return
    from . import after_import, operators_finder

    operators_finder.install()
    after_import.install()
