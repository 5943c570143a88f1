# SPDX-License-Identifier: Apache-2.0
"""`vervain receipt`, `vervain trust` and `vervain verify`: get a receipt and a trust file, check a receipt offline."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from vervain.cli.address import NODE, client_of
from vervain.cli.output import Output, told
from vervain.ledger.primitives.codec import INTEGER_MAX

Index = Annotated[int, Parameter(validator=Number(gte=0, lte=INTEGER_MAX))]


def receipt(
    leaf: Index,
    *,
    url: str = NODE,
    entry: Index = 0,
    out: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Fetch the receipt of one entry from a running node.

    Args:
        leaf: The log index that the outcome named.
        url: The node's address.
        entry: Number of the entry in its transaction.
        out: File to write; printed when left out.
        as_json: One JSON object instead of words.
    """
    output = Output(as_json=as_json)
    with told(output), client_of(url) as client:
        encoded = client.receipt(leaf, entry)
        if out is None:
            output.both(encoded.decode(), receipt=encoded.decode())
        else:
            out.write_bytes(encoded)
            output.both(f"Written to {out}", file=str(out))


def trust(
    *,
    url: str = NODE,
    out: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Fetch a chain's trust file from a running node: a starting point, to be compared with what others say.

    Args:
        url: The node's address.
        out: File to write; printed when left out.
        as_json: One JSON object instead of words.
    """
    output = Output(as_json=as_json)
    with told(output), client_of(url) as client:
        encoded = client.trust_file()
        if out is None:
            output.both(encoded.decode(), trust=encoded.decode())
        else:
            out.write_bytes(encoded)
            output.both(f"Written to {out}. Compare its chain and keys by a second way.", file=str(out))


def verify(
    receipt_file: Path,
    *,
    trust: Path,
    document: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Check a receipt offline against your own trust file. The same check as `python verify.py`, without any network.

    Args:
        receipt_file: The `.receipt` file.
        trust: Your `.trust` file: whose signatures count for you.
        document: The document's stored bytes, when the receipt opens its commitment.
        as_json: One JSON object instead of words.
    """
    from vervain import verify as court

    arguments = [str(receipt_file), "--trust", str(trust)]
    arguments += ["--document", str(document)] if document else []
    raise SystemExit(court.main([*arguments, "--json"] if as_json else arguments))
