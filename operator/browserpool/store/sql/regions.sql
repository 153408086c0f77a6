-- name: ensure
insert into regions (region) select unnest(%(regions)s::text[]) order by 1 on conflict do nothing;

-- name: record_lag
insert into region_writers as w (region, writer, lag_seconds, stale)
select n.region, %(writer)s, n.lag, n.lag > %(max_lag)s
from unnest(%(regions)s::text[], %(lags)s::double precision[]) as n (region, lag)
order by n.region
on conflict (region, writer) do update set
    lag_seconds = excluded.lag_seconds,
    stale = case
        when excluded.lag_seconds > %(max_lag)s then true
        when excluded.lag_seconds < %(max_lag)s / 2 then false
        else w.stale
    end,
    recorded_at = now();

-- name: withdraw
delete from region_writers w where w.writer = %(writer)s;

-- name: prune
delete from region_writers w where w.recorded_at < now() - make_interval(secs => %(older_than)s);

-- name: listing
select r.region, coalesce(max(w.lag_seconds), 0) as lag, r.region in (select s.region from stale_regions s) as stale, count(w.writer) as writers
from regions r
left join region_writers w on w.region = r.region and w.recorded_at > now() - interval '10 seconds'
group by r.region
order by r.region;
