"""Bytes into text by what they look like: UTF-8, damaged UTF-8, Turkish Windows, or none."""

from __future__ import annotations

# Bytes that no text has: below the space, but for tab, line and form feed, return and escape.
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 27})
MAX_CONTROL_SHARE = 0.02  # of the bytes; random ones have 0.1, UTF-16 without its mark 0.4
STRAY_CONTROLS = 3  # a few in a short line are a slip, which repair takes out


def decode(data: bytes) -> str:
    """UTF-8 where most of it is, else Turkish Windows' own encoding (cp1254).

    cp1254 takes every byte but seven: what is no Turkish afterwards is found by the language step.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    # In cp1254 hardly two letters in a row make a valid UTF-8 sequence; in UTF-8 that was cut or
    # scratched most do. Read as cp1254 it would turn into mojibake from end to end.
    num_bad = text.count("\N{REPLACEMENT CHARACTER}")
    num_good = len(text) - len(text.encode("ascii", "ignore")) - num_bad
    return text if num_good >= num_bad else data.decode("cp1254", "replace")


def has_controls(data: bytes) -> bool:
    """Whether bytes hold a control character."""
    return _num_controls(data) > 0


def is_binary(data: bytes) -> bool:
    """Whether bytes hold more control characters than any text."""
    return _num_controls(data) > max(STRAY_CONTROLS, MAX_CONTROL_SHARE * len(data))


def _num_controls(data: bytes) -> int:
    return len(data) - len(data.translate(None, _CONTROLS))


def show(data: bytes, max_bytes: int | None = None) -> str:
    """Bytes as they can stand in a report, what cannot be decoded as `\\xNN`."""
    return data[:max_bytes].decode("utf-8", "backslashreplace")
