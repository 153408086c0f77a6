-- name: replace
with gone as (
    delete from region_databases d where d.name <> all(%(names)s::text[])
)
insert into region_databases (name) select unnest(%(names)s::text[]) order by 1 on conflict do nothing;

-- name: listing
select d.name from region_databases d order by d.name;
