-- name: take
-- The row is always written, so that it is always answered, and read under its lock. It changes hands when neither its controller nor a
-- browser was heard for a minute, and half a minute later still not: after an outage of the database everybody has been silent.
insert into installation as i (name) values (%(name)s)
on conflict (here) do update set (name, since, renewed_at, silent_since) = (
    select
        case when next.mine or next.free then excluded.name else i.name end,
        case when next.free then now() else i.since end,
        case when next.mine or next.free then now() else i.renewed_at end,
        case when next.mine or next.free or next.heard then null else coalesce(i.silent_since, now()) end
    from (
        select
            is_.mine, is_.heard,
            not is_.mine and not is_.heard and coalesce(i.silent_since <= now() - make_interval(secs => %(confirmed)s), false) as free
        from (
            select
                i.name = excluded.name as mine,
                i.renewed_at > now() - make_interval(secs => %(silence)s) or exists (
                    select from browsers b where b.state <> 'gone' and b.last_seen > now() - make_interval(secs => %(silence)s)
                ) as heard
        ) is_
    ) next
)
returning i.name;
