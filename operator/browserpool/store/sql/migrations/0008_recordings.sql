-- Written by: routers, on behalf of agents; they prune it too. What sessions that asked for it have been recorded as.
create table recordings (
    bytes bigint not null,
    first_at double precision not null,     -- of its events, in milliseconds since 1970 as the pages count; 0: it has none
    last_at double precision not null,
    begun_at timestamptz not null default now(),
    finished boolean not null default false,    -- its last part is here
    session_id text collate "C" primary key,
    token text collate "C",
    pool text collate "C" not null
);

create index recordings_begun on recordings (begun_at);

-- Written by: routers, with recordings. The events of one page in one part: JSON values with commas between them, deflated.
create table recording_pieces (
    number integer not null,
    session_id text collate "C" not null references recordings on delete cascade,
    target_id text collate "C" not null,
    events bytea not null,
    primary key (session_id, target_id, number)
);
