-- Whether there are sessions elsewhere to be listed is asked for each list, by whoever has none, too.
create index remote_sessions_owners on remote_sessions (pool, region, token, expires_at);
