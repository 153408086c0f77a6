-- name: put
insert into nodes as n (node, region, zone)
select g.node, g.region, g.zone
from unnest(%(nodes)s::text[], %(regions)s::text[], %(zones)s::text[]) as g (node, region, zone)
order by g.node
on conflict (node) do update set region = excluded.region, zone = excluded.zone
where (n.region, n.zone) is distinct from (excluded.region, excluded.zone);

-- name: keep
delete from nodes n where n.node <> all(%(nodes)s::text[]);

-- name: listing
select n.node as name, n.region, n.zone from nodes n order by n.node;
