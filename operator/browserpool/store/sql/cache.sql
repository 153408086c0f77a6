-- name: get
select c.headers, c.body, extract(epoch from now() - c.stored_at)::float8 as age
from cache c
where c.key = %(key)s and c.expires_at > now() and c.stored_at > now() - make_interval(secs => %(ttl)s::float8);

-- name: put
insert into cache as c (key, expires_at, size, headers, body)
values (%(key)s, now() + make_interval(secs => %(ttl)s::float8), %(size)s, %(headers)s::jsonb, %(body)s)
on conflict (key) do update set
    stored_at = now(), expires_at = excluded.expires_at, size = excluded.size, headers = excluded.headers, body = excluded.body;

-- name: expire
-- Routers that do this at the same time do not wait for each other: what one deletes the other skips.
delete from cache c using (
    select x.key from cache x where x.expires_at <= now() order by x.key for update skip locked
) gone
where c.key = gone.key;

-- name: size
select coalesce(sum(c.size), 0)::bigint as bytes from cache c;

-- name: trim
-- The oldest first, until what is left has no more than %(most)s bytes.
delete from cache c using (
    select x.key from cache x
    where x.key in (
        select y.key from (select z.key, sum(z.size) over (order by z.stored_at desc, z.key) as up_to from cache z) y
        where y.up_to > %(most)s
    )
    order by x.key for update skip locked
) gone
where c.key = gone.key;
