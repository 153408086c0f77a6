-- A claim says what its browser was started with, so that how requests end can be told apart by it.
drop function claim(
    text, text, text, text, text, text, boolean, boolean, text, text, text, double precision, double precision, double precision, jsonb
);

create function claim(
    p_session_id text, p_pool text, p_region text, p_zone text, p_node text, p_backup text, p_spill_when_empty boolean,
    p_spill_when_stale boolean, p_kind text, p_token text, p_holder text, p_keep_alive double precision,
    p_max_lifetime double precision, p_freshness double precision, p_terms jsonb default null,
    out outcome text, out locality text, out browser_id text, out fence bigint, out address text, out region text, out zone text,
    out node text, out expires_at timestamptz, out template_hash text
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
