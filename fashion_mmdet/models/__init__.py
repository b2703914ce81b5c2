"""Parts of models; importing the package registers them."""

from .encoded_mask_head import EncodedMask, EncodedMaskHead

__all__ = ["EncodedMask", "EncodedMaskHead"]
