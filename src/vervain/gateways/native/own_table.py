# SPDX-License-Identifier: Apache-2.0
"""The part of the route table about what concerns one person or one grant: one's own, and what a grant opens."""

from typing import Final

from vervain.gateways.native import examples, own, own_documents, own_erasing, releasing
from vervain.gateways.native.endpoint import HEX, STRING, Answer, Body, Endpoint, Parameter, natural_parameter
from vervain.gateways.native.problems import (
    CONFLICT,
    FORBIDDEN,
    FULL,
    GONE,
    LIMIT_EXCEEDED,
    MEDIA_TYPE,
    NOT_FOUND,
    TOO_LARGE,
    UNAUTHENTICATED,
)
from vervain.node.asking import REQUESTS_PER_MINUTE_MAX
from vervain.sdk.contract import (
    JSON,
    OCTETS,
    RELEASE_REQUEST_BYTES_MAX,
    RELEASED_BYTES_MAX,
    RELEASED_RECORDS_MAX,
    OwnNoticesAnswer,
    OwnWrapsAnswer,
    ReleaseAnswer,
)
from vervain.sealing.release_requests import ReleaseRequest

OWN: Final = "One's own"
SHARING: Final = "Sharing"


def own_endpoints() -> tuple[Endpoint, ...]:
    """Return the routes of this part."""
    problems = (UNAUTHENTICATED, LIMIT_EXCEEDED)
    return (
        Endpoint(
            method="GET",
            path="/v1/me/accesses",
            handle=own.read_own_accesses,
            group=OWN,
            summary="Who read by my consents.",
            text="For a patient's pseudonym: reads under its own consents. For a member: reads in its custody.",
            parameters=(natural_parameter("before", "query", "Go on below this access number.", "100"),),
            answer=Answer(media_type=JSON, schema=own.AccessesAnswer, text="A page, newest first."),
            problems=problems,
            is_signed=True,
        ),
        Endpoint(
            method="GET",
            path="/v1/me/consents",
            handle=own.read_own_consents,
            group=OWN,
            summary="The consents I gave.",
            answer=Answer(media_type=JSON, schema=own.ConsentsAnswer, text="The newest, newest first."),
            problems=problems,
            is_signed=True,
        ),
        Endpoint(
            method="GET",
            path="/v1/me/records",
            handle=own.read_own_records,
            group=OWN,
            summary="The records about me, or in my custody.",
            text="Numbers and commitments; the documents stay with their custodian.",
            parameters=(natural_parameter("after", "query", "Go on above this record number.", "100"),),
            answer=Answer(media_type=JSON, schema=own.RecordsAnswer, text="A page, oldest first."),
            problems=problems,
            is_signed=True,
        ),
        Endpoint(
            method="GET",
            path="/v1/me/notices",
            handle=own_documents.read_own_notices,
            group=OWN,
            summary="The notices of reads that are sealed to me.",
            text="Kept before any key was handed out to the reader. Each opens with the relationship's key alone.",
            parameters=(natural_parameter("after", "query", "Leave out so many, the oldest ones.", "100"),),
            answer=Answer(media_type=JSON, schema=OwnNoticesAnswer, text="A page, oldest first."),
            problems=problems,
            is_signed=True,
        ),
        Endpoint(
            method="GET",
            path="/v1/me/wraps",
            handle=own_documents.read_own_wraps,
            group=OWN,
            summary="The keys of my own documents, sealed to me.",
            text="Sealed to the X25519 key that the ledger has for the asker now. Each is written down as released. "
            f"A patient is answered {REQUESTS_PER_MINUTE_MAX} times a minute.",
            parameters=(natural_parameter("after", "query", "The `next` of the page before.", "100"),),
            answer=Answer(media_type=JSON, schema=OwnWrapsAnswer, text="A page."),
            problems=(*problems, NOT_FOUND, GONE),
            is_signed=True,
        ),
        Endpoint(
            method="GET",
            path="/v1/me/documents/{record}",
            handle=own_documents.read_own_document,
            group=OWN,
            summary="The ciphertext of one of my own documents.",
            text="As the custodian keeps it. What is another's, was erased or is not there is answered alike.",
            parameters=(natural_parameter("record", "path", "Record number.", "1"),),
            answer=Answer(media_type=OCTETS, schema=STRING, text="A sealed document."),
            problems=(*problems, NOT_FOUND, TOO_LARGE),
            is_signed=True,
        ),
        Endpoint(
            method="POST",
            path="/v1/me/records/{record}/erasure",
            handle=own_erasing.erase_own_record,
            group=OWN,
            summary="Erase one document in my custody.",
            text="For a member with its own key. Destroys the document's key for good, puts the tombstone on the "
            "ledger and answers the signed certificate; the subject's other documents stay. No body. A record that is "
            "erased already is answered with status 410, one with an open dispute with 409; nothing is destroyed then.",
            parameters=(natural_parameter("record", "path", "Record number.", "1"),),
            answer=Answer(
                media_type=JSON,
                schema=own_erasing.ErasureAnswer,
                text="The record and its certificates.",
            ),
            problems=(*problems, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, FULL),
            is_signed=True,
        ),
        Endpoint(
            method="POST",
            path="/v1/members/{organisation}/releases",
            handle=releasing.release_documents,
            group=SHARING,
            summary="The documents and keys that a read request may have.",
            text="The request is final on the ledger and signed by the grant's reader key; nothing else is asked of "
            "who sends it, for all that is handed out is sealed to the grant's key. The notice to the patient is kept "
            f"first. At most {RELEASED_RECORDS_MAX} documents and {RELEASED_BYTES_MAX} bytes of ciphertext; "
            "`left_out` names what did not fit: send the same request again with `among` naming those. A record that "
            "may not be read and one that does not exist are answered alike. One reader's key is answered "
            f"{REQUESTS_PER_MINUTE_MAX} times a minute.",
            parameters=(
                Parameter(
                    name="organisation",
                    where="path",
                    schema=HEX,
                    text="The custodian: a member that this node serves, in lower-case hex.",
                    example="00" * 32,
                ),
            ),
            body=Body(
                media_type=JSON,
                bytes_max=RELEASE_REQUEST_BYTES_MAX,
                schema=ReleaseRequest,
                text="The request, its access number, what opens its record set, and the sealed notice.",
                example=examples.RELEASE_REQUEST,
            ),
            answer=Answer(
                media_type=JSON, schema=ReleaseAnswer, text="What is released.", example=examples.RELEASE_ANSWER
            ),
            problems=(FORBIDDEN, NOT_FOUND, GONE, TOO_LARGE, MEDIA_TYPE, LIMIT_EXCEEDED, FULL),
        ),
    )
