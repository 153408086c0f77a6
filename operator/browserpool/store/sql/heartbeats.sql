-- name: write
select w.browser_id, w.incarnation, w.fence, w.recycle, w.drain, w.written_at as now
from write_heartbeats(
    %(browser_ids)s::text[], %(incarnations)s::bigint[], %(sequences)s::bigint[], %(healthy)s::boolean[],
    %(clean_fences)s::bigint[], %(loads)s::double precision[], %(uses)s::bigint[], %(restarts)s::bigint[],
    %(memory_bytes)s::bigint[]
) w;

-- name: unwritten
-- What to tell those whose heartbeat was not written: too old, of an agent that was replaced, or of no browser at all.
select
    n.browser_id, n.incarnation, b.browser_id is not null as known, coalesce(b.fence, 0) as fence,
    coalesce(b.state = 'recycling' and coalesce(n.clean_fence < b.fence, true), false) as recycle,
    coalesce(b.state = 'draining', false) as drain, now() as now
from unnest(%(browser_ids)s::text[], %(incarnations)s::bigint[], %(clean_fences)s::bigint[])
    as n (browser_id, incarnation, clean_fence)
left join browsers b on b.browser_id = n.browser_id and b.incarnation = n.incarnation and b.state <> 'gone';
