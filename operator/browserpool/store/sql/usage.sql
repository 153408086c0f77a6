-- name: count
-- Off every caller's path: sessions are read where they are written anyway, from the history and from their browsers' rows. An end is
-- written with the time at which its statement began, so ends of the last %(settle)s seconds may still appear, and are counted anew
-- each round. Rounds never wait for each other; who comes before it is time, or beside another, has nothing to do.
with turn as (
    select r.through from usage_rounds r
    where r.here and r.counted_at <= now() - make_interval(secs => %(every)s)
    for update skip locked
), bounds as (
    select t.through as since, greatest(t.through, now() - make_interval(secs => %(settle)s)) as until from turn t
), spans as (
    select s.token, s.started_at, s.ended_at, s.ended_at <= bounds.until as settled
    from sessions s, bounds
    where s.ended_at > bounds.since and s.token is not null
    union all
    select b.session_token, b.state_since, now(), false
    from browsers b, bounds
    where b.session_id is not null and b.session_token is not null
), days as (
    select
        s.token, d.day::date as day, s.settled,
        extract(epoch from least(s.ended_at at time zone 'UTC', d.day + interval '1 day') - greatest(s.started_at at time zone 'UTC', d.day))
            as seconds
    from spans s
    cross join lateral generate_series(
        date_trunc('day', s.started_at at time zone 'UTC'), s.ended_at at time zone 'UTC', interval '1 day'
    ) as d (day)
), sums as (
    select
        d.token, d.day, coalesce(sum(d.seconds) filter (where d.settled), 0) as settled,
        coalesce(sum(d.seconds) filter (where not d.settled), 0) as open
    from days d
    group by d.token, d.day
), closed as (
    update usage u set open_seconds = 0
    where u.open_seconds > 0 and exists (select from turn)
        and not exists (select from sums s where s.token = u.token and s.day = u.day)
), advanced as (
    update usage_rounds r set through = bounds.until, counted_at = now() from bounds where r.here
)
insert into usage as u (token, day, seconds, open_seconds)
select s.token, s.day, s.settled, s.open from sums s order by s.token, s.day
on conflict (token, day) do update set seconds = u.seconds + excluded.seconds, open_seconds = excluded.open_seconds;

-- name: today
-- One row at least, for the time.
select
    now() as now, (date_trunc('day', now() at time zone 'UTC') + interval '1 day') at time zone 'UTC' as ends_at, u.token,
    u.seconds + u.open_seconds as seconds
from (values (true)) as always (here)
left join usage u on u.day = (now() at time zone 'UTC')::date;

-- name: prune
delete from usage u where u.day < (now() at time zone 'UTC' - make_interval(secs => %(older_than)s))::date;
