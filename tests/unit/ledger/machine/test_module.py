# SPDX-License-Identifier: Apache-2.0
"""A catalogue checks its modules against each other."""

import msgspec
import pytest

from tests.toy_ledger import COUNTS, MODULE, NOTES, NoteReason, WriteNote
from vervain.ledger.catalogue import CATALOGUE
from vervain.ledger.machine.module import Catalogue, Module
from vervain.ledger.machine.refusals import Conflict, MachineReason, Reason
from vervain.ledger.machine.table import Row, Table


class StrayReason(Reason):
    """A reason under another module's number."""

    STRAY = 101, Conflict, "It is elsewhere.", "Move it."


class Stray(Row, frozen=True, kw_only=True):
    """A row."""


def catalogue(*modules: Module) -> Catalogue:
    """Return a catalogue of these modules."""
    return Catalogue(modules, organisation_of_active_key=lambda *_: None, validators=lambda _: ())


STRAY = Table(name="note.stray", number=101, row=Stray, key=(1,))
AGAIN = Table(name="note.again", number=1201, row=Stray, key=(1,))
BROKEN = {
    "table_of_another_module": (msgspec.structs.replace(MODULE, tables=(STRAY,)),),
    "table_number_twice": (msgspec.structs.replace(MODULE, tables=(NOTES, AGAIN)),),
    "reason_of_another_module": (msgspec.structs.replace(MODULE, reasons=StrayReason),),
    "module_twice": (MODULE, MODULE),
}


@pytest.mark.parametrize("modules", BROKEN.values(), ids=BROKEN.keys())
def test_modules_that_do_not_fit_are_stopped(modules: tuple[Module, ...]) -> None:
    """
    Given modules whose numbers or messages meet.
    When a catalogue is made of them.
    Then an assertion stops it before anything runs.
    """
    with pytest.raises(AssertionError):
        catalogue(*modules)


def test_catalogue_merges_its_modules() -> None:
    """
    Given one module.
    When a catalogue is made of it.
    Then it knows handlers, reasons, tables by name and number, and which are proved.
    """
    made = catalogue(MODULE)
    assert made.message_types == (WriteNote,)
    assert made.reasons[1201] is NoteReason.UNWANTED and made.reasons[9] is MachineReason.ALREADY_SEEN
    assert made.table("note.counts") is COUNTS and made.table("note.other") is None
    assert made.proved == {1202: "note.counts"} and made.configuration == ()
    assert made.message_decoder.decode(b'{"text":"a","type":"note.write"}') == WriteNote(text="a")
    assert WriteNote(text="a").work_units() == 4


def test_chain_has_its_modules_in_order() -> None:
    """
    Given the catalogue of the chain.
    When its modules are listed.
    Then lower ones come first, with the agreed numbers; every table's and query's name begins with its module's.
    """
    assert [(module.name, module.number) for module in CATALOGUE.modules] == [
        ("consortium", 1),
        ("identity", 2),
        ("consent", 3),
        ("records", 6),
    ]
    for module in CATALOGUE.modules:
        names = [table.name for table in module.tables] + list(module.queries)
        assert [name for name in names if not name.startswith(f"{module.name}.")] == []
    assert all(message.WORK > 0 for message in CATALOGUE.message_types)


def test_proved_and_configuration_tables_are_the_agreed_ones() -> None:
    """
    Given the catalogue of the chain.
    When its proved and configuration tables are listed.
    Then members, validators, actors, keys and licences are proved, parameters and rule tables configuration.
    """
    proved = set(CATALOGUE.proved.values())
    expected = {"consortium.members", "consortium.validators", "identity.actors", "identity.keys", "identity.licences"}
    assert expected <= proved
    assert [CATALOGUE.tables[number].name for number in CATALOGUE.configuration] == [
        "consortium.parameters",
        "consortium.rule_tables",
    ]
