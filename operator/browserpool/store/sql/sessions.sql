-- name: live
select
    b.session_id, b.browser_id, b.address, b.fence, b.pool, b.region, b.zone, b.node, b.session_kind::text as kind,
    b.session_token as token, b.holder, b.state_since as started_at, b.lease_expires_at as expires_at,
    b.lease_ends_at as ends_at, b.keep_alive, now() as now, b.session_terms as terms,
    case when b.connection_started_at >= b.state_since then b.connection_id end as connection_id, b.connection_started_at,
    b.connection_ended_at
from browsers b
where b.session_id = %(session_id)s;

-- name: listing
select
    b.session_id, b.browser_id, b.address, b.fence, b.pool, b.region, b.zone, b.node, b.session_kind::text as kind,
    b.session_token as token, b.holder, b.state_since as started_at, b.lease_expires_at as expires_at,
    b.lease_ends_at as ends_at, b.keep_alive, now() as now, b.session_terms as terms,
    case when b.connection_started_at >= b.state_since then b.connection_id end as connection_id, b.connection_started_at,
    b.connection_ended_at
from browsers b
where b.session_id is not null
    and (%(token)s::text is null or b.session_token = %(token)s)
    and (%(pools)s::text[] is null or b.pool = any(%(pools)s))
order by b.state_since desc, b.session_id
limit %(limit)s offset %(offset)s;

-- name: prefixed
-- A range of the unique index, which sorts by bytes.
select
    b.session_id, b.browser_id, b.address, b.fence, b.pool, b.region, b.zone, b.node, b.session_kind::text as kind,
    b.session_token as token, b.holder, b.state_since as started_at, b.lease_expires_at as expires_at,
    b.lease_ends_at as ends_at, b.keep_alive, now() as now, b.session_terms as terms,
    case when b.connection_started_at >= b.state_since then b.connection_id end as connection_id, b.connection_started_at,
    b.connection_ended_at
from browsers b
where b.session_id >= %(first)s and b.session_id < %(after)s
order by b.session_id;

-- name: connected
update browsers b set connection_id = %(connection_id)s, connection_started_at = now(), connection_ended_at = null
where b.session_id = %(session_id)s and b.fence = %(fence)s;

-- name: disconnected
-- Nothing if another connection was opened since.
update browsers b set connection_ended_at = now()
where b.session_id = %(session_id)s and b.fence = %(fence)s and b.connection_id = %(connection_id)s;

-- name: moment
select now() as now;

-- name: writable
select not (pg_is_in_recovery() or current_setting('transaction_read_only')::boolean) as writable;

-- name: history
select
    s.session_id, s.browser_id, s.fence, s.pool, s.region, s.zone, s.node, s.kind::text as kind, s.token, s.holder, s.started_at, s.ended_at,
    s.reason, s.connection_id, s.connection_started_at, s.connection_ended_at
from sessions s
where s.session_id = %(session_id)s;

-- name: past
select
    s.session_id, s.browser_id, s.fence, s.pool, s.region, s.zone, s.node, s.kind::text as kind, s.token, s.holder, s.started_at, s.ended_at,
    s.reason, s.connection_id, s.connection_started_at, s.connection_ended_at
from sessions s
where (%(token)s::text is null or s.token = %(token)s)
    and (%(pools)s::text[] is null or s.pool = any(%(pools)s))
order by s.ended_at desc, s.session_id
limit %(limit)s offset %(offset)s;

-- name: prune
delete from sessions s where s.ended_at < now() - make_interval(secs => %(older_than)s);
