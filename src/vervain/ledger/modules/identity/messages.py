# SPDX-License-Identifier: Apache-2.0
"""What may be asked of the identity module, what it announces, why it refuses: the wire contract.

Nothing here names a person: actors are ids, professions and reasons are codes of closed or controlled lists.

Sources: architecture.md "Actor id", "Who may write", "Patients"; identity-keys-receipts reference, sections 5 and 12.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, UnsetType

from vervain.ledger.machine.limits import WORK_SIGNATURE
from vervain.ledger.machine.module import Message
from vervain.ledger.machine.outcome import Event
from vervain.ledger.machine.refusals import (
    Conflict,
    Forbidden,
    LimitExceeded,
    Malformed,
    NotFound,
    Reason,
    Unauthenticated,
)
from vervain.ledger.primitives.codec import Bytes32, Bytes64, Natural, UtcSeconds, encode
from vervain.ledger.primitives.hashing import LICENCE, REGISTER, ROTATE, sha256

LICENCE_SECONDS_MAX: Final = 20 * 366 * 86_400  # twenty years; most registers renew within five
LICENCES_PER_HOLDER_MAX: Final = 64
LICENCE_CHANGES_MAX: Final = 1_000
FOUNDING_ORGANISATIONS_MAX: Final = 1_000
WORK_KEY_CHECK: Final = 32  # work units of vetting a public key (a subgroup check)

Profession = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.:|-]*\Z")]
"""A profession as a code of the issuing register, lower case, e.g. `physician` or `isco-08:2212`."""


class ActorKind(StrEnum):
    """What an actor is."""

    ORGANISATION = "organisation"
    PATIENT = "patient"  # one pseudonym of one relationship
    STAFF = "staff"


class Custody(StrEnum):
    """Who keeps a patient pseudonym's private key."""

    INSTITUTION = "institution"  # the organisation that registered it
    SELF = "self"


class ActorStatus(StrEnum):
    """Whether an actor can act."""

    ACTIVE = "active"
    CLOSED = "closed"  # for good
    LOCKED = "locked"  # its key was withdrawn and none has replaced it


class LicenceStatus(StrEnum):
    """Whether a licence counts, within its period."""

    SUSPENDED = "suspended"
    VALID = "valid"
    WITHDRAWN = "withdrawn"  # for good


class RotationReason(StrEnum):
    """Why a key is replaced."""

    ADOPTED = "adopted"  # a patient takes over the key an institution kept
    ALGORITHM = "algorithm"
    DEVICE_CHANGED = "device_changed"
    DEVICE_LOST = "device_lost"
    ROUTINE = "routine"
    SUSPECTED_COMPROMISE = "suspected_compromise"


class LicenceReason(StrEnum):
    """Why a licence is suspended or withdrawn. A closed list: no free words about a person on the ledger."""

    ENTERED_IN_ERROR = "entered_in_error"
    ENDED = "ended"
    FITNESS_TO_PRACTISE = "fitness_to_practise"
    HOLDER_REQUEST = "holder_request"
    NOT_RENEWED = "not_renewed"
    UNDER_INVESTIGATION = "under_investigation"


class IdentityReason(Reason):
    """Why an identity message or question is refused. Module number 2."""

    NOT_A_MEMBER = (
        201,
        Forbidden,
        "Only an active member or its active staff may do this.",
        "Submit it through a member.",
    )
    WEAK_KEY = 202, Malformed, "The signing key is not a sound Ed25519 public key.", "Make a fresh key pair."
    WEAK_KEM_KEY = 203, Malformed, "The key agreement key is not a sound X25519 public key.", "Make a fresh key pair."
    KEY_USED_BEFORE = 204, Conflict, "The signing key is or was somebody's key.", "Make a fresh key pair."
    BAD_PROOF = 205, Unauthenticated, "The new key did not sign this registration or rotation.", "Sign what is sent."
    CUSTODY_NOT_FIT = 206, Malformed, "Custody is named for patients, and only for them.", "Name it for a patient only."
    NOT_ADMITTED = 207, Forbidden, "The consortium has not admitted this organisation.", "Have it admitted first."
    NO_SUCH_ACTOR = 208, NotFound, "No actor has this id.", "Check the id; the registration may not be final yet."
    NOT_YOUR_ACTOR = 209, Forbidden, "The signer does not act for this actor.", "Let the actor or its custodian sign."
    ACTOR_CLOSED = 210, Conflict, "The actor is closed.", "Register a new one."
    NO_SUCH_KEY = 211, NotFound, "The key was never registered.", "Check the key."
    KEY_ALREADY_WITHDRAWN = 212, Conflict, "The key had already stopped counting.", "Nothing to withdraw."
    COMPROMISED_IN_FUTURE = 213, Malformed, "The time of compromise lies ahead.", "Name a time that has passed."
    ORGANISATION_NEEDS_KEY = 214, Conflict, "An organisation keeps one key.", "Rotate it, or leave the consortium."
    NOT_IN_CUSTODY = (
        215,
        Conflict,
        "The key is not in an institution's custody.",
        "Nothing to adopt; rotate it instead.",
    )
    NOT_A_REGULATOR = 216, Forbidden, "Only a regulator or its staff licenses.", "Let the regulator sign."
    HOLDER_NOT_STAFF = (
        217,
        Conflict,
        "The holder is not an active staff actor.",
        "Register the person's staff actor first.",
    )
    EMPTY_PERIOD = 218, Malformed, "The licence ends before it begins.", "Put valid_until after valid_from."
    PERIOD_OVER = 219, Conflict, "The licence's period is already over.", "Put valid_until into the future."
    PERIOD_TOO_LONG = 220, LimitExceeded, "The licence's period is too long.", "Use at most twenty years."
    TOO_MANY_LICENCES = 221, LimitExceeded, "The holder has as many licences as there may be.", "Use an existing one."
    NO_SUCH_LICENCE = 222, NotFound, "No licence has this id.", "Check the id; it may not be final yet."
    NOT_THE_ISSUER = 223, Forbidden, "Only the issuer of a licence or its staff may change it.", "Let the issuer sign."
    LICENCE_NOT_VALID = 224, Conflict, "The licence is not valid now.", "Nothing to suspend."
    LICENCE_NOT_SUSPENDED = 225, Conflict, "The licence is not suspended.", "Nothing to reinstate."
    LICENCE_WITHDRAWN = 226, Conflict, "The licence is withdrawn for good.", "Issue a new one."
    TOO_MANY_CHANGES = 227, LimitExceeded, "The licence has as many changes as there may be.", "Issue a new one."


class Register(Message, frozen=True, kw_only=True, tag="identity.register"):
    """Enter a new actor with its first keys, signed by a member or its staff, which becomes its organisation.

    Attributes:
        kind: Organisation, staff or patient.
        key: 32-byte Ed25519 public key; the actor id is its unique hash code.
        kem_key: 32-byte X25519 public key to which others seal.
        proof: 64-byte signature of `key` over `registration_bytes`.
        custody: Who keeps a patient's private key; absent for others.
    """

    WORK: ClassVar[int] = WORK_SIGNATURE + WORK_KEY_CHECK + 6

    kind: ActorKind
    key: Bytes32
    kem_key: Bytes32
    proof: Bytes64
    custody: Custody | UnsetType = UNSET


class RotateKey(Message, frozen=True, kw_only=True, tag="identity.rotate_key"):
    """Replace an actor's keys; the old signing key stops after this block.

    Attributes:
        new_key: 32-byte Ed25519 public key, never used before.
        new_kem_key: 32-byte X25519 public key.
        proof: 64-byte signature of `new_key` over `rotation_bytes`.
        reason: A code of the closed list.
        actor: 32-byte id of a patient in institutional custody whose custodian signs; absent: the signer's own keys.
        custody: `self` when a patient adopts the key an institution kept; absent: unchanged.
    """

    WORK: ClassVar[int] = WORK_SIGNATURE + WORK_KEY_CHECK + 8

    new_key: Bytes32
    new_kem_key: Bytes32
    proof: Bytes64
    reason: RotationReason
    actor: Bytes32 | UnsetType = UNSET
    custody: Custody | UnsetType = UNSET


class WithdrawKey(Message, frozen=True, kw_only=True, tag="identity.withdraw_key"):
    """Make a key stop counting after this block, or note since when an old one was compromised.

    Attributes:
        key: 32-byte public key.
        compromised_since: UTC seconds from which what it signed is in doubt.
    """

    WORK: ClassVar[int] = 8

    key: Bytes32
    compromised_since: UtcSeconds | UnsetType = UNSET


class CloseActor(Message, frozen=True, kw_only=True, tag="identity.close_actor"):
    """End an actor for good; its key stops after this block.

    Attributes:
        actor: 32-byte id of staff or of a patient in custody whose organisation signs; absent: the signer itself.
    """

    WORK: ClassVar[int] = 8

    actor: Bytes32 | UnsetType = UNSET


class IssueLicence(Message, frozen=True, kw_only=True, tag="identity.issue_licence"):
    """License a staff actor for a profession, signed by a regulator or its staff.

    Attributes:
        holder: 32-byte staff actor id.
        profession: Code of the register.
        valid_from, valid_until: UTC seconds; `valid_until` is excluded.
        register_digest: 32-byte salted digest of the register's entry, kept by the regulator.
    """

    WORK: ClassVar[int] = 10 + LICENCES_PER_HOLDER_MAX

    holder: Bytes32
    profession: Profession
    valid_from: UtcSeconds
    valid_until: UtcSeconds
    register_digest: Bytes32 | UnsetType = UNSET


class SuspendLicence(Message, frozen=True, kw_only=True, tag="identity.suspend_licence"):
    """Make a valid licence not count for now, signed by its issuer."""

    WORK: ClassVar[int] = 6

    licence: Bytes32
    reason: LicenceReason


class ReinstateLicence(Message, frozen=True, kw_only=True, tag="identity.reinstate_licence"):
    """Make a suspended licence count again, signed by its issuer."""

    WORK: ClassVar[int] = 6

    licence: Bytes32


class WithdrawLicence(Message, frozen=True, kw_only=True, tag="identity.withdraw_licence"):
    """End a licence for good, signed by its issuer."""

    WORK: ClassVar[int] = 6

    licence: Bytes32
    reason: LicenceReason


class ActorRegistered(Event, frozen=True, kw_only=True, tag="identity.actor_registered"):
    """An actor can sign from the next block on."""

    actor: Bytes32
    kind: ActorKind
    organisation: Bytes32
    key: Bytes32
    kem_key: Bytes32
    registered_at: UtcSeconds
    custody: Custody | UnsetType = UNSET


class KeyRotated(Event, frozen=True, kw_only=True, tag="identity.key_rotated"):
    """An actor has new keys of `epoch`; `custody` is there when it changed."""

    actor: Bytes32
    epoch: Natural
    old_key: Bytes32
    new_key: Bytes32
    new_kem_key: Bytes32
    reason: RotationReason
    rotated_at: UtcSeconds
    custody: Custody | UnsetType = UNSET


class KeyWithdrawn(Event, frozen=True, kw_only=True, tag="identity.key_withdrawn"):
    """A key does not count from the next block on, or has a new time of compromise."""

    actor: Bytes32
    key: Bytes32
    withdrawn_at: UtcSeconds
    compromised_since: UtcSeconds | UnsetType = UNSET


class ActorClosed(Event, frozen=True, kw_only=True, tag="identity.actor_closed"):
    """An actor ended for good."""

    actor: Bytes32
    closed_at: UtcSeconds


class LicenceIssued(Event, frozen=True, kw_only=True, tag="identity.licence_issued"):
    """A staff actor is licensed."""

    licence: Bytes32
    issuer: Bytes32
    holder: Bytes32
    profession: Profession
    valid_from: UtcSeconds
    valid_until: UtcSeconds
    issued_at: UtcSeconds


class LicenceChanged(Event, frozen=True, kw_only=True, tag="identity.licence_changed"):
    """A licence has another status from `changed_at` (block time, UTC seconds) on."""

    licence: Bytes32
    sequence: Natural
    status: LicenceStatus
    changed_at: UtcSeconds
    reason: LicenceReason | UnsetType = UNSET


class FoundingOrganisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A founding member's first keys, 32 bytes each; its actor id comes from `key`."""

    key: Bytes32
    kem_key: Bytes32


class IdentityFounding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Identity's section of the genesis: keys of founding members, every validator among them."""

    organisations: Annotated[
        tuple[FoundingOrganisation, ...], msgspec.Meta(min_length=1, max_length=FOUNDING_ORGANISATIONS_MAX)
    ]


class _Registration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a new key signs: the registration without its proof, the chain and the sponsor."""

    chain: str
    sponsor: bytes
    kind: ActorKind
    key: bytes
    kem_key: bytes
    custody: Custody | UnsetType = UNSET


class _Rotation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a replacing key signs: the rotation without its proof, the chain, and always the actor."""

    chain: str
    actor: bytes
    new_key: bytes
    new_kem_key: bytes
    reason: RotationReason
    custody: Custody | UnsetType = UNSET


def registration_bytes(
    *,
    chain: str,
    sponsor: bytes,
    kind: ActorKind,
    key: bytes,
    kem_key: bytes,
    custody: Custody | UnsetType = UNSET,
) -> bytes:
    """Return what the new `key` signs to be registered by `sponsor` (32-byte organisation id) and by nobody else."""
    registration = _Registration(chain=chain, sponsor=sponsor, kind=kind, key=key, kem_key=kem_key, custody=custody)
    return REGISTER + encode(registration)


def rotation_bytes(
    *,
    chain: str,
    actor: bytes,
    new_key: bytes,
    new_kem_key: bytes,
    reason: RotationReason,
    custody: Custody | UnsetType = UNSET,
) -> bytes:
    """Return what `new_key` signs to become the key of `actor` (32-byte id, also when the message leaves it out)."""
    rotation = _Rotation(
        chain=chain, actor=actor, new_key=new_key, new_kem_key=new_kem_key, reason=reason, custody=custody
    )
    return ROTATE + encode(rotation)


def licence_id(txid: bytes, entry_index: int) -> bytes:
    """Return the 32-byte id of the licence issued by entry `entry_index` of transaction `txid` (32 bytes)."""
    return sha256(LICENCE + txid + entry_index.to_bytes(4, "big"))


EVENTS = (ActorRegistered, KeyRotated, KeyWithdrawn, ActorClosed, LicenceIssued, LicenceChanged)
