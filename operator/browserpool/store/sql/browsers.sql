-- name: register
-- A name that is gone starts again; one that lives keeps what it has.
with put as (
    insert into browsers as b (
        browser_id, pool, region, zone, node, template_hash, fence, region_shelf, zone_shelf, node_shelf
    )
    values (
        %(browser_id)s, %(pool)s, %(region)s, %(zone)s, %(node)s, %(template_hash)s, nextval('registrations') << 32,
        shelf(%(pool)s, %(region)s, ''), shelf(%(pool)s, %(region)s, 'zone/' || %(zone)s),
        shelf(%(pool)s, %(region)s, 'node/' || %(node)s)
    )
    on conflict (browser_id) do update set
        pool = excluded.pool,
        region = excluded.region,
        zone = excluded.zone,
        node = excluded.node,
        template_hash = excluded.template_hash,
        region_shelf = excluded.region_shelf,
        zone_shelf = excluded.zone_shelf,
        node_shelf = excluded.node_shelf,
        fence = excluded.fence,
        incarnation = null,
        sequence = -1,
        uses = 0,
        restarts = 0,
        memory_bytes = 0,
        load = 0,
        last_seen = null,
        registered_at = now(),
        state = 'starting',
        state_since = now(),
        healthy = false,
        drain_requested = false,
        address = null,
        chromium = null
    where b.state = 'gone'
    returning b.fence
)
select put.fence from put
union all
select b.fence from browsers b where b.browser_id = %(browser_id)s and not exists (select from put);

-- name: registrations
select r.last_value as number from registrations r;

-- name: raise_registrations
-- Only ever upwards. Who registers is one, the leader, and it does not do so meanwhile.
select setval('registrations', %(above)s) as number from registrations r
where r.last_value < %(above)s or (r.last_value = %(above)s and not r.is_called);

-- name: hello
-- A new start of the agent: what the browser held is lost, and it must say that it is clean before it is claimed again.
update browsers b set
    incarnation = nextval('incarnations'),
    sequence = -1,
    address = %(address)s,
    chromium = %(chromium)s,
    healthy = false,
    last_seen = now(),
    state = case
        when b.state = 'claimed' and b.drain_requested then 'draining'
        when b.state in ('claimed', 'ready') then 'recycling'
        else b.state
    end,
    state_since = case when b.state in ('claimed', 'ready') then now() else b.state_since end,
    session_id = null,
    close_reason = %(reason)s
where b.browser_id = %(browser_id)s and b.state <> 'gone'
returning b.incarnation, b.fence, now() as now;

-- name: locate
-- Where its pod has come to stand, which nobody knew when it was registered.
with chosen as (
    select b.browser_id, place.zone, place.node
    from browsers b
    join unnest(%(browser_ids)s::text[], %(zones)s::text[], %(nodes)s::text[]) as place (browser_id, zone, node)
        on place.browser_id = b.browser_id
    where b.state <> 'gone' and (b.zone, b.node) is distinct from (place.zone, place.node)
    order by b.browser_id
    for update of b
)
update browsers b set
    zone = chosen.zone,
    node = chosen.node,
    zone_shelf = shelf(b.pool, b.region, 'zone/' || chosen.zone),
    node_shelf = shelf(b.pool, b.region, 'node/' || chosen.node)
from chosen
where b.browser_id = chosen.browser_id;

-- name: drain
-- A claimed browser is only marked: it drains when its session ends.
with chosen as (
    select b.browser_id from browsers b
    where b.browser_id = any(%(browser_ids)s::text[]) and b.state not in ('draining', 'gone')
    order by b.browser_id
    for update
)
update browsers b set
    drain_requested = true,
    state = case when b.state = 'claimed' then b.state else 'draining' end,
    state_since = case when b.state = 'claimed' then b.state_since else now() end
from chosen
where b.browser_id = chosen.browser_id;

-- name: withdraw
-- The same for one, with the answer to whether it is held. Repeated as long as somebody empties its node.
update browsers b set
    drain_requested = true,
    state = case when b.state = 'claimed' then b.state else 'draining' end,
    state_since = case when b.state in ('claimed', 'draining') then b.state_since else now() end
where b.browser_id = %(browser_id)s and b.state <> 'gone'
returning b.state::text as state;

-- name: state
select b.state::text as state from browsers b where b.browser_id = %(browser_id)s and b.state <> 'gone';

-- name: forget
with chosen as (
    select b.browser_id from browsers b
    where b.browser_id = any(%(browser_ids)s::text[]) and b.state <> 'gone'
    order by b.browser_id
    for update
)
update browsers b set
    state = 'gone',
    state_since = now(),
    session_id = null,
    close_reason = %(reason)s
from chosen
where b.browser_id = chosen.browser_id;

-- name: claimable
select b.browser_id from browsers b
where b.browser_id = any(%(browser_ids)s::text[]) and b.state not in ('draining', 'gone')
order by b.browser_id;

-- name: listing
select
    b.browser_id, b.pool, b.region, b.zone, b.node, b.template_hash, b.state::text as state, b.fence, b.incarnation, b.address,
    b.chromium, b.healthy, b.drain_requested, b.load, b.uses, b.restarts, b.memory_bytes, b.session_id,
    extract(epoch from now() - b.last_seen)::double precision as last_seen_age,
    extract(epoch from now() - b.state_since)::double precision as state_age,
    extract(epoch from now() - b.registered_at)::double precision as age
from browsers b
where %(pool)s::text is null or b.pool = %(pool)s
order by b.browser_id;

-- name: counts
select b.pool, b.region, b.state::text as state, count(*) as number
from browsers b
where b.state <> 'gone'
group by b.pool, b.region, b.state
order by b.pool, b.region, b.state;

-- name: product
-- Any browser's will do: it is shown where nobody asks for a certain one.
select b.chromium from browsers b where b.chromium is not null and b.state <> 'gone' limit 1;

-- name: sweep
-- What no claim would take leaves the ready ones, so that claims need not step over it. Its next good heartbeat brings it back.
with chosen as (
    select b.browser_id from browsers b
    where b.state = 'ready' and (not b.healthy or b.last_seen < now() - make_interval(secs => %(unseen)s))
    order by b.browser_id
    for update skip locked
)
update browsers b set state = 'recycling', state_since = now()
from chosen
where b.browser_id = chosen.browser_id;

-- name: prune
delete from browsers b where b.state = 'gone' and b.state_since < now() - make_interval(secs => %(older_than)s);

-- name: ready
-- The index of what is ready is walked no further than is asked.
select count(*)::integer as number from (
    select from browsers b
    where b.state = 'ready' and b.region_shelf = shelf(%(pool)s, %(region)s, '') and b.healthy
        and b.last_seen > (select greatest(now() - make_interval(secs => %(freshness)s::double precision), r.since) from remembered r where r.here)
    limit %(most)s
) b;
