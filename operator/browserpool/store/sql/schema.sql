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

-- Written by: routers; they prune it too. Sessions that another cluster's router has, for a region that names it as its backup.
create table remote_sessions (
    expires_at timestamptz not null,    -- when it is forgotten, unless somebody asks about it
    session_id text collate "C" primary key,
    token text collate "C",             -- whose it is
    pool text collate "C" not null,
    region text collate "C" not null
);

create index remote_sessions_expiry on remote_sessions (expires_at);

-- Whether there are sessions elsewhere to be listed is asked for each list, by whoever has none, too.
create index remote_sessions_owners on remote_sessions (pool, region, token, expires_at);

-- Written by: routers, on behalf of agents; they prune it too. What sessions that asked for it have been recorded as.
create table recordings (
    bytes bigint not null,
    first_at double precision not null,     -- of its events, in milliseconds since 1970 as the pages count; 0: it has none
    last_at double precision not null,
    begun_at timestamptz not null default now(),
    finished boolean not null default false,    -- its last part is here
    session_id text collate "C" primary key,
    token text collate "C",
    pool text collate "C" not null
);

create index recordings_begun on recordings (begun_at);

-- Written by: routers, with recordings. The events of one page in one part: JSON values with commas between them, deflated.
create table recording_pieces (
    number integer not null,
    session_id text collate "C" not null references recordings on delete cascade,
    target_id text collate "C" not null,
    events bytea not null,
    primary key (session_id, target_id, number)
);

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

-- Written by: controller or `up`. The databases of regions (model/databases.py) in which there may be browsers: those that pools name, and
-- those that still have some of a pool that is gone. Routers open them.
create table region_databases (
    name text collate "C" primary key
);

-- Written by: controller. Which region and zone each node of a cluster is of; empty: its labels do not say. Routers read it for
-- requests that name a node and nothing else.
create table nodes (
    node text collate "C" primary key,
    region text collate "C" not null,
    zone text collate "C" not null
);

-- Written by: routers, those that share their cache (put, expire, trim). Answers of quick actions, to be given again for a while. Nothing
-- that must survive a crash: not logged. The key is a digest that only the installation can make; whose answer it is stands in it.
create unlogged table cache (
    stored_at timestamptz not null default now(),
    expires_at timestamptz not null,
    size integer not null,                  -- bytes, the row's own included
    key bytea primary key,
    headers jsonb not null,
    body bytea not null
) with (
    -- All of it is replaced every few seconds.
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_threshold = 500, toast.autovacuum_vacuum_cost_delay = 0
);

-- Pictures and PDFs are compressed already.
alter table cache alter column body set storage external;

create index cache_expires on cache (expires_at);

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
    daily_seconds double precision,         -- of browser time; null: no bound
    admin boolean not null default false
);

-- Written by: routers, one of them at a time (the round below); controller or `up` prunes it. How long browsers were held for each token,
-- by days of UTC.
create table usage (
    token text collate "C" not null,
    day date not null,
    seconds double precision not null default 0,       -- of sessions that ended before the last round's `through`
    open_seconds double precision not null default 0,  -- of those that ended since, or run; counted anew each round
    primary key (token, day)
) with (fillfactor = 50);

-- Written by: routers. Whose turn it is to count, and up to which end of a session has been counted.
create table usage_rounds (
    here boolean primary key default true check (here),  -- one row, no more
    through timestamptz not null default now(),
    counted_at timestamptz not null default now()
);

insert into usage_rounds default values;

-- Written by: routers; controller or `up` prunes it. How requests ended and how long they took, by minutes.
create table outcomes (
    requests bigint not null,
    failures bigint not null,
    seconds double precision not null,      -- of all of them together
    minute timestamptz not null,
    pool text collate "C" not null,
    arm text collate "C" not null,          -- who served: the pool, or its upstream
    template text collate "C" not null,     -- what the browser was started with, hashed; empty: not known
    action text collate "C" not null,
    buckets bigint[] not null,              -- how many took how long; the bounds are in model/outcomes.py
    primary key (pool, minute, arm, template, action)
) with (fillfactor = 50);

-- The statement that takes a session off its browser, and says why, writes the history in the same breath. The trigger names
-- close_reason, which neither claims nor heartbeats touch: they would otherwise pay for its condition.
create function record_ended_session() returns trigger language plpgsql as $$
declare
    connected boolean := old.connection_started_at >= old.state_since;
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

-- Written by: routers, with heartbeats (write_heartbeats() below). Since when this server has remembered all that it said it had written. A
-- crash may lose the last moment of that, a standby that takes over too, and a backup much more: all three empty a table that is not
-- logged. What a row then says of its browser counts only once its agent has spoken again; without a row here, no browser's does.
create unlogged table remembered (
    here boolean primary key default true check (here),  -- one row, no more
    since timestamptz not null
);

insert into remembered (since) values ('-infinity');

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
    out node text, out expires_at timestamptz, out template_hash text
) language plpgsql set enable_seqscan = off set enable_sort = off as $$
#variable_conflict use_column
declare
    seen_after timestamptz := (select greatest(now() - make_interval(secs => p_freshness), r.since) from remembered r where r.here);
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
        select b.browser_id, b.fence, b.address, b.region, b.zone, b.node, b.lease_expires_at, b.template_hash
        into browser_id, fence, address, region, zone, node, expires_at, template_hash
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
            session_terms = p_terms,
            holder = p_holder,
            keep_alive = p_keep_alive,
            lease_ends_at = ends_at,
            lease_expires_at = least(now() + make_interval(secs => p_keep_alive), ends_at)
        where b.ctid = spot
        returning b.browser_id, b.fence, b.address, b.region, b.zone, b.node, b.lease_expires_at, b.template_hash
        into browser_id, fence, address, region, zone, node, expires_at, template_hash;
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
--
-- An agent may have seen later fences than the row has: those of claims that a crash of this server, a standby's taking over or a
-- backup's being restored has taken back. Given them again, it would refuse. So the row's fence, unless it is claimed, goes a thousand
-- up with the first heartbeat after a crash, more than can be claimed in the moment that is lost; and to the one that its agent is
-- clean after, but only so far at once, and never near the next registration's: it may be a lie.
--
-- It is not waited for until this is on disk: what a crash takes back, the next heartbeats say again.
create function write_heartbeats(
    p_browser_ids text[], p_incarnations bigint[], p_sequences bigint[], p_healthy boolean[], p_clean_fences bigint[],
    p_loads double precision[], p_uses bigint[], p_restarts bigint[], p_memory_bytes bigint[]
) returns table (browser_id text, incarnation bigint, fence bigint, recycle boolean, drain boolean, written_at timestamptz)
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
#variable_conflict use_column
declare
    lost_before timestamptz;
begin
    perform set_config('synchronous_commit', 'off', true);
    lost_before := (select r.since from remembered r where r.here);
    if lost_before is null then
        -- What this very statement writes is remembered. Another writer may have been first.
        insert into remembered (since) values (now() - interval '1 microsecond') on conflict do nothing;
        lost_before := (select r.since from remembered r where r.here);
    end if;
    return query
    update browsers b set
        sequence = beat.sequence,
        healthy = beat.healthy,
        load = beat.load,
        uses = beat.uses,
        restarts = beat.restarts,
        memory_bytes = beat.memory_bytes,
        last_seen = now(),
        fence = case
            when b.state = 'claimed' then b.fence
            else greatest(
                b.fence + case when b.last_seen < lost_before then 1000 else 0 end,
                case when beat.clean_fence >> 31 = b.fence >> 32 << 1 then least(beat.clean_fence, b.fence + 1000) end
            )
        end,
        state = case
            when b.state in ('starting', 'recycling') and beat.healthy and beat.clean_fence >= b.fence then 'ready'
            else b.state
        end,
        state_since = case
            when b.state in ('starting', 'recycling') and beat.healthy and beat.clean_fence >= b.fence then now()
            else b.state_since
        end
    from unnest(
        p_browser_ids, p_incarnations, p_sequences, p_healthy, p_clean_fences, p_loads, p_uses, p_restarts, p_memory_bytes
    ) as beat (browser_id, incarnation, sequence, healthy, clean_fence, load, uses, restarts, memory_bytes)
    where b.browser_id = beat.browser_id and b.incarnation = beat.incarnation and b.sequence < beat.sequence
        and b.state <> 'gone'
    returning
        b.browser_id, b.incarnation, b.fence, b.state = 'recycling' and coalesce(beat.clean_fence < b.fence, true),
        b.state = 'draining', now();
end
$$;

-- ---------------------------------------------------------------- crawls
-- model/crawls.py says what each means.
create type crawl_status as enum (
    'running', 'completed', 'errored', 'cancelled_by_user', 'cancelled_due_to_timeout', 'cancelled_due_to_limits'
);

create type crawl_page_kind as enum ('robots', 'sitemap', 'page');

create type crawl_page_status as enum ('queued', 'completed', 'disallowed', 'skipped', 'errored', 'cancelled');

-- Written by: routers (POST and DELETE of /crawl, their crawl workers). One row a job. Whoever changes a job's queue locks this row
-- first, so that its counters hold.
create table crawls (
    created_at timestamptz not null default now(),
    finished_at timestamptz,                -- null while it runs
    browser_ms bigint not null default 0,
    page_limit integer not null,
    numbers integer not null default 0,     -- entries of its queue that there have ever been
    open integer not null default 0,        -- of those, not settled
    total integer not null default 0,       -- pages, without the skipped
    finished integer not null default 0,    -- of those, settled and not cancelled
    skipped integer not null default 0,
    asides integer not null default 0,      -- pages that were never queued: noted as skipped or disallowed when they were found
    sitemaps integer not null default 0,
    status crawl_status not null default 'running',
    crawl_id text collate "C" primary key,
    token text collate "C" not null,
    pool text collate "C" not null,
    region text collate "C" not null,
    body jsonb                              -- null once it is over, since it may hold passwords
);

create index crawls_running on crawls (created_at) where status = 'running';
create index crawls_finished on crawls (finished_at) where finished_at is not null;

-- Written by: routers' crawl workers. What each job knows of the sites that it visits.
create table crawl_origins (
    crawl_id text collate "C" not null,
    origin text collate "C" not null,       -- scheme://host:port
    delay double precision,                 -- seconds, by its robots.txt; null: it does not say
    robots text,                            -- null: there is none that can be read
    trouble text,                           -- why nothing of it may be fetched
    primary key (crawl_id, origin)
);

-- Written by: routers' crawl workers. When each host may be asked again, by whichever router for whichever job. To claim an entry is
-- to lock its host's row, so that no host is asked by two at one time; the rows are what SKIP LOCKED skips.
create table crawl_domains (
    next_at timestamptz not null default now(),
    domain text collate "C" primary key
);

create index crawl_domains_due on crawl_domains (next_at);

-- Written by: routers (POST /crawl), their crawl workers. The queue of each job, and what became of each entry.
create table crawl_pages (
    lease_expires_at timestamptz,           -- null or past: nobody is at it
    settled_at timestamptz,
    modified_at timestamptz,                -- as a sitemap says
    fence bigint not null default 0,        -- of the newest lease; whoever names an older one is not heard
    number integer not null,                -- in the order in which they were found
    depth integer not null,
    rank integer not null,                  -- lower ones go first
    attempts integer not null default 0,
    size integer not null default 0,        -- bytes that the record takes in an answer
    http_status integer,
    kind crawl_page_kind not null,
    status crawl_page_status not null default 'queued',
    ready boolean not null,                 -- its site's robots.txt is known, or it needs none
    digest bytea not null,                  -- of kind and url, which may be too long for an index
    cache_key bytea,                        -- by which a later job of the same token may use the result; null: it may not
    crawl_id text collate "C" not null references crawls,
    pool text collate "C" not null,
    region text collate "C" not null,
    domain text collate "C" not null,
    origin text collate "C" not null,
    url text collate "C" not null,
    holder text collate "C",
    message text,
    final_url text,
    title text,
    html text,
    markdown text,
    extracted jsonb,
    links text[],
    primary key (crawl_id, number),
    unique (crawl_id, digest)
) with (
    -- A claim, renewals and the result rewrite a row three times or more.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000
);

-- Leases stand in no index, so that to claim, to renew and to give back is HOT.
create index crawl_pages_queued on crawl_pages (domain, rank, number) where status = 'queued' and ready;
create index crawl_pages_unready on crawl_pages (crawl_id, origin) where status = 'queued' and not ready;
create index crawl_pages_cached on crawl_pages (cache_key, settled_at) where cache_key is not null;

-- Adds to the queue what a job has come upon: [{kind, url, origin, domain, depth, rank, status, message, modified_at}], in that order of
-- preference. What it has already, and what is over its limit, is passed over. The caller holds the job's row.
create function extend_crawl(p_crawl_id text, p_found jsonb) returns void language plpgsql as $$
declare
    job crawls;
    entry record;
    added boolean;
    known boolean;
begin
    select * into job from crawls c where c.crawl_id = p_crawl_id;
    insert into crawl_domains (domain)
    select distinct f.domain from jsonb_to_recordset(p_found) as f (domain text) order by f.domain
    on conflict (domain) do nothing;
    for entry in
        select * from jsonb_to_recordset(p_found) as f (
            kind crawl_page_kind, url text, origin text, domain text, depth integer, rank integer, status crawl_page_status,
            message text, modified_at timestamptz
        )
    loop
        if entry.kind = 'sitemap' then
            continue when job.sitemaps >= 50;
        elsif entry.status = 'queued' then
            continue when entry.kind = 'page' and job.total - job.asides + job.skipped >= job.page_limit;
        else
            continue when job.asides >= greatest(1000, job.page_limit);
        end if;
        known := exists (select from crawl_origins o where o.crawl_id = p_crawl_id and o.origin = entry.origin);
        insert into crawl_pages (
            crawl_id, number, kind, url, digest, origin, domain, depth, rank, status, message, modified_at, pool, region, ready, settled_at,
            size
        ) values (
            p_crawl_id, job.numbers + 1, entry.kind, entry.url, sha256(convert_to(entry.kind || ' ' || entry.url, 'UTF8')), entry.origin,
            entry.domain, entry.depth, entry.rank, entry.status, entry.message, entry.modified_at, job.pool, job.region,
            known or entry.kind <> 'page', case when entry.status = 'queued' then null else now() end,
            octet_length(entry.url) + coalesce(octet_length(entry.message), 0) + 100
        ) on conflict (crawl_id, digest) do nothing;
        added := found;
        continue when not added;
        job.numbers := job.numbers + 1;
        if entry.status = 'queued' then job.open := job.open + 1; end if;
        if entry.kind = 'sitemap' then job.sitemaps := job.sitemaps + 1; end if;
        if entry.kind = 'page' then
            if entry.status = 'skipped' then job.skipped := job.skipped + 1; else job.total := job.total + 1; end if;
            if entry.status <> 'queued' then job.asides := job.asides + 1; end if;
            if entry.status = 'disallowed' then job.finished := job.finished + 1; end if;
            if entry.status = 'queued' and not known then
                insert into crawl_pages (
                    crawl_id, number, kind, url, digest, origin, domain, depth, rank, pool, region, ready
                ) values (
                    p_crawl_id, job.numbers + 1, 'robots', entry.origin || '/robots.txt',
                    sha256(convert_to('robots ' || entry.origin || '/robots.txt', 'UTF8')), entry.origin, entry.domain, 0, 0, job.pool,
                    job.region, true
                ) on conflict (crawl_id, digest) do nothing;
                if found then
                    job.numbers := job.numbers + 1;
                    job.open := job.open + 1;
                end if;
            end if;
        end if;
    end loop;
    update crawls c set
        numbers = job.numbers, open = job.open, total = job.total, finished = job.finished, skipped = job.skipped, asides = job.asides,
        sitemaps = job.sitemaps
    where c.crawl_id = p_crawl_id;
end
$$;

-- Makes a job with what it begins with, or neither. A repetition makes nothing twice.
create function create_crawl(
    p_crawl_id text, p_token text, p_pool text, p_region text, p_page_limit integer, p_body jsonb, p_found jsonb
) returns void language plpgsql as $$
begin
    insert into crawls (crawl_id, token, pool, region, page_limit, body)
    values (p_crawl_id, p_token, p_pool, p_region, p_page_limit, p_body)
    on conflict (crawl_id) do nothing;
    if found then perform extend_crawl(p_crawl_id, p_found); end if;
end
$$;

-- Leases the next entry to somebody who can claim a browser at one of the places, for any token but p_without: of the host that has
-- waited longest for its turn.
create function claim_crawl_page(
    p_pools text[], p_regions text[], p_without text[], p_holder text, p_lease double precision, p_delay double precision
) returns table (
    crawl_id text, number integer, fence bigint, kind crawl_page_kind, url text, depth integer, attempts integer,
    modified_at timestamptz, robots text, trouble text
) language plpgsql as $$
#variable_conflict use_column
declare
    host text;
    page crawl_pages;
    site crawl_origins;
begin
    select d.domain into host from crawl_domains d
    where d.next_at <= now() and exists (
        select from crawl_pages p
        where p.domain = d.domain and p.status = 'queued' and p.ready and (p.lease_expires_at is null or p.lease_expires_at < now())
            and (p.pool, p.region) in (select * from unnest(p_pools, p_regions))
            and (p_without = '{}' or not exists (select from crawls c where c.crawl_id = p.crawl_id and c.token = any(p_without)))
    )
    order by d.next_at limit 1 for update of d skip locked;
    if not found then return; end if;
    select p.* into page from crawl_pages p
    where p.domain = host and p.status = 'queued' and p.ready and (p.lease_expires_at is null or p.lease_expires_at < now())
        and (p.pool, p.region) in (select * from unnest(p_pools, p_regions))
        and (p_without = '{}' or not exists (select from crawls c where c.crawl_id = p.crawl_id and c.token = any(p_without)))
    order by p.rank, p.number limit 1 for update of p skip locked;
    if not found then return; end if;
    select o.* into site from crawl_origins o where o.crawl_id = page.crawl_id and o.origin = page.origin;
    update crawl_domains d set next_at = now() + make_interval(secs => coalesce(site.delay, p_delay)) where d.domain = host;
    return query
    update crawl_pages p set
        holder = p_holder,
        lease_expires_at = now() + make_interval(secs => p_lease),
        fence = p.fence + 1,
        attempts = p.attempts + 1
    where p.crawl_id = page.crawl_id and p.number = page.number
    returning p.crawl_id, p.number, p.fence, p.kind, p.url, p.depth, p.attempts, p.modified_at, site.robots, site.trouble;
end
$$;

-- What a site says of itself. From now on its pages may be claimed.
create function know_crawl_origin(p_crawl_id text, p_origin text, p_delay double precision, p_robots text, p_trouble text)
returns void language plpgsql as $$
begin
    -- Whoever extends the queue holds it too: none of the site's pages can be added as not ready after they were all made so.
    perform from crawls c where c.crawl_id = p_crawl_id for update;
    insert into crawl_origins (crawl_id, origin, delay, robots, trouble) values (p_crawl_id, p_origin, p_delay, p_robots, p_trouble)
    on conflict (crawl_id, origin) do update set delay = excluded.delay, robots = excluded.robots, trouble = excluded.trouble;
    update crawl_pages p set ready = true
    where p.crawl_id = p_crawl_id and p.origin = p_origin and p.status = 'queued' and not p.ready;
end
$$;

-- Writes what became of an entry, and what was found on it; answers the job's status. No row: the lease is no longer its holder's, or
-- the job is over. Where p_from_crawl names another job's page, its contents are taken over.
create function settle_crawl_page(
    p_crawl_id text, p_number integer, p_fence bigint, p_status crawl_page_status, p_message text, p_http_status integer,
    p_final_url text, p_title text, p_html text, p_markdown text, p_extracted jsonb, p_links text[], p_size integer, p_cache_key bytea,
    p_browser_ms bigint, p_found jsonb, p_from_crawl text, p_from_number integer
) returns table (status crawl_status) language plpgsql as $$
#variable_conflict use_column
declare
    page_kind crawl_page_kind;
    earlier crawl_pages;
    counts boolean;
begin
    perform from crawls c where c.crawl_id = p_crawl_id and c.status = 'running' for update;
    if not found then return; end if;
    if p_from_crawl is not null then
        select p.* into earlier from crawl_pages p where p.crawl_id = p_from_crawl and p.number = p_from_number;
        if not found then return; end if;
    end if;
    update crawl_pages p set
        status = p_status,
        settled_at = now(),
        holder = null,
        lease_expires_at = null,
        message = p_message,
        http_status = coalesce(p_http_status, earlier.http_status),
        final_url = coalesce(p_final_url, earlier.final_url),
        title = coalesce(p_title, earlier.title),
        html = coalesce(p_html, earlier.html),
        markdown = coalesce(p_markdown, earlier.markdown),
        extracted = coalesce(p_extracted, earlier.extracted),
        links = coalesce(p_links, earlier.links),
        size = coalesce(earlier.size, p_size),
        cache_key = p_cache_key
    where p.crawl_id = p_crawl_id and p.number = p_number and p.fence = p_fence and p.status = 'queued'
    returning p.kind into page_kind;
    if not found then return; end if;
    perform extend_crawl(p_crawl_id, p_found);
    counts := page_kind = 'page';
    return query
    update crawls c set
        open = c.open - 1,
        browser_ms = c.browser_ms + p_browser_ms,
        total = c.total - (counts and p_status = 'skipped')::integer,
        skipped = c.skipped + (counts and p_status = 'skipped')::integer,
        finished = c.finished + (counts and p_status <> 'skipped')::integer,
        status = case when c.open = 1 then 'completed' else c.status end,
        finished_at = case when c.open = 1 then now() end,
        body = case when c.open = 1 then null else c.body end
    where c.crawl_id = p_crawl_id
    returning c.status;
end
$$;

-- Ends a job before its time, whatever is still queued with it; answers what it is now. No row: there is no such job.
create function end_crawl(p_crawl_id text, p_status crawl_status, p_message text) returns table (status crawl_status)
language plpgsql as $$
#variable_conflict use_column
declare
    was crawl_status;
begin
    select c.status into was from crawls c where c.crawl_id = p_crawl_id for update;
    if was is distinct from 'running' then
        return query select was where was is not null;
        return;
    end if;
    update crawl_pages p set
        status = 'cancelled', settled_at = now(), holder = null, lease_expires_at = null, message = p_message,
        size = p.size + octet_length(p_message)
    where p.crawl_id = p_crawl_id and p.status = 'queued';
    return query
    update crawls c set status = p_status, finished_at = now(), open = 0, body = null
    where c.crawl_id = p_crawl_id
    returning c.status;
end
$$;
