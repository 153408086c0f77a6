-- Written by: controllers. Whose database this is: two installations on one would each end what the other runs, as it has no pool here.
create table installation (
    here boolean primary key default true check (here),  -- one row, no more
    name text collate "C" not null,
    since timestamptz not null default now(),
    renewed_at timestamptz not null default now(),
    silent_since timestamptz                -- since when another, who wants it, has heard nothing of it; null: it is heard
);
