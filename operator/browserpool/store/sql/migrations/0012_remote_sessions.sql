-- Written by: routers; they prune it too. Sessions that another cluster's router has, for a region that names it as its backup.
create table remote_sessions (
    expires_at timestamptz not null,    -- when it is forgotten, unless somebody asks about it
    session_id text collate "C" primary key,
    token text collate "C",             -- whose it is
    pool text collate "C" not null,
    region text collate "C" not null
);

create index remote_sessions_expiry on remote_sessions (expires_at);
