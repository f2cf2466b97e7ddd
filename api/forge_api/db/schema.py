"""What every table is made of: types that fit SQLite and PostgreSQL alike, and names for every constraint, so that
migrations can speak of it."""

import enum
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, CheckConstraint, DateTime, Dialect, Integer, MetaData, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase


class UtcDateTime(TypeDecorator[datetime]):
    """A time that knows its zone. SQLite forgets zones, PostgreSQL takes times without one: both are prevented here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Document = dict[str, Any]
DOCUMENT: Final = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
SERIAL: Final = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite counts up only what is called INTEGER."""


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own way to say it
        datetime: UtcDateTime(),
        Document: DOCUMENT,
        str: Text(),
    }


def one_of(column: str, values: type[enum.StrEnum]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({quoted(values)})", name=column)


def quoted(values: Iterable[enum.StrEnum]) -> str:
    return ", ".join(f"'{value}'" for value in values)
