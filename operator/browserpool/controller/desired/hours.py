"""Whether it is one of the hours that a pool's schedule names."""

import datetime
import zoneinfo
from collections.abc import Iterator

from browserpool.model.autoscaling import WEEK, Hours

_DAY = datetime.timedelta(days=1)


def now_in(hours: Hours, moment: datetime.datetime) -> bool:
    """Whether ``moment``, which is aware, lies within ``hours``; their end does not.

    Where clocks are changed a time of day exists twice, or not at all: the hours then begin at the earlier and end at the later of
    what it may mean.
    """
    today = moment.astimezone(zoneinfo.ZoneInfo(hours.time_zone)).date()
    return any(begin <= moment < end for begin, end in _spans(hours, around=today))


def _spans(hours: Hours, *, around: datetime.date) -> Iterator[tuple[datetime.datetime, datetime.datetime]]:
    """Those that begin the day before ``around``, on it, or the day after, whose first minutes a change of clocks may bring forward."""
    zone = zoneinfo.ZoneInfo(hours.time_zone)
    begin, end = datetime.time.fromisoformat(hours.begin), datetime.time.fromisoformat(hours.end)
    for day in (around - _DAY, around, around + _DAY):
        if not hours.days or WEEK[day.weekday()] in hours.days:
            last = day if begin < end else day + _DAY
            yield min(_meanings(day, begin, zone)), max(_meanings(last, end, zone))


def _meanings(day: datetime.date, time: datetime.time, zone: zoneinfo.ZoneInfo) -> Iterator[datetime.datetime]:
    for fold in (0, 1):
        yield datetime.datetime.combine(day, time.replace(fold=fold), tzinfo=zone).astimezone(datetime.UTC)
