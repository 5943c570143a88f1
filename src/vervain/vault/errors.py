# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with kept documents, told in plain words and without anything that says something about a person."""

from vervain.ledger.primitives.errors import VervainError


class VaultError(VervainError):
    """The vault cannot do as asked."""


class KeyErased(VaultError):
    """The key was destroyed on purpose; nobody can read this any more."""


class Tampered(VaultError):
    """What is kept is not what was put there, or does not belong together."""


class BlobMissing(VaultError):
    """A ciphertext that the index names is not in its pack."""


class NotStored(VaultError):
    """Nothing is kept under this name."""


class AlreadyStored(VaultError):
    """This version of the document is kept already; a version is never replaced."""


class NotReleased(VaultError):
    """The release desk does not hand out a key. Tells the asker no more than it must."""


class AskedTooOften(VaultError):
    """One key has asked for as much as it may for now.

    Attributes:
        retry_seconds: After how many whole seconds the next request is answered.
    """

    def __init__(self, per_minute: int, *, retry_seconds: int) -> None:
        super().__init__(
            "This key has asked too often",
            why=f"{per_minute} requests a minute are answered",
            do=f"Send the same request again in {retry_seconds} s.",
        )
        self.retry_seconds = retry_seconds


class TooLargeToRelease(VaultError):
    """What may be released is larger than one answer holds."""
