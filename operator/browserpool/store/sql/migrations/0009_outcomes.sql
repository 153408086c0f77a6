-- Written by: routers; controller or `up` prunes it. How requests ended and how long they took, by minutes.
create table outcomes (
    requests bigint not null,
    failures bigint not null,
    seconds double precision not null,      -- of all of them together
    minute timestamptz not null,
    pool text collate "C" not null,
    arm text collate "C" not null,          -- who served: the pool, or its upstream
    template text collate "C" not null,     -- what the browser was started with, hashed; empty: not known
    action text collate "C" not null,
    buckets bigint[] not null,              -- how many took how long; the bounds are in model/outcomes.py
    primary key (pool, minute, arm, template, action)
) with (fillfactor = 50);
