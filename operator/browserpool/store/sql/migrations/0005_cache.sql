-- Written by: routers, those that share their cache (put, expire, trim). Answers of quick actions, to be given again for a while. Nothing
-- that must survive a crash: not logged. The key is a digest that only the installation can make; whose answer it is stands in it.
create unlogged table cache (
    stored_at timestamptz not null default now(),
    expires_at timestamptz not null,
    size integer not null,                  -- bytes, the row's own included
    key bytea primary key,
    headers jsonb not null,
    body bytea not null
) with (
    -- All of it is replaced every few seconds.
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_threshold = 500, toast.autovacuum_vacuum_cost_delay = 0
);

-- Pictures and PDFs are compressed already.
alter table cache alter column body set storage external;

create index cache_expires on cache (expires_at);
