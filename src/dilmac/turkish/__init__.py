"""The language itself: casing and normalization. No models, no files."""

from dilmac.turkish.casing import lower, upper
from dilmac.turkish.normalization import nfc

__all__ = ["lower", "nfc", "upper"]
