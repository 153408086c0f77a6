-- name: lock
-- One applier at a time; held until the transaction ends. The number is arbitrary, and ours.
select pg_advisory_xact_lock(4912860347213001);

-- name: present
select to_regclass('migrations') is not null as present;

-- name: applied
select m.version, m.name from migrations m order by m.version;

-- name: record
insert into migrations (version, name) values (%(version)s, %(name)s);
