"""The CSV that iMaterialist (Fashion) 2019 takes as an entry: written, and read back.

Its columns are ``ImageId,EncodedPixels,ClassId``, one row per instance. ``ImageId`` is the photo's
name, ``.jpg`` included; ``EncodedPixels`` are Kaggle's run lengths (from one, down the columns) on
a grid of 512 x 512 pixels, whatever the photo's size; ``ClassId`` is the category's number, 0 to
45. No pixel may lie in two masks of one class of a photo, and every photo of
``sample_submission.csv`` must have a row.

A known loss: where a class has attributes, the competition wants them behind ``_`` (``6_1_2``) and
counts a mask without them as a miss. Our models predict none, so the number stands alone.

    fashion data submission results.json images.json --sample sample_submission.csv \\
        --out submission.csv
    fashion data check-submission submission.csv --sample sample_submission.csv

:mod:`.rules` has the competition's numbers, :mod:`.ids` its names of photos. :mod:`.writing` makes
the CSV of predictions, :mod:`.results` these of COCO results (the first command). :mod:`.checking`
reads it back: :mod:`.reading` lines and fields, :mod:`.overlaps`, :mod:`.findings`
(:mod:`.check_command`, the second).

Source: https://www.kaggle.com/c/imaterialist-fashion-2019-FGVC6/overview/evaluation
"""

from .checking import check_submission
from .findings import Findings, SubmissionCheck
from .ids import read_ids, require_ids, require_plain_name
from .writing import SubmissionPhoto, SubmissionReport, write_submission

__all__ = [
    "Findings",
    "SubmissionCheck",
    "SubmissionPhoto",
    "SubmissionReport",
    "check_submission",
    "read_ids",
    "require_ids",
    "require_plain_name",
    "write_submission",
]
