-- What a session is bound to stands in its row, so that every router knows it; and who was connected to it last, in its history too.
alter table browsers
    add column session_terms jsonb,
    add column connection_id text collate "C",
    add column connection_started_at timestamptz,
    add column connection_ended_at timestamptz;

alter table sessions
    add column connection_id text collate "C",
    add column connection_started_at timestamptz,
    add column connection_ended_at timestamptz;

create or replace function record_ended_session() returns trigger language plpgsql as $$
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

-- With a default: routers of the version before go on claiming while they are replaced.
drop function claim(
    text, text, text, text, text, text, boolean, boolean, text, text, text, double precision, double precision, double precision
);

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
            session_terms = p_terms,
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
