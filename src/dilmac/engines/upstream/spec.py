"""Where an upstream is, what it is asked for, and with which key."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from dilmac.core import Config, ConfigError, say

FLAG = "--upstream"
KEY_FLAG = "--upstream-key-variable"
EXAMPLE = "an address such as http://127.0.0.1:11434/v1"


class UpstreamSpec(Config):
    """An OpenAI-compatible server. `upstream_spec` makes one of what a user wrote."""

    url: str = Field(description="base address, without a slash at its end")
    model: str | None = Field(None, description="its name there; the only one listed by default")
    key: SecretStr | None = Field(None, description="sent as `Authorization: Bearer`")
    connect_seconds: float = Field(10.0, gt=0, description="longest wait for a connection [s]")
    # vLLM and Ollama send nothing while they load a model or read a long prompt.
    silence_seconds: float = Field(300.0, gt=0, description="longest wait for a byte [s]")


def upstream_spec(url: str, model: str | None, key_variable: str | None) -> UpstreamSpec:
    """The upstream at an address, with the key that an environment variable holds.

    No variable is read that is not named: a key for one service never goes to another by default.

    Raises:
        ConfigError: the address is none, or holds a password; the variable is empty.
    """
    key = None if key_variable is None else _key(key_variable)
    checked = _checked(url)
    if key is not None and _is_in_the_clear(checked):
        say(f"the key goes to {checked} unencrypted; https would hide it")
    return UpstreamSpec(url=checked, model=model, key=key)


def _checked(url: str) -> str:
    """The address in the form that paths are added to. It is not repeated where it may be secret.

    Raises:
        ConfigError: it is no address that can be asked.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"is no address ({error})", where=FLAG, mend=EXAMPLE) from None
    if "@" in parts.netloc:
        raise ConfigError(
            "the address holds a name or a password, which would be shown and logged",
            where=FLAG,
            mend=f"leave it out, and name the variable that holds a key by {KEY_FLAG}",
        )
    if parts.scheme not in ("http", "https"):
        found = f"{parts.scheme}:" if parts.scheme else "no scheme"
        raise ConfigError(f"must be http or https, found {found}", where=FLAG, mend=EXAMPLE)
    if not parts.hostname or port == 0 or any(char.isspace() or char < " " for char in url):
        raise ConfigError("is no address of a server", where=FLAG, mend=EXAMPLE)
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ConfigError("the address goes on behind ? or #", where=FLAG, mend=EXAMPLE)
    return url.rstrip("/")


def _key(variable: str) -> SecretStr:
    """The key that a variable holds.

    Raises:
        ConfigError: it holds none, or something that cannot stand in a header.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"the environment variable {variable} is empty",
            where=KEY_FLAG,
            mend="put the key there, or leave the flag out for a server that wants none",
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError(f"{variable} holds characters that no key has", where=KEY_FLAG)
    return SecretStr(key)


def _is_in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return False
    try:
        return not ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:  # a name
        return True
