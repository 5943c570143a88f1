# SPDX-License-Identifier: Apache-2.0
"""What is done with private keys: sign, seal, open, wrap, commit and open commitments, receipts' parsing.

`seal` and `open` are what a client needs for one document; keys, wraps and read requests stand in the files beside it.
"""

from vervain.sealing.documents import open_document as open
from vervain.sealing.documents import seal_document as seal

__all__ = ("open", "seal")
