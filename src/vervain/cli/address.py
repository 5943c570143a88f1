# SPDX-License-Identifier: Apache-2.0
"""The address of a node as a person types it."""

from typing import Final

import httpx

from vervain.node.config import PORT_MAX, ConfigError
from vervain.sdk.client import Client

NODE: Final = "http://127.0.0.1:8000"


def client_of(url: str) -> Client:
    """Return a client of the node at an address.

    Raises: ConfigError when it is not an address.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _refused(url, str(error)) from None
    if parsed.scheme not in ("http", "https"):
        raise _refused(url, "It does not begin with http:// or https://")
    if not parsed.host:
        raise _refused(url, "It names no machine")
    if parsed.port is not None and not 0 < parsed.port <= PORT_MAX:
        raise _refused(url, f"A port is 1 to {PORT_MAX}")
    return Client(url)


def _refused(url: str, why: str) -> ConfigError:
    return ConfigError(f"{url} is not a node's address", why=why, do=f"Write it like {NODE}.")
