-- Writes one batch of heartbeats and answers for each row that it wrote; what it does not answer for was too old, or of an agent
-- that no row knows. The batch is sorted by browser_id, and the settings leave the planner only the nested loop that keeps this
-- order: two writers never wait for each other in a circle.
--
-- A heartbeat changes the state from starting or recycling to ready, and nothing else, and only if its agent says that it is clean
-- after the row's own fence. The row is read again under its lock, so a claim that came first is seen.
--
-- An agent may be clean after a later fence than the row has: that of a claim which a crash of this server, a standby's taking over or
-- a backup's being restored has taken back. The next claims' fences must not be those that the agent has seen, and would refuse: the
-- row takes the agent's over, unless it is claimed. (The upper half says which registration it is, and is no agent's to change.)
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
begin
    perform set_config('synchronous_commit', 'off', true);
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
            when b.state <> 'claimed' and beat.clean_fence > b.fence and beat.clean_fence >> 32 = b.fence >> 32 then beat.clean_fence
            else b.fence
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
