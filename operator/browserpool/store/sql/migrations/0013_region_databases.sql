-- Regions may have databases of their own. Routers are told of each that may have browsers, even if no pool names it any more.
create table region_databases (
    name text collate "C" primary key
);
