"""A text with each of its tokens in a color of its own: the tokenizer room's, under this name."""

from dilmac.tokenizer import tokens_html

__all__ = ["tokens_html"]
