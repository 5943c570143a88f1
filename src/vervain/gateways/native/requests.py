# SPDX-License-Identifier: Apache-2.0
"""What a request gives, taken strictly: bodies below their maximum, whole numbers, hex ids. Nothing is guessed."""

import re
from typing import Final

from starlette.requests import Request

from vervain.gateways.native.problems import MALFORMED, MEDIA_TYPE, TOO_LARGE, RequestProblem

NATURAL_PATTERN: Final = "^(0|[1-9][0-9]{0,15})$"
HEX_PATTERN: Final = "^([0-9a-f]{2}){1,256}$"
_NATURAL: Final = re.compile("0|[1-9][0-9]{0,15}")
_HEX: Final = re.compile("([0-9a-f]{2}){1,256}")


async def read_body(request: Request, *, media_type: str, bytes_max: int) -> bytes:
    """Return the body, refusing it before it is parsed.

    Raises: RequestProblem when the media type is another or the body too large.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise RequestProblem(MEDIA_TYPE, f"The body must be {media_type}", do=f"Send Content-Type: {media_type}.")
    announced = request.headers.get("content-length", "0")
    if _NATURAL.fullmatch(announced) is None or int(announced) > bytes_max:
        raise _too_large(bytes_max)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise _too_large(bytes_max)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(bytes_max: int) -> RequestProblem:
    return RequestProblem(TOO_LARGE, f"A body here has at most {bytes_max} bytes", do="Send less at once.")


def path_natural(request: Request, name: str) -> int:
    """Return a whole number of the path.

    Raises: RequestProblem.
    """
    return natural(request.path_params[name], name)


def query_natural(request: Request, name: str, default: int | None = None) -> int:
    """Return a whole number of the query, or its default.

    Raises: RequestProblem when it is missing without a default, given twice, or no whole number.
    """
    given = request.query_params.getlist(name)
    if not given and default is not None:
        return default
    if len(given) != 1:
        raise RequestProblem(MALFORMED, f"The query needs one `{name}`", do=f"Add {name}=<whole number>.")
    return natural(given[0], name)


def require_known_query(request: Request, *names: str) -> None:
    """Refuse a query with any other parameter.

    Raises: RequestProblem.
    """
    if not set(request.query_params) <= set(names):
        allowed = ", ".join(names) or "none"
        raise RequestProblem(MALFORMED, "The query has a parameter that is not known here", do=f"Allowed: {allowed}.")


def path_bytes(request: Request, name: str) -> bytes:
    """Return bytes that stand in the path as lower-case hex, 1 to 256 of them.

    Raises: RequestProblem.
    """
    given: str = request.path_params[name]
    if _HEX.fullmatch(given) is None:
        raise RequestProblem(MALFORMED, f"`{name}` must be lower-case hex", do="Give each byte as two hex digits.")
    return bytes.fromhex(given)


def natural(given: str, name: str) -> int:
    """Return the whole number that a text says.

    Raises: RequestProblem.
    """
    if _NATURAL.fullmatch(given) is None:
        raise RequestProblem(MALFORMED, f"`{name}` must be a whole number", do="Write it in digits, below 10^16.")
    return int(given)
