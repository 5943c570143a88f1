# SPDX-License-Identifier: Apache-2.0
"""Assertions are part of the ledger's safety: what relies on them does not load without them.

`python -O` and PYTHONOPTIMIZE take every assertion out. `vervain.ledger.catalogue` and `vervain.storage` call this when
they are imported, and with them every node, engine, vault and witness. The court verifier `verify.py` and the SDK do
not: what they check, they check by raising.

Source: style.md section 2, "Asserts".
"""


def require_assertions() -> None:
    """Refuse to go on when assertions are switched off.

    Raises: ImportError.
    """
    if not __debug__:
        raise ImportError(
            "Vervain does not run under `python -O` or PYTHONOPTIMIZE: its assertions are part of its safety. "
            "Start it without them. verify.py and the SDK run either way."
        )
