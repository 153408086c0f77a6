-- name: put
insert into tokens (token, hash, pools, concurrency, rate_per_second, admin)
values (%(token)s, %(hash)s, %(pools)s, %(concurrency)s, %(rate_per_second)s, %(admin)s)
on conflict (token) do update set
    hash = excluded.hash,
    pools = excluded.pools,
    concurrency = excluded.concurrency,
    rate_per_second = excluded.rate_per_second,
    admin = excluded.admin;

-- name: listing
select t.token as name, t.hash, t.pools, t.concurrency, t.rate_per_second, t.admin from tokens t order by t.token;

-- name: remove
delete from tokens t where t.token = %(token)s;
