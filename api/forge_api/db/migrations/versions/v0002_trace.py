"""The trace that a run belongs to; runs of before have one that is named by their id."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("run", sa.Column("traceparent", sa.String(length=55), nullable=True))
