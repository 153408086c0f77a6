-- name: put
insert into tokens (token, hash, pools, concurrency, rate_per_second, daily_seconds, admin)
values (%(token)s, %(hash)s, %(pools)s, %(concurrency)s, %(rate_per_second)s, %(daily_seconds)s, %(admin)s)
on conflict (token) do update set
    hash = excluded.hash,
    pools = excluded.pools,
    concurrency = excluded.concurrency,
    rate_per_second = excluded.rate_per_second,
    daily_seconds = excluded.daily_seconds,
    admin = excluded.admin;

-- name: listing
select t.token as name, t.hash, t.pools, t.concurrency, t.rate_per_second, t.daily_seconds, t.admin from tokens t order by t.token;

-- name: remove
delete from tokens t where t.token = %(token)s;
