-- The store's whole present truth. Migrations must reach exactly this; a test compares the two through the catalogue.
--
-- Rules that hold for every table:
-- * time is now() of this database, never a caller's clock; durations come in as seconds;
-- * a statement that locks many rows of browsers takes them in the order of browser_id, or skips what is locked: no deadlocks;
-- * no statement relies on session state, so that a transaction pooler may stand between.

-- Written by: migrate. Which migrations have run.
create table migrations (
    version integer primary key,
    name text not null,
    applied_at timestamptz not null default now()
);

-- model/states.py holds the legal transitions.
create type browser_state as enum ('starting', 'ready', 'claimed', 'recycling', 'draining', 'gone');

create type session_kind as enum ('action', 'cdp');

-- A registration's fence starts at this number << 32, a claim adds one: a name that is registered again starts above all it ever had.
create sequence registrations as bigint maxvalue 2147483647;

-- One number for each start of an agent, ever rising.
create sequence incarnations as bigint;

-- Where ready browsers of one place are looked for. A number, because a probe compares its key with every entry of an index page,
-- and three texts took longer than all the rest of it. Of 64 bits, so that two places never share one.
create function shelf(p_pool text, p_region text, p_place text) returns bigint language sql immutable parallel safe
return hashtextextended(p_pool || '/' || p_region || '/' || p_place, 0);

-- Written by: controller or `up` (register, drain, forget, sweep, prune), routers (claim, renew, release, expire; hello and
-- heartbeats on behalf of agents). One row a browser; a live session lives in its browser's row, so that two of them on one
-- browser cannot be written down.
create table browsers (
    fence bigint not null,
    incarnation bigint,                     -- null until the agent's first hello
    sequence bigint not null default -1,    -- of the newest heartbeat of this incarnation
    region_shelf bigint not null,           -- shelf() of its pool, its region and, below, its zone or node
    zone_shelf bigint not null,
    node_shelf bigint not null,
    uses bigint not null default 0,
    restarts bigint not null default 0,
    memory_bytes bigint not null default 0,
    load double precision not null default 0,
    last_seen timestamptz,                  -- when the newest heartbeat was written
    registered_at timestamptz not null default now(),
    state_since timestamptz not null default now(),  -- of a claimed browser: when its session began
    lease_expires_at timestamptz,
    lease_ends_at timestamptz,              -- the hard end, which no renewal passes; null: none
    connection_started_at timestamptz,      -- of the CDP connection that was opened last; of an earlier session: means nothing
    connection_ended_at timestamptz,        -- null: it is open
    keep_alive double precision,            -- seconds that a renewal adds to now()
    slot integer not null default floor(random() * 2147483647)::integer,  -- where the browser stands on its shelves
    state browser_state not null default 'starting',
    session_kind session_kind,
    close_reason smallint,                  -- said by the statement that ends a session, for the trigger below
    healthy boolean not null default false,
    drain_requested boolean not null default false,
    -- "C": compared by memcmp, and sorted as Python sorts.
    browser_id text collate "C" primary key,
    pool text collate "C" not null,
    region text collate "C" not null,
    zone text collate "C" not null,
    node text collate "C" not null,
    template_hash text collate "C" not null,
    address text,                           -- host:port of the agent, from its hello
    chromium text,
    session_id text collate "C",            -- null: no live session, and then the columns of the lease mean nothing
    session_token text collate "C",
    session_terms jsonb,                    -- model/terms.py: what the session's pages may reach, and more; null: nothing special
    connection_id text collate "C",
    holder text collate "C",
    -- Each constraint is compiled anew by each statement that writes, and claims are in a hurry: this one, no more.
    constraint claimed_is_held check ((state = 'claimed') = (session_id is not null))
) with (
    -- Every row of a page can be rewritten once before any old version must go: heartbeats stay HOT.
    fillfactor = 50,
    -- Claims leave dead entries in the partial indexes; vacuum is cheap on a table of this size, and late vacuum is not.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);

-- What heartbeats write (healthy, last_seen, load, …) and what renewals write (lease_expires_at) must stand in no index, in no
-- predicate either: those updates are then HOT. Expired leases are found by walking the live sessions.
create unique index browsers_session on browsers (session_id) where session_id is not null;
create index browsers_ready_region on browsers (region_shelf, slot) where state = 'ready';
create index browsers_ready_zone on browsers (zone_shelf, slot) where state = 'ready';
create index browsers_ready_node on browsers (node_shelf, slot) where state = 'ready';

-- Written by: the trigger below, in whichever statement ends a session; routers and `up` prune it. What has been: for people,
-- and so that a late repeat of an ended session's id is answered `ended` instead of being given another browser.
create table sessions (
    session_id text collate "C" primary key,
    fence bigint not null,
    started_at timestamptz not null,
    ended_at timestamptz not null default now(),
    kind session_kind not null,
    reason smallint not null,               -- model/claims.py, CloseReason
    browser_id text collate "C" not null,
    pool text collate "C" not null,
    region text collate "C" not null,
    zone text collate "C" not null,
    node text collate "C" not null,
    token text collate "C",
    holder text collate "C" not null,
    connection_id text collate "C",         -- of the CDP connection that was opened last; null: there was none
    connection_started_at timestamptz,
    connection_ended_at timestamptz
);

create index sessions_ended on sessions (ended_at);

-- Written by: controller or `up`. The regions that exist.
create table regions (
    region text collate "C" primary key
);

-- Written by: routers, each its own row about once a second. How far behind each writer of heartbeats is.
create table region_writers (
    region text collate "C" not null,
    writer text collate "C" not null,
    lag_seconds double precision not null,
    stale boolean not null,                 -- with hysteresis: set over the bound, cleared under half of it
    recorded_at timestamptz not null default now(),
    primary key (region, writer)
) with (fillfactor = 50);

-- Claims ask only whether any writer is stale: this index is empty as long as all is well, however many routers there are.
create index region_writers_stale on region_writers (region) where stale;

-- Written by: controller or `up`. Routers read it.
create table pools (
    pool text collate "C" primary key,
    generation bigint not null,
    spec jsonb not null,
    updated_at timestamptz not null default now()
);

-- Written by: controller. Which region and zone each node of a cluster is of; empty: its labels do not say. Routers read it for
-- requests that name a node and nothing else.
create table nodes (
    node text collate "C" primary key,
    region text collate "C" not null,
    zone text collate "C" not null
);

-- Written by: controllers. Whose database this is: two installations on one would each end what the other runs, as it has no pool here.
create table installation (
    here boolean primary key default true check (here),  -- one row, no more
    name text collate "C" not null,
    since timestamptz not null default now(),
    renewed_at timestamptz not null default now(),
    silent_since timestamptz                -- since when another, who wants it, has heard nothing of it; null: it is heard
);

-- Written by: controller or `up`. Clients' bearer tokens, as SHA-256 only.
create table tokens (
    token text collate "C" primary key,
    hash bytea not null unique,
    pools text[],                           -- null: all
    concurrency integer,                    -- null: no bound
    rate_per_second double precision,       -- null: no bound
    admin boolean not null default false
);

-- The statement that takes a session off its browser, and says why, writes the history in the same breath. The trigger names
-- close_reason, which neither claims nor heartbeats touch: they would otherwise pay for its condition.
create function record_ended_session() returns trigger language plpgsql as $$
begin
    insert into sessions (
        session_id, fence, started_at, kind, reason, browser_id, pool, region, zone, node, token, holder, connection_id,
        connection_started_at, connection_ended_at
    )
    values (
        old.session_id, old.fence, old.state_since, old.session_kind, new.close_reason, old.browser_id, old.pool, old.region,
        old.zone, old.node, old.session_token, old.holder, case when connected then old.connection_id end,
        case when connected then old.connection_started_at end,
        case when connected then coalesce(old.connection_ended_at, now()) end
    )
    on conflict (session_id) do nothing;
    return null;
end
$$;

create trigger session_ended after update of close_reason on browsers
for each row when (old.session_id is not null and new.session_id is distinct from old.session_id)
execute function record_ended_session();

-- A region is stale if any writer of its heartbeats is too far behind. A writer that has said nothing for ten seconds does not count:
-- it is gone, and what it should have written ages out through last_seen.
create view stale_regions as
select w.region from region_writers w where w.stale and w.recorded_at > now() - interval '10 seconds';

-- Locks the nearest ready browser and says where its row is; null: there is none, or others have locked them all.
--
-- From a random slot on and around, as in leases.sql, which has the statements for what is usual.
create function lock_ready(p_pool text, p_region text, p_zone text, p_node text, p_seen_after timestamptz) returns tid
language plpgsql as $$
declare
    start integer := floor(random() * 2147483647)::integer;
    spot tid;
begin
    if p_node is not null then
        select found.spot into spot from (
            select * from (
                select b.ctid as spot from browsers b
                where b.state = 'ready' and b.node_shelf = shelf(p_pool, p_region, 'node/' || p_node) and b.slot >= start
                    and b.healthy and b.last_seen > p_seen_after
                order by b.slot limit 1 for update skip locked
            ) ahead
            union all
            select * from (
                select b.ctid as spot from browsers b
declare
    connected boolean := old.connection_started_at >= old.state_since;
                where b.state = 'ready' and b.node_shelf = shelf(p_pool, p_region, 'node/' || p_node) and b.slot < start
                    and b.healthy and b.last_seen > p_seen_after
                order by b.slot limit 1 for update skip locked
            ) behind
        ) found limit 1;
        if spot is not null then return spot; end if;
    end if;
    if p_zone is not null then
        select found.spot into spot from (
            select * from (
                select b.ctid as spot from browsers b
                where b.state = 'ready' and b.zone_shelf = shelf(p_pool, p_region, 'zone/' || p_zone) and b.slot >= start
                    and b.healthy and b.last_seen > p_seen_after
                order by b.slot limit 1 for update skip locked
            ) ahead
            union all
            select * from (
                select b.ctid as spot from browsers b
                where b.state = 'ready' and b.zone_shelf = shelf(p_pool, p_region, 'zone/' || p_zone) and b.slot < start
                    and b.healthy and b.last_seen > p_seen_after
                order by b.slot limit 1 for update skip locked
            ) behind
        ) found limit 1;
        if spot is not null then return spot; end if;
    end if;
    select found.spot into spot from (
        select * from (
            select b.ctid as spot from browsers b
            where b.state = 'ready' and b.region_shelf = shelf(p_pool, p_region, '') and b.slot >= start
                and b.healthy and b.last_seen > p_seen_after
            order by b.slot limit 1 for update skip locked
        ) ahead
        union all
        select * from (
            select b.ctid as spot from browsers b
            where b.state = 'ready' and b.region_shelf = shelf(p_pool, p_region, '') and b.slot < start
                and b.healthy and b.last_seen > p_seen_after
            order by b.slot limit 1 for update skip locked
        ) behind
    ) found limit 1;
    return spot;
end
$$;

-- One claim, whatever the case. Outcomes are model/claims.py's. The settings keep the planner to the indexes whatever the
-- statistics say: a plan that was made while a table was small would be kept when it is large.
create function claim(
    p_session_id text, p_pool text, p_region text, p_zone text, p_node text, p_backup text, p_spill_when_empty boolean,
    p_spill_when_stale boolean, p_kind text, p_token text, p_holder text, p_keep_alive double precision,
    p_max_lifetime double precision, p_freshness double precision, p_terms jsonb default null,
    out outcome text, out locality text, out browser_id text, out fence bigint, out address text, out region text, out zone text,
    out node text, out expires_at timestamptz
) language plpgsql set enable_seqscan = off set enable_sort = off as $$
#variable_conflict use_column
declare
    seen_after timestamptz := now() - make_interval(secs => p_freshness);
    ends_at timestamptz := now() + make_interval(secs => p_max_lifetime);
    held text;
    over boolean;
    stale boolean;
    spot tid;
begin
    select
        (select b.browser_id from browsers b where b.session_id = p_session_id),
        exists (select from sessions s where s.session_id = p_session_id),
        exists (select from stale_regions r where r.region = p_region)
    into held, over, stale;
    if held is not null then
        outcome := 'repeated';
        select b.browser_id, b.fence, b.address, b.region, b.zone, b.node, b.lease_expires_at
        into browser_id, fence, address, region, zone, node, expires_at
        from browsers b where b.browser_id = held;
    elsif over then
        outcome := 'ended';
        return;
    else
        if not stale then
            spot := lock_ready(p_pool, p_region, p_zone, p_node, seen_after);
        end if;
        if spot is null and p_backup is not null and (case when stale then p_spill_when_stale else p_spill_when_empty end) then
            if not exists (select from stale_regions r where r.region = p_backup) then
                spot := lock_ready(p_pool, p_backup, null, null, seen_after);
                stale := false;
            end if;
        end if;
        if spot is null then
            outcome := case when stale then 'stale' else 'empty' end;
            return;
        end if;
        outcome := 'claimed';
        update browsers b set
            state = 'claimed',
            state_since = now(),
            fence = b.fence + 1,
            session_id = p_session_id,
            session_kind = p_kind::session_kind,
            session_token = p_token,
            holder = p_holder,
            keep_alive = p_keep_alive,
            lease_ends_at = ends_at,
            lease_expires_at = least(now() + make_interval(secs => p_keep_alive), ends_at)
        where b.ctid = spot
        returning b.browser_id, b.fence, b.address, b.region, b.zone, b.node, b.lease_expires_at
        into browser_id, fence, address, region, zone, node, expires_at;
    end if;
    locality := case
        when region <> p_region then 'backup'
        when node = p_node then 'node'
        when zone = p_zone then 'zone'
        else 'region'
    end;
end
$$;

-- Writes one batch of heartbeats and answers for each row that it wrote; what it does not answer for was too old, or of an agent
-- that no row knows. The batch is sorted by browser_id, and the settings leave the planner only the nested loop that keeps this
-- order: two writers never wait for each other in a circle.
--
-- A heartbeat changes the state from starting or recycling to ready, and nothing else, and only if its agent says that it is clean
-- after the row's own fence. The row is read again under its lock, so a claim that came first is seen.
create function write_heartbeats(
    p_browser_ids text[], p_incarnations bigint[], p_sequences bigint[], p_healthy boolean[], p_clean_fences bigint[],
    p_loads double precision[], p_uses bigint[], p_restarts bigint[], p_memory_bytes bigint[]
) returns table (browser_id text, incarnation bigint, fence bigint, recycle boolean, drain boolean, written_at timestamptz)
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
#variable_conflict use_column
begin
    return query
    update browsers b set
        sequence = beat.sequence,
        healthy = beat.healthy,
        load = beat.load,
        uses = beat.uses,
        restarts = beat.restarts,
        memory_bytes = beat.memory_bytes,
            session_terms = p_terms,
        last_seen = now(),
        state = case
            when b.state in ('starting', 'recycling') and beat.healthy and beat.clean_fence = b.fence then 'ready'
            else b.state
        end,
        state_since = case
            when b.state in ('starting', 'recycling') and beat.healthy and beat.clean_fence = b.fence then now()
            else b.state_since
        end
    from unnest(
        p_browser_ids, p_incarnations, p_sequences, p_healthy, p_clean_fences, p_loads, p_uses, p_restarts, p_memory_bytes
    ) as beat (browser_id, incarnation, sequence, healthy, clean_fence, load, uses, restarts, memory_bytes)
    where b.browser_id = beat.browser_id and b.incarnation = beat.incarnation and b.sequence < beat.sequence
        and b.state <> 'gone'
    returning
        b.browser_id, b.incarnation, b.fence, b.state = 'recycling' and beat.clean_fence is distinct from b.fence,
        b.state = 'draining', now();
end
$$;
