-- name: put
insert into pools (pool, generation, spec) values (%(pool)s, %(generation)s, %(spec)s)
on conflict (pool) do update set generation = excluded.generation, spec = excluded.spec, updated_at = now();

-- name: listing
select p.pool, p.generation, p.spec from pools p order by p.pool;

-- name: remove
delete from pools p where p.pool = %(pool)s;
