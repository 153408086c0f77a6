"""Claims where a region has a database of its own: asked for in one after another, one that is away being a stale one."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from browserpool.model import errors
from browserpool.model.claims import ClaimAnswer, ClaimRequest, Locality, Outcome
from browserpool.model.names import DatabaseName, SessionId
from browserpool.store import connect, databases, leases, sessions

SPILL_AFTER: Final = 1.0
"""Seconds for the answer of a database that another can stand in for."""

_UNUSABLE: Final = (Outcome.EMPTY, Outcome.STALE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a claim was answered. ``unsure``: databases that gave no answer, and may have made a session of that id."""

    answer: ClaimAnswer
    unsure: tuple[tuple[DatabaseName, SessionId], ...] = ()


class Unanswered(errors.Unavailable):
    """No database of those that were asked could answer; ``unsure`` as of ``Claimed``."""

    def __init__(self, error: errors.Unavailable, unsure: Sequence[tuple[DatabaseName, SessionId]]) -> None:
        super().__init__(error.message, retry_after=error.retry_after)
        self.unsure = tuple(unsure)


async def claim(
    all_: databases.Databases,
    request: ClaimRequest,
    *,
    freshness: float = 15.0,
    fresh_id: Callable[[], SessionId] | None = None,
    doubtful: Collection[DatabaseName] = (),
) -> Claimed:
    """``leases.claim`` in the region's databases, then in its backup's, as the request's spillover says; one that is away is a stale one.

    One statement, as ever, where region and backup are in one database. ``fresh_id`` names the session anew after a database gave no
    answer. Without it the id is to have one browser whichever database it is in: all that answer are asked for it first, and after one
    gave no answer to the claim no other is asked. Of those that are away then, the ``doubtful`` ones, which may have made the session in
    an earlier call (``unsure`` of it), keep it from being made elsewhere; the others were never asked, so that it may spill.

    Raises:
        Unanswered: none of the region's can be used, and the backup's are not to be asked, or cannot be used either.
    """
    asking = _Asking(all_, freshness=freshness, fresh_id=fresh_id)
    involved = involves(request)
    if len(involved) == 1:
        return await asking.only(involved[0], request)
    if fresh_id is None and (known := await asking.known(request, involved, doubtful)) is not None:
        return known
    alone = dataclasses.replace(request, backup=None)
    try:
        answer = await asking.each(request.databases, alone)
        trouble = None
    except errors.Unavailable as error:
        answer, trouble = ClaimAnswer(outcome=Outcome.STALE), error
    if not _may_spill(request, answer.outcome) or request.backup is None:
        if trouble is not None:
            raise Unanswered(trouble, asking.unsure) from trouble
        return asking.claimed(answer)
    if fresh_id is None and asking.unsure:
        assert trouble is not None, "who is unsure was away"
        raise Unanswered(trouble, asking.unsure) from trouble
    spilled = await asking.spilled(request)
    if spilled is None and trouble is not None:
        raise Unanswered(trouble, asking.unsure) from trouble
    return asking.claimed(spilled or answer)


def involves(request: ClaimRequest) -> list[DatabaseName]:
    """The databases that such a claim may be made in, in the order in which they are asked."""
    return list(dict.fromkeys((*request.databases, *(request.backup_databases if request.backup else ()))))


def _may_spill(request: ClaimRequest, outcome: Outcome) -> bool:
    return (
        request.spill_when_empty if outcome is Outcome.EMPTY else request.spill_when_stale and outcome is Outcome.STALE
    )


class _Asking:
    """One claim on its way through databases."""

    def __init__(
        self, all_: databases.Databases, *, freshness: float, fresh_id: Callable[[], SessionId] | None
    ) -> None:
        self._all = all_
        self._freshness = freshness
        self._fresh_id = fresh_id
        self._anew: SessionId | None = None
        self.unsure: list[tuple[DatabaseName, SessionId]] = []

    def claimed(self, answer: ClaimAnswer) -> Claimed:
        return Claimed(answer=answer, unsure=tuple(self.unsure))

    async def only(self, name: DatabaseName, request: ClaimRequest) -> Claimed:
        """The one that has both region and backup."""
        try:
            return self.claimed(await self._ask(name, request, patience=None))
        except errors.Unavailable as error:
            raise Unanswered(error, self.unsure) from error

    async def known(
        self, request: ClaimRequest, among: Iterable[DatabaseName], doubtful: Collection[DatabaseName]
    ) -> Claimed | None:
        """What has become of the session that was claimed under this id before, in whichever database; None: it was not.

        Raises:
            Unanswered: none of those that answer has it, and a doubtful one may.
        """
        away: dict[DatabaseName, errors.Unavailable] = {}
        for name in among:
            try:
                found = await self._heard_of(name, request.session_id)
            except errors.Unavailable as error:
                away[name] = error
                continue
            if found is Outcome.ENDED:
                return self.claimed(ClaimAnswer(outcome=Outcome.ENDED))
            if found is not None:
                return await self.only(name, request)
        unsure = [(name, request.session_id) for name in away if name in doubtful]
        for name, _ in unsure:
            raise Unanswered(away[name], unsure) from away[name]
        return None

    async def _heard_of(self, name: DatabaseName, session_id: SessionId) -> Outcome | None:
        """Whether the database has the session of this id, or had it."""
        db = _patient(self._all.of(name), SPILL_AFTER)
        try:
            if await sessions.live(db, session_id) is not None:
                return Outcome.REPEATED
            return Outcome.ENDED if await sessions.history(db, session_id) is not None else None
        except errors.Unavailable as error:
            self._all.suspect(name, error)
            raise

    async def each(self, names: Iterable[DatabaseName], request: ClaimRequest) -> ClaimAnswer:
        """The first of them that has a browser; else the best of what they say.

        Raises:
            errors.Unavailable: none of them said anything.
        """
        best: ClaimAnswer | None = None
        trouble: errors.Unavailable | None = None
        for name in names:
            try:
                answer = await self._ask(name, request, patience=SPILL_AFTER)
            except errors.Unavailable as error:
                trouble = trouble or error
                if self.unsure and self._fresh_id is None:
                    raise
                continue
            if answer.outcome not in _UNUSABLE:
                return answer
            if best is None or answer.outcome is Outcome.EMPTY:
                best = answer
        if best is None:
            assert trouble is not None, "there is one at least, and it answered or did not"
            raise trouble
        return best

    async def spilled(self, request: ClaimRequest) -> ClaimAnswer | None:
        """The backup's answer; None: it is stale too, or away."""
        assert request.backup is not None, "looked at before"
        # Nobody stands near a browser of the backup's.
        there = dataclasses.replace(request, region=request.backup, backup=None, zone=None, node=None)
        try:
            answer = await self.each(request.backup_databases, there)
        except errors.Unavailable:
            return None
        if answer.claim is None:
            return None if answer.outcome is Outcome.STALE else answer
        return dataclasses.replace(answer, claim=dataclasses.replace(answer.claim, locality=Locality.BACKUP))

    async def _ask(self, name: DatabaseName, request: ClaimRequest, *, patience: float | None) -> ClaimAnswer:
        db = self._all.of(name)
        if patience is not None:
            # Not run again either: what breaks under it has stopped, more often than not, and others can serve.
            db = dataclasses.replace(_patient(db, patience), repeat=False)
        asked = request if self._anew is None else dataclasses.replace(request, session_id=self._anew)
        try:
            answer = await leases.claim(db, asked, freshness=self._freshness)
        except errors.Unavailable as error:
            self.unsure.append((name, asked.session_id))
            self._all.suspect(name, error)
            if self._fresh_id is not None:
                self._anew = self._fresh_id()
            raise
        if answer.claim is None or answer.claim.database == name:
            return answer
        return dataclasses.replace(answer, claim=dataclasses.replace(answer.claim, database=name))


def _patient(db: connect.Database, patience: float) -> connect.Database:
    return dataclasses.replace(db, deadline=min(db.deadline, patience))
