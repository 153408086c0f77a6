-- Written by: routers, with heartbeats (write_heartbeats() below). Since when this server has remembered all that it said it had written. A
-- crash may lose the last moment of that, a standby that takes over too, and a backup much more: all three empty a table that is not
-- logged. What a row then says of its browser counts only once its agent has spoken again; without a row here, no browser's does.
create unlogged table remembered (
    here boolean primary key default true check (here),  -- one row, no more
    since timestamptz not null
);

insert into remembered (since) values ('-infinity');

-- One claim, whatever the case. Outcomes are model/claims.py's. The settings keep the planner to the indexes whatever the
-- statistics say: a plan that was made while a table was small would be kept when it is large.
create or replace function claim(
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
create or replace function write_heartbeats(
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
