"""The feed of the usual kind: SQLAlchemy's ORM, one LEFT JOIN of activities with the viewer's marks, newest first."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship


class Base(DeclarativeBase):
    """Of the models."""


class MP(Base):
    """A member."""

    __tablename__ = "mps"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    name: Mapped[str]
    party: Mapped[str | None]
    riding: Mapped[str | None]


class Bill(Base):
    """A bill."""

    __tablename__ = "bills"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    number: Mapped[str]
    title: Mapped[str]


class Activity(Base):
    """An activity."""

    __tablename__ = "activities"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    type: Mapped[str]
    title: Mapped[str]
    summary: Mapped[str | None]
    url: Mapped[str | None]
    occurred_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    mp_id: Mapped[int | None] = mapped_column(sa.ForeignKey("mps.id"))
    bill_id: Mapped[int | None] = mapped_column(sa.ForeignKey("bills.id"))
    mp: Mapped[MP | None] = relationship()
    bill: Mapped[Bill | None] = relationship()


class Read(Base):
    """A mark."""

    __tablename__ = "user_activity_reads"
    user_id: Mapped[str] = mapped_column(primary_key=True)
    activity_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)


class UsualFeed:
    """Unread activities with their MPs and bills; with `count`, how many there are, which our paths always say."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def page(self, user: str) -> list[Activity]:
        """The newest 20."""
        async with self._sessions() as session:
            return await self._page(session, user)

    async def page_and_count(self, user: str) -> tuple[list[Activity], int]:
        """The same, and the count, in one transaction."""
        async with self._sessions() as session:
            count = sa.select(sa.func.count()).select_from(Activity).outerjoin(Read, _is_read_by(user))
            return await self._page(session, user), await session.scalar(count.where(Read.activity_id.is_(None))) or 0

    async def _page(self, session: AsyncSession, user: str) -> list[Activity]:
        query = (
            sa.select(Activity)
            .outerjoin(Read, _is_read_by(user))
            .where(Read.activity_id.is_(None))
            .options(joinedload(Activity.mp), joinedload(Activity.bill))
            .order_by(Activity.created_at.desc(), Activity.id.desc())
            .limit(20)
        )
        return list(await session.scalars(query))


def _is_read_by(user: str) -> sa.ColumnElement[bool]:
    return sa.and_(Read.activity_id == Activity.id, Read.user_id == user)
