#!/bin/sh
# A Postgres for trials, on any image that has its programs: `postgres.sh` makes the database once and serves it, `postgres.sh ready`
# asks whether it answers. From the environment: PGDATA, PASSWORD, MAX_CONNECTIONS, CONFIG (more lines of postgresql.conf); SOCKETS, TMPDIR
# and PGPORT, where theirs are elsewhere.
set -eu
for directory in /usr/lib/postgresql/*/bin; do PATH="$directory:$PATH"; done
SOCKETS=${SOCKETS:-/var/run/postgresql}
TMPDIR=${TMPDIR:-/tmp}

if [ "${1:-}" = ready ]; then
    exec pg_isready --quiet --host "$SOCKETS" --dbname browserpool
fi

if [ ! -e "$PGDATA/PG_VERSION" ]; then
    # Made beside, and moved there once it is whole: what is cut off in the middle is begun anew.
    rm -rf "$PGDATA.new"
    printf '%s' "$PASSWORD" >"$TMPDIR/password"
    initdb --pgdata "$PGDATA.new" --username browserpool --pwfile "$TMPDIR/password" --encoding UTF8 --locale C.UTF-8 \
        --auth-local trust --auth-host scram-sha-256
    rm "$TMPDIR/password"
    echo 'CREATE DATABASE browserpool' | postgres --single -D "$PGDATA.new" postgres
    echo 'host all all all scram-sha-256' >>"$PGDATA.new/pg_hba.conf"
    mv "$PGDATA.new" "$PGDATA"
fi
# Read after postgresql.conf, and written anew at each start: what is taken out of the values goes.
printf '%s\n' "$CONFIG" >"$PGDATA/browserpool.conf"
grep -q browserpool.conf "$PGDATA/postgresql.conf" || echo "include = 'browserpool.conf'" >>"$PGDATA/postgresql.conf"
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories="$SOCKETS" -c max_connections="$MAX_CONNECTIONS"
