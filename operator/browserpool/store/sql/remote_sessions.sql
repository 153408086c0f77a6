-- name: put
-- Forgets some that nobody has asked about for long, while it is here. Whose a session is does not change.
with gone as (
    delete from remote_sessions r
    where r.session_id in (select o.session_id from remote_sessions o where o.expires_at < now() limit 100 for update skip locked)
)
insert into remote_sessions as r (session_id, pool, region, token, expires_at)
values (%(session_id)s, %(pool)s, %(region)s, %(token)s, now() + make_interval(secs => %(keep)s))
on conflict (session_id) do update set expires_at = excluded.expires_at
where (r.pool, r.region) = (excluded.pool, excluded.region) and r.token is not distinct from excluded.token;

-- name: get
-- Written only every now and then: a session that is asked about is remembered.
with kept as (
    update remote_sessions r set expires_at = now() + make_interval(secs => %(keep)s)
    where r.session_id = %(session_id)s and r.expires_at < now() + make_interval(secs => %(keep)s / 2)
)
select r.session_id, r.pool, r.region, r.token from remote_sessions r where r.session_id = %(session_id)s;

-- name: among
select r.session_id, r.pool, r.region, r.token from remote_sessions r where r.session_id = any(%(session_ids)s);

-- name: regions
-- From one pool and region to the next, whatever there is of each: the table is never read whole, whoever asks.
-- Of each, one probe of an index, whatever is known of the table when a plan is made: a range is asked for in the order of remote_sessions_owners.
-- With "exists", or with "token =" and the newest, whoever has nothing there, or no more, may have the whole table read for him.
with recursive known as (
    (select r.pool, r.region from remote_sessions r order by r.pool, r.region limit 1)
    union all
    select n.pool, n.region
    from known k
    cross join lateral (
        select r.pool, r.region from remote_sessions r
        where (r.pool, r.region) > (k.pool, k.region)
        order by r.pool, r.region limit 1
    ) n
)
select p.pool, p.region
from known p
where
    (
        select r.session_id from remote_sessions r
        where r.pool = p.pool and r.region = p.region and r.token >= %(token)s and r.token <= %(token)s and r.expires_at > now()
        order by r.token limit 1
    ) is not null
    or %(token)s::text is null and (
        select r.session_id from remote_sessions r
        where r.pool = p.pool and r.region = p.region and r.expires_at > now()
        order by r.token limit 1
    ) is not null;

-- name: remove
delete from remote_sessions r where r.session_id = %(session_id)s;
