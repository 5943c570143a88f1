# SPDX-License-Identifier: Apache-2.0
"""The first tables: chain, consortium, identity, consent, records."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "access_anchors",
        sa.Column("custodian", sa.LargeBinary(length=32), nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("anchored_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("custodian", "first"),
    )
    op.create_table(
        "accesses",
        sa.Column("access", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("consent", sa.LargeBinary(length=32), nullable=False),
        sa.Column("grantor", sa.LargeBinary(length=32), nullable=False),
        sa.Column("custodian", sa.LargeBinary(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("notice_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), nullable=False),
        sa.Column("entry_index", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("access"),
    )
    op.create_index("accesses_at_custodian", "accesses", ["custodian", "access"], unique=False)
    op.create_index("accesses_of_grantor", "accesses", ["grantor", "access"], unique=False)
    op.create_index("accesses_under_consent", "accesses", ["consent", "access"], unique=False)
    op.create_table(
        "actors",
        sa.Column("actor", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("organisation", sa.LargeBinary(length=32), nullable=False),
        sa.Column("custody", sa.String(length=16), nullable=True),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("actor"),
    )
    op.create_index(op.f("ix_actors_organisation"), "actors", ["organisation"], unique=False)
    op.create_table(
        "ballots",
        sa.Column("proposal", sa.LargeBinary(length=32), nullable=False),
        sa.Column("organisation", sa.LargeBinary(length=32), nullable=False),
        sa.Column("approve", sa.String(length=3), nullable=False),
        sa.Column("cast_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("proposal", "organisation"),
    )
    op.create_table(
        "blocks",
        sa.Column("height", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("transactions", sa.Integer(), nullable=False),
        sa.Column("log_size", sa.BigInteger(), nullable=False),
        sa.Column("app_hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("height"),
    )
    op.create_table(
        "consents",
        sa.Column("consent", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.String(length=5), nullable=False),
        sa.Column("grantor", sa.LargeBinary(length=32), nullable=False),
        sa.Column("custodian", sa.LargeBinary(length=32), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), nullable=False),
        sa.Column("entry_index", sa.Integer(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.Column("replaced_by", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("consent"),
    )
    op.create_index("consents_of_grantor", "consents", ["grantor", "given_at"], unique=False)
    op.create_index(op.f("ix_consents_custodian"), "consents", ["custodian"], unique=False)
    op.create_table(
        "keys",
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("actor", sa.LargeBinary(length=32), nullable=False),
        sa.Column("active_from", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.Column("compromised_since", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index(op.f("ix_keys_actor"), "keys", ["actor"], unique=False)
    op.create_table(
        "licences",
        sa.Column("licence", sa.LargeBinary(length=32), nullable=False),
        sa.Column("issuer", sa.LargeBinary(length=32), nullable=False),
        sa.Column("holder", sa.LargeBinary(length=32), nullable=False),
        sa.Column("profession", sa.String(length=64), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("licence"),
    )
    op.create_index(op.f("ix_licences_holder"), "licences", ["holder"], unique=False)
    op.create_table(
        "members",
        sa.Column("organisation", sa.LargeBinary(length=32), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("register_entry", sa.Text(), nullable=False),
        sa.Column("host", sa.LargeBinary(length=32), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("admitted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation"),
    )
    op.create_table(
        "proposals",
        sa.Column("proposal", sa.LargeBinary(length=32), nullable=False),
        sa.Column("proposer", sa.LargeBinary(length=32), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("proposal"),
    )
    op.create_table(
        "records",
        sa.Column("record", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.LargeBinary(length=32), nullable=False),
        sa.Column("custodian", sa.LargeBinary(length=32), nullable=False),
        sa.Column("commitment", sa.LargeBinary(length=32), nullable=False),
        sa.Column("author", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("committed_at", sa.BigInteger(), nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), nullable=False),
        sa.Column("entry_index", sa.Integer(), nullable=False),
        sa.Column("previous", sa.BigInteger(), nullable=True),
        sa.Column("superseded_by", sa.BigInteger(), nullable=True),
        sa.Column("dispute", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("record"),
    )
    op.create_index(op.f("ix_records_commitment"), "records", ["commitment"], unique=False)
    op.create_index("records_at_custodian", "records", ["custodian", "record"], unique=False)
    op.create_index("records_of_subject", "records", ["subject", "record"], unique=False)
    op.create_table(
        "transactions",
        sa.Column("leaf_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("txid", sa.LargeBinary(length=32), nullable=False),
        sa.Column("actor", sa.LargeBinary(length=32), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index"),
    )
    op.create_index(op.f("ix_transactions_height"), "transactions", ["height"], unique=False)
    op.create_index(op.f("ix_transactions_txid"), "transactions", ["txid"], unique=False)
    op.create_table(
        "validators",
        sa.Column("organisation", sa.LargeBinary(length=32), nullable=False),
        sa.Column("since_height", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("power", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "since_height"),
    )


def downgrade() -> None:
    """Drop them: the read model is disposable."""
    for table in (
        "blocks",
        "transactions",
        "members",
        "validators",
        "proposals",
        "ballots",
        "actors",
        "keys",
        "licences",
        "consents",
        "accesses",
        "access_anchors",
        "records",
    ):
        op.drop_table(table)
