-- name: add
-- Nothing unless the session is, or was, of that browser. The part that would bring it over the most finishes it and is not kept, unless
-- it is the last anyway, or the first. A part that comes again is kept once, and counted again.
with owner as (
    select b.session_token as token, b.pool from browsers b where b.session_id = %(session_id)s and b.browser_id = %(browser_id)s
    union all
    select s.token, s.pool from sessions s where s.session_id = %(session_id)s and s.browser_id = %(browser_id)s
    limit 1
), whole as (
    insert into recordings as r (session_id, token, pool, bytes, first_at, last_at, finished)
    select
        %(session_id)s, owner.token, owner.pool, %(size)s, %(first)s::double precision, %(last)s::double precision,
        %(final)s::boolean
    from owner
    on conflict (session_id) do update set
        bytes = least(r.bytes + excluded.bytes, %(most)s::bigint),
        first_at = case
            when r.first_at = 0 then excluded.first_at
            when excluded.first_at = 0 then r.first_at
            else least(r.first_at, excluded.first_at)
        end,
        last_at = greatest(r.last_at, excluded.last_at),
        finished = excluded.finished or r.bytes + excluded.bytes > %(most)s::bigint
    returning r.session_id, r.finished and not %(final)s::boolean as enough
), kept as (
    insert into recording_pieces (session_id, number, target_id, events)
    select whole.session_id, %(number)s, piece.target_id, piece.events
    from whole, unnest(%(targets)s::text[], %(events)s::bytea[]) as piece (target_id, events)
    where not whole.enough
    on conflict do nothing
)
select session_id from whole where not enough;

-- name: get
select
    r.session_id, r.token, r.pool, r.first_at as first, r.last_at as last, r.finished, s.ended_at, now() as now
from recordings r left join sessions s on s.session_id = r.session_id
where r.session_id = %(session_id)s;

-- name: pieces
select p.target_id, p.events from recording_pieces p where p.session_id = %(session_id)s order by p.target_id, p.number;

-- name: prune
delete from recordings r where r.begun_at < now() - make_interval(secs => %(older_than)s);
