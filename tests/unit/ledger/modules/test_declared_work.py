# SPDX-License-Identifier: Apache-2.0
"""No message of consent or records touches more rows than the work it declares before it runs."""

import pytest

from tests.vectors import make_module_steps
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.store import Store


@pytest.mark.parametrize("module", sorted(make_module_steps.STORIES))
def test_rows_touched_are_at_most_the_declared_work(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the transactions of the vectors, when they run, then each touches no more rows than it declared."""
    touched: set[bytes] = set()
    get, put = Store.get, Store.put

    def counted_get(store: Store, key: bytes) -> bytes | None:
        touched.add(key)
        return get(store, key)

    def counted_put(store: Store, key: bytes, value: bytes | None) -> None:
        touched.add(key)
        put(store, key, value)

    class CountedStory(make_module_steps.Story):
        """A story that compares each transaction with what it declared."""

        def run(self, signer: str, *messages: Message) -> tuple[Event, ...]:
            touched.clear()
            events = super().run(signer, *messages)
            assert len(touched) <= sum(message.work_units() for message in messages) or not self.told
            return events

    monkeypatch.setattr(Store, "get", counted_get)
    monkeypatch.setattr(Store, "put", counted_put)
    monkeypatch.setattr(make_module_steps, "Story", CountedStory)
    make_module_steps.STORIES[module]()
    assert touched
