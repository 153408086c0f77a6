-- name: claim_on_node
-- The usual claim of a caller who knows its node, by one plain statement: a function costs half as much again. Whatever is not
-- usual is for `claim` to find out: nothing ready there, an ended session's id or a stale region give no row, and the id of a live
-- session fails on its unique index.
--
-- A quick action does not wait until its claim is on disk. What a crash of the server then takes back is a moment's claims, and no
-- browser has two callers for it: it is claimed again only after its agent has said which fences it has seen (schema.sql, remembered), and the
-- agent refuses a fence that is another session's. A CDP session's id is in its client's hands, and has to be there after a crash.
--
-- The probe walks one partial index from %(slot)s, which is random, and wraps around: claimers seldom meet, and none of them has to
-- step over the dead entries that a common starting point would pile up.
update browsers b set
    state = 'claimed',
    state_since = now(),
    fence = b.fence + 1,
    session_id = %(session_id)s,
    session_kind = %(kind)s::session_kind,
    session_token = %(token)s,
    session_terms = %(terms)s::jsonb,
    holder = %(holder)s,
    keep_alive = %(keep_alive)s::double precision,
    lease_ends_at = now() + make_interval(secs => %(max_lifetime)s::double precision),
    lease_expires_at = now() + make_interval(
        secs => least(%(keep_alive)s::double precision, %(max_lifetime)s::double precision)
    )
where b.ctid = coalesce(
        (
            select c.ctid from browsers c
            where c.state = 'ready' and c.node_shelf = shelf(%(pool)s, %(region)s, 'node/' || %(node)s)
                and c.slot >= %(slot)s::integer and c.healthy
                and c.last_seen > (select greatest(now() - make_interval(secs => %(freshness)s::double precision), r.since) from remembered r where r.here)
            order by c.slot limit 1 for update skip locked
        ),
        (
            select c.ctid from browsers c
            where c.state = 'ready' and c.node_shelf = shelf(%(pool)s, %(region)s, 'node/' || %(node)s)
                and c.slot < %(slot)s::integer and c.healthy
                and c.last_seen > (select greatest(now() - make_interval(secs => %(freshness)s::double precision), r.since) from remembered r where r.here)
            order by c.slot limit 1 for update skip locked
        )
    )
    and not exists (select from sessions s where s.session_id = %(session_id)s)
    and not exists (select from stale_regions r where r.region = %(region)s)
    and (%(kind)s <> 'action' or set_config('synchronous_commit', 'off', true) = 'off')
returning
    b.session_id, 'claimed' as outcome, 'node' as locality, b.browser_id, b.fence, b.address, b.region, b.zone, b.node,
    b.lease_expires_at as expires_at, b.template_hash, now() as now;

-- name: claim_in_region
-- The same for a caller who wishes for no place within its region.
update browsers b set
    state = 'claimed',
    state_since = now(),
    fence = b.fence + 1,
    session_id = %(session_id)s,
    session_kind = %(kind)s::session_kind,
    session_token = %(token)s,
    session_terms = %(terms)s::jsonb,
    holder = %(holder)s,
    keep_alive = %(keep_alive)s::double precision,
    lease_ends_at = now() + make_interval(secs => %(max_lifetime)s::double precision),
    lease_expires_at = now() + make_interval(
        secs => least(%(keep_alive)s::double precision, %(max_lifetime)s::double precision)
    )
where b.ctid = coalesce(
        (
            select c.ctid from browsers c
            where c.state = 'ready' and c.region_shelf = shelf(%(pool)s, %(region)s, '')
                and c.slot >= %(slot)s::integer and c.healthy
                and c.last_seen > (select greatest(now() - make_interval(secs => %(freshness)s::double precision), r.since) from remembered r where r.here)
            order by c.slot limit 1 for update skip locked
        ),
        (
            select c.ctid from browsers c
            where c.state = 'ready' and c.region_shelf = shelf(%(pool)s, %(region)s, '')
                and c.slot < %(slot)s::integer and c.healthy
                and c.last_seen > (select greatest(now() - make_interval(secs => %(freshness)s::double precision), r.since) from remembered r where r.here)
            order by c.slot limit 1 for update skip locked
        )
    )
    and not exists (select from sessions s where s.session_id = %(session_id)s)
    and not exists (select from stale_regions r where r.region = %(region)s)
    and (%(kind)s <> 'action' or set_config('synchronous_commit', 'off', true) = 'off')
returning
    b.session_id, 'claimed' as outcome, 'region' as locality, b.browser_id, b.fence, b.address, b.region, b.zone, b.node,
    b.lease_expires_at as expires_at, b.template_hash, now() as now;

-- name: claim
select
    %(session_id)s::text as session_id, c.outcome, c.locality, c.browser_id, c.fence, c.address, c.region, c.zone, c.node,
    c.expires_at, c.template_hash, now() as now
from claim(
    %(session_id)s, %(pool)s, %(region)s, %(zone)s, %(node)s, %(backup)s, %(spill_when_empty)s, %(spill_when_stale)s,
    %(kind)s, %(token)s, %(holder)s, %(keep_alive)s::double precision, %(max_lifetime)s::double precision,
    %(freshness)s::double precision, %(terms)s::jsonb
) c
where %(kind)s <> 'action' or set_config('synchronous_commit', 'off', true) = 'off';

-- name: renew
-- A lease that ran out is still its holder's until `expire` says otherwise; one whose hard end has come is not.
with named as (
    select * from unnest(%(session_ids)s::text[], %(fences)s::bigint[]) as n (session_id, fence)
), chosen as (
    select b.browser_id from browsers b join named n on b.session_id = n.session_id and b.fence = n.fence
    where b.lease_ends_at is null or b.lease_ends_at > now()
    order by b.browser_id
    for update of b
)
update browsers b set
    holder = %(holder)s,
    lease_expires_at = least(now() + make_interval(secs => b.keep_alive), b.lease_ends_at)
from chosen
where b.browser_id = chosen.browser_id and b.session_id is not null
returning b.session_id;

-- name: release
-- Clean: through recycling and on to ready at once, on the agent's word that it is clean after this very fence. That of a quick action is
-- not waited for until it is on disk: if a crash takes it back, its lease runs out.
update browsers b set
    state = case
        when b.drain_requested or %(give_up)s then 'draining'
        when %(clean)s then 'ready'
        else 'recycling'
    end::browser_state,
    state_since = now(),
    session_id = null,
    close_reason = %(reason)s
where b.session_id = %(session_id)s and b.fence = %(fence)s
    and (b.session_kind <> 'action' or set_config('synchronous_commit', 'off', true) = 'off')
returning b.state::text as state;

-- name: expire
-- Never straight to ready: nobody has said that the browser is clean.
with due as (
    select b.browser_id, b.session_id from browsers b
    where b.session_id is not null and (b.lease_expires_at < now() or b.lease_ends_at < now())
    order by b.browser_id
    limit %(limit)s
    for update skip locked
)
update browsers b set
    state = case when b.drain_requested then 'draining' else 'recycling' end::browser_state,
    state_since = now(),
    session_id = null,
    close_reason = %(reason)s
from due
where b.browser_id = due.browser_id
returning due.session_id, b.browser_id, b.fence, b.address, b.pool, b.region;

-- name: release_all
with chosen as (
    select b.browser_id, b.session_id from browsers b
    where b.session_id is not null and b.holder = %(holder)s
    order by b.browser_id
    for update
)
update browsers b set
    state = case when b.drain_requested then 'draining' else 'recycling' end::browser_state,
    state_since = now(),
    session_id = null,
    close_reason = %(reason)s
from chosen
where b.browser_id = chosen.browser_id
returning chosen.session_id, b.browser_id, b.fence, b.address, b.pool, b.region;
