-- name: add
-- Routers add to the same rows: all in the same order, so that none waits for another that waits for it. Run again after a broken
-- connection, a few seconds may count twice.
insert into outcomes as o (pool, minute, arm, template, action, requests, failures, seconds, buckets)
select x.pool, date_trunc('minute', now()), x.arm, x.template, x.action, x.requests, x.failures, x.seconds, x.buckets::bigint[]
from unnest(
    %(pools)s::text[], %(arms)s::text[], %(templates)s::text[], %(actions)s::text[], %(requests)s::bigint[], %(failures)s::bigint[],
    %(seconds)s::double precision[], %(buckets)s::text[]
) as x (pool, arm, template, action, requests, failures, seconds, buckets)
order by x.pool collate "C", x.arm collate "C", x.template collate "C", x.action collate "C"
on conflict (pool, minute, arm, template, action) do update set
    requests = o.requests + excluded.requests,
    failures = o.failures + excluded.failures,
    seconds = o.seconds + excluded.seconds,
    buckets = array(
        select coalesce(one.number, 0) + coalesce(more.number, 0)
        from unnest(o.buckets) with ordinality as one (number, place)
        full join unnest(excluded.buckets) with ordinality as more (number, place) using (place)
        order by place
    );

-- name: sums
with recent as (
    select o.arm, o.template, o.action, o.requests, o.failures, o.seconds, o.buckets
    from outcomes o
    where o.pool = %(pool)s and o.minute >= date_trunc('minute', now() - make_interval(secs => %(since)s::double precision))
), places as (
    select r.arm, r.template, r.action, b.place, sum(b.number)::bigint as number
    from recent r, unnest(r.buckets) with ordinality as b (number, place)
    group by r.arm, r.template, r.action, b.place
), buckets as (
    select p.arm, p.template, p.action, array_agg(p.number order by p.place) as buckets
    from places p
    group by p.arm, p.template, p.action
)
select
    r.arm, r.template, r.action, sum(r.requests)::bigint as requests, sum(r.failures)::bigint as failures,
    sum(r.seconds) as seconds, b.buckets
from recent r join buckets b using (arm, template, action)
group by r.arm, r.template, r.action, b.buckets
order by r.action, r.arm, r.template;

-- name: prune
delete from outcomes o where o.minute < now() - make_interval(secs => %(older_than)s::double precision);
