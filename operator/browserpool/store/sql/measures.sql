-- name: sizes
-- Bytes of WAL written so far, and of the two tables that grow, with their indexes and the room that is kept for new versions.
select
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint as wal, pg_total_relation_size('browsers') as browsers,
    pg_total_relation_size('sessions') as sessions, (select count(*) from sessions) as ended
