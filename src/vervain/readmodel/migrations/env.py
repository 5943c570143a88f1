# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: migrates over the connection that `database.open_database` hands in."""

from alembic import context

from vervain.readmodel.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
