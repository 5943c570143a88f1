# SPDX-License-Identifier: Apache-2.0
"""The trust file of a chain as its own node knows it: a starting point that a careful reader compares with others'."""

import json

from vervain.ledger.machine.application import CommittedState
from vervain.ledger.machine.genesis import decode_genesis, genesis_leaf
from vervain.ledger.machine.store import Store
from vervain.ledger.modules.consortium.queries import validators
from vervain.ledger.primitives.codec import encode
from vervain.ledger.primitives.hashing import leaf_hash
from vervain.node.config import NodeSettings
from vervain.sealing.trust import Handover, TrustedValidator, TrustedWitness, TrustFile


def trust_file(*, chain: str, genesis: bytes, settings: NodeSettings, state: CommittedState) -> bytes:
    """Return the `.trust` file: the validators, this node's under its own name, and the outside witnesses it asks.

    Args:
        chain: The chain's full name.
        genesis: The canonical genesis content.
        settings: Of the node.
        state: Committed state.
    """
    trusted = tuple(
        TrustedValidator(
            name=settings.name if each.organisation == settings.organisation else each.organisation.hex()[:15],
            organisation=each.organisation,
            engine_key=each.engine_key,
            cosigning_key=each.cosigning_key,
            power=each.power,
        )
        for each in validators(Store(state))
    )
    file = TrustFile(
        chain=chain,
        genesis_leaf_digest=leaf_hash(genesis_leaf(decode_genesis(genesis), genesis)),
        witnesses=tuple(TrustedWitness(name=each.name, key=each.key) for each in settings.witnesses),
        handovers=(Handover(validators=trusted),),
    )
    return json.dumps(json.loads(encode(file)), indent=1).encode() + b"\n"
