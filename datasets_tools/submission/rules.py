"""The numbers of the competition: columns, grid, classes, attributes, the row of an empty image.

Source: https://www.kaggle.com/c/imaterialist-fashion-2019-FGVC6/overview/evaluation
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from fashion_mmdet.core import ontology

COLUMNS = ("ImageId", "EncodedPixels", "ClassId")
#: Pixels a side of the competition's masks.
SIZE_PX = 512
#: No competition has had a larger grid, and a photo of fewer pixels takes memory for each of it.
MOST_SIZE_PX = 4096
#: Smaller masks are left out. A wrong one costs as much as a large one, and few are right: the
#: winner of 2019 gained .001 by leaving out those below 20 px.
MIN_AREA_PX = 20
#: Shoe types are handed in as this class.
SHOE = ontology.CLASSES_46.index("shoe")
#: One pixel, in the corner: what a photo without a finding hands in, for it must have a row.
EMPTY_RUNS = "1 1"
#: The class that the row of such a photo names.
EMPTY_CLASS = SHOE
#: Class name -> ClassId.
CLASS_IDS: Mapping[str, int] = {
    **{name: number for number, name in enumerate(ontology.CLASSES_46)},
    **dict.fromkeys(ontology.SHOE_TYPES, SHOE),
}
#: The attributes of 2019 are numbered 0 to 91.
N_ATTRIBUTES = 92


def add_size(parser: argparse.ArgumentParser) -> None:
    """Add ``--size``, the grid of the masks."""
    parser.add_argument(
        "--size",
        type=int,
        default=SIZE_PX,
        metavar="PX",
        help=f"side of the grid of the masks (default: {SIZE_PX})",
    )
