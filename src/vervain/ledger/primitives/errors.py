# SPDX-License-Identifier: Apache-2.0
"""The root of everything that is expected to go wrong.

```
VervainError                 everything that is expected to happen
  Refusal                    machine/refusals.py: becomes an outcome; ids only
  NotCanonical               codec.py: bytes with more than one meaning
  ProofError                 raised by a verifier, never returned as False
  StorageError VaultError EngineError GatewayError ConfigError    one file a floor
InvariantBroken              not a VervainError: the node halts; never caught
```
"""

import msgspec


class Diagnostics(msgspec.Struct, frozen=True, kw_only=True):
    """An error told to a person: what happened, why, and what to do about it."""

    what: str
    why: str
    do: str


class VervainError(Exception):
    """Something that is expected to happen now and then, told in plain words and without personal data."""

    def __init__(self, what: str, *, why: str = "", do: str = "") -> None:
        super().__init__(". ".join(part.rstrip(".") for part in (what, why, do) if part))
        self.what, self.why, self.do = what, why, do

    def diagnostics(self) -> Diagnostics:
        """Return what happened, why, and what to do."""
        return Diagnostics(what=self.what, why=self.why, do=self.do)


class ProofError(VervainError):
    """A verifier did not verify. Raised, never returned as False."""


class InvariantBroken(AssertionError):
    """Something that cannot be has happened: the node halts. Never caught."""
