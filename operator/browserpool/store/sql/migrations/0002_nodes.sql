-- Which region and zone each node of a cluster is of.
create table nodes (
    node text collate "C" primary key,
    region text collate "C" not null,
    zone text collate "C" not null
);
