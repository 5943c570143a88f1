# SPDX-License-Identifier: Apache-2.0
"""Vervain: a consortium ledger for health care whose facts anyone can verify offline.

`Client` speaks to a node; `Wallet` keeps a patient's keys; `seal` and `open` are for one document; `verify_receipt`
checks a proof offline. They are imported when they are first used, so that `import vervain` is quick.
"""

from typing import Any

__version__ = "0.1.0"  # as in pyproject.toml; a test compares them

__all__ = ["Client", "Wallet", "open", "seal", "verify_receipt"]


def __getattr__(name: str) -> Any:  # Any: five names of five types; for a type checker import them where they are
    if name == "Client":
        from vervain.sdk.client import Client

        return Client
    if name == "Wallet":
        from vervain.sdk.wallet import Wallet

        return Wallet
    if name == "open":
        from vervain.sealing.documents import open_document

        return open_document
    if name == "seal":
        from vervain.sealing.documents import seal_document

        return seal_document
    if name == "verify_receipt":
        from vervain.sealing.receipts import verify_receipt

        return verify_receipt
    raise AttributeError(f"module 'vervain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
