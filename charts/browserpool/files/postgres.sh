#!/bin/sh
# A Postgres for trials, on any image that has its programs: `postgres.sh` makes the database once and serves it, `postgres.sh ready`
# asks whether it answers. From the environment: PGDATA, PASSWORD, MAX_CONNECTIONS, CONFIG (more lines of postgresql.conf).
set -eu
for directory in /usr/lib/postgresql/*/bin; do PATH="$directory:$PATH"; done
SOCKETS=/var/run/postgresql

if [ "${1:-}" = ready ]; then
    exec pg_isready --quiet --host "$SOCKETS" --dbname browserpool
fi

if [ ! -e "$PGDATA/PG_VERSION" ]; then
    # Made beside, and moved there once it is whole: what is cut off in the middle is begun anew.
    rm -rf "$PGDATA.new"
    printf '%s' "$PASSWORD" >/tmp/password
    initdb --pgdata "$PGDATA.new" --username browserpool --pwfile /tmp/password --encoding UTF8 --locale C.UTF-8 \
        --auth-local trust --auth-host scram-sha-256
    rm /tmp/password
    echo 'CREATE DATABASE browserpool' | postgres --single -D "$PGDATA.new" postgres
    echo 'host all all all scram-sha-256' >>"$PGDATA.new/pg_hba.conf"
    mv "$PGDATA.new" "$PGDATA"
fi
printf '%s\n' "$CONFIG" >/tmp/extra.conf
grep -q /tmp/extra.conf "$PGDATA/postgresql.conf" || echo "include_if_exists = '/tmp/extra.conf'" >>"$PGDATA/postgresql.conf"
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories="$SOCKETS" -c max_connections="$MAX_CONNECTIONS"
