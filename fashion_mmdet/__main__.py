"""``python -m fashion_mmdet`` is ``fashion``; torchrun needs the module form."""

import sys

from fashion_mmdet.commands import main

if __name__ == "__main__":
    sys.exit(main())
