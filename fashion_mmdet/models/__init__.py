"""Models and parts of them; importing the package registers them."""

from .encoded_mask_head import EncodedMask, EncodedMaskHead
from .mask_tta import MaskTTAModel
from .tta_config import with_tta

__all__ = ["EncodedMask", "EncodedMaskHead", "MaskTTAModel", "with_tta"]
