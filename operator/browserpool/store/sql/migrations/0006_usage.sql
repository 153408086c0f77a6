alter table tokens add column daily_seconds double precision;

-- Written by: routers, one of them at a time (the round below); controller or `up` prunes it. How long browsers were held for each token,
-- by days of UTC.
create table usage (
    token text collate "C" not null,
    day date not null,
    seconds double precision not null default 0,       -- of sessions that ended before the last round's `through`
    open_seconds double precision not null default 0,  -- of those that ended since, or run; counted anew each round
    primary key (token, day)
) with (fillfactor = 50);

-- Written by: routers. Whose turn it is to count, and up to which end of a session has been counted.
create table usage_rounds (
    here boolean primary key default true check (here),  -- one row, no more
    through timestamptz not null default now(),
    counted_at timestamptz not null default now()
);

insert into usage_rounds default values;
