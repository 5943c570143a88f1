# SPDX-License-Identifier: Apache-2.0
"""The founding: the chain's name is bound to its content; only the one form is taken."""

from hashlib import sha256

import msgspec
import pytest

from tests.memory_state import MemoryState
from tests.small_chain import SmallChain
from tests.toy_ledger import FOUNDED_AT, GENESIS, TOY
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.genesis import chain_name, decode_genesis, found, genesis_digest, genesis_leaf
from vervain.ledger.machine.limits import GENESIS_BYTES_MAX
from vervain.ledger.machine.module import Genesis
from vervain.ledger.machine.store import Store
from vervain.ledger.primitives.codec import NotCanonical, encode


def test_chain_is_named_by_its_content() -> None:
    """
    Given the canonical content of a genesis.
    When its digest is computed by hand.
    Then the chain's name is the name, a hyphen and the first 32 hex digits, and the first leaf holds it whole.
    """
    digest = sha256(b"vervain/genesis/v1\n" + GENESIS)
    genesis = decode_genesis(GENESIS)
    assert genesis_digest(GENESIS) == digest.digest()
    assert chain_name(genesis, GENESIS) == f"toy-{digest.hexdigest()[:32]}"
    leaf = msgspec.json.decode(genesis_leaf(genesis, GENESIS))
    assert leaf == {
        "chain": f"toy-{digest.hexdigest()[:32]}",
        "genesis_digest": msgspec.to_builtins(digest.digest()),
        "kind": "genesis",
        "time": FOUNDED_AT,
    }


def test_content_of_another_form_is_refused() -> None:
    """
    Given content that is not canonical, not of the form, or too large.
    When it is decoded.
    Then NotCanonical.
    """
    for content in (GENESIS + b" ", b"{}", b"x", b" " * (GENESIS_BYTES_MAX + 1)):
        with pytest.raises(NotCanonical):
            decode_genesis(content)


@pytest.mark.parametrize("sections", [{}, {"note": b"{}", "other": b"{}"}, {"other": b"{}"}, {"note": b'{"a":1}'}])
def test_founding_refused_when_sections_do_not_fit(sections: dict[str, bytes]) -> None:
    """
    Given a genesis with a section too few, too many, of another name or of another form.
    When the chain is founded.
    Then NotCanonical.
    """
    raw = {name: msgspec.Raw(content) for name, content in sections.items()}
    content = encode(Genesis(name="toy", time=FOUNDED_AT, sections=raw))
    with pytest.raises(NotCanonical):
        found(TOY, decode_genesis(content), content, Store(MemoryState()))


def test_founding_is_the_same_everywhere() -> None:
    """
    Given one genesis of the real catalogue.
    When two members found the chain.
    Then they write the same rows and announce the same.
    """
    chain = SmallChain()
    store = Store(MemoryState())
    context = found(CATALOGUE, decode_genesis(chain.content), chain.content, store)
    assert store.writes() == chain.store.writes()
    assert (context.chain, tuple(context.events)) == (chain.name, chain.founding_events)
    assert (context.height, context.block_time, context.actor) == (0, chain.time, bytes(32))
