# SPDX-License-Identifier: Apache-2.0
"""The founding of a chain: its name is bound to what it is founded on."""

from vervain.ledger.machine.block import GenesisLeaf
from vervain.ledger.machine.context import Context
from vervain.ledger.machine.limits import GENESIS_BYTES_MAX
from vervain.ledger.machine.module import Catalogue, Genesis
from vervain.ledger.machine.store import Store
from vervain.ledger.primitives.codec import Decoder, NotCanonical, encode
from vervain.ledger.primitives.hashing import GENESIS, sha256

NO_ONE = bytes(32)
"""Actor, organisation, key and transaction id of the founding: nobody signs it, everybody checks its digest."""

_GENESIS = Decoder(Genesis)


def genesis_digest(content: bytes) -> bytes:
    """Return the 32-byte digest of the canonical genesis content."""
    return sha256(GENESIS + content)


def chain_name(genesis: Genesis, content: bytes) -> str:
    """Return the chain's full name: its name, a hyphen and the first 32 hex digits of the genesis digest."""
    return f"{genesis.name}-{genesis_digest(content)[:16].hex()}"


def decode_genesis(content: bytes) -> Genesis:
    """Decode the canonical genesis content.

    Raises: NotCanonical.
    """
    if len(content) > GENESIS_BYTES_MAX:
        raise NotCanonical("The genesis is too large", do=f"Keep it below {GENESIS_BYTES_MAX} bytes.")
    genesis: Genesis = _GENESIS.decode(content)
    return genesis


def found(catalogue: Catalogue, genesis: Genesis, content: bytes, store: Store) -> Context:
    """Let every module write its section, in catalogue order; return the context with what they announced.

    Raises: NotCanonical when a section is missing, unknown or not of its module's form.
    """
    context = Context(
        chain=chain_name(genesis, content),
        actor=NO_ONE,
        organisation=NO_ONE,
        key=NO_ONE,
        txid=NO_ONE,
        height=0,
        block_time=genesis.time,
        store=store,
    )
    founding = {module.name: module for module in catalogue.modules if module.section is not None}
    if founding.keys() != genesis.sections.keys():
        raise NotCanonical(
            "The genesis does not have exactly one section a founding module", do=f"Give {sorted(founding)}."
        )
    for name, module in founding.items():
        assert module.section is not None and module.found is not None
        section = Decoder(module.section).decode(bytes(genesis.sections[name]))
        module.found(context, section)
    return context


def genesis_leaf(genesis: Genesis, content: bytes) -> bytes:
    """Return the canonical bytes of the chain's first leaf."""
    return encode(
        GenesisLeaf(
            kind="genesis",
            chain=chain_name(genesis, content),
            genesis_digest=genesis_digest(content),
            time=genesis.time,
        )
    )
