# SPDX-License-Identifier: Apache-2.0
"""Server-sent events from lines.

Source: WHATWG HTML section 9.2.6; only what our node sends: `id`, `event`, one `data` line, comments.
"""

from collections.abc import Iterable, Iterator

import msgspec

from vervain.sdk.client_errors import UnexpectedAnswer
from vervain.sdk.contract import BlockEvent


def read_events(lines: Iterable[str]) -> Iterator[BlockEvent]:
    """Yield the block events of a stream's lines; comments and other events are passed over.

    Raises: UnexpectedAnswer.
    """
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if fields.get("event") == "block":
            yield _event(fields)
        fields = {}


def _event(fields: dict[str, str]) -> BlockEvent:
    try:
        return msgspec.json.decode(fields.get("data", ""), type=BlockEvent)
    except msgspec.DecodeError:
        raise UnexpectedAnswer("The node told a block in an unknown form", do="Check its version.") from None
