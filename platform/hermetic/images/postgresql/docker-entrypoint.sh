#!/bin/bash
# Starts PostgreSQL; an empty data folder is laid out first, from the official image's variables:
#   POSTGRES_PASSWORD (needed), POSTGRES_USER (postgres), POSTGRES_DB (the user's name), POSTGRES_INITDB_ARGS
# (the first three also as <name>_FILE), and then from /docker-entrypoint-initdb.d/*.{sh,sql}. Passwords are never printed.
set -euo pipefail

new=$PGDATA/.init        # laid out here and moved up at the end, so that a start that was cut off leaves nothing half-made

fail() { echo "postgresql: $*" >&2; exit 1; }

# take NAME: the value of NAME, or what stands in the file NAME_FILE
take() {
  local file_variable=${1}_FILE
  if [ -n "${!1:-}" ] && [ -n "${!file_variable:-}" ]; then fail "both $1 and $file_variable are set: give one"; fi
  if [ -n "${!file_variable:-}" ]; then
    [ -r "${!file_variable}" ] || fail "$file_variable names ${!file_variable}, which cannot be read"
    export "$1=$(< "${!file_variable}")"
    unset "$file_variable"
  fi
}

client() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host=/tmp --username="$POSTGRES_USER" "$@"; }

run_scripts() {
  local script
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sh) echo "postgresql: running $script"; . "$script" ;;
      *.sql) echo "postgresql: running $script"; client --dbname="$POSTGRES_DB" --file="$script" ;;
      */\*) ;;
      *) echo "postgresql: ignoring $script" ;;
    esac
  done
}

lay_out() {
  [ -n "${POSTGRES_PASSWORD:-}" ] || fail "the data folder is empty: set POSTGRES_PASSWORD"
  export POSTGRES_USER=${POSTGRES_USER:-postgres}
  export POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}
  echo "postgresql: laying out $PGDATA"
  rm -rf "$new"
  # shellcheck disable=SC2086 # the official image splits POSTGRES_INITDB_ARGS too
  initdb --pgdata="$new" --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --encoding=UTF8 --locale=C.UTF-8 \
    --auth-local=trust --auth-host=scram-sha-256 ${POSTGRES_INITDB_ARGS:-} > /tmp/initdb.log || { cat /tmp/initdb.log >&2; fail "initdb failed"; }
  pg_ctl --pgdata="$new" --silent --wait --timeout=60 --log=/tmp/lay-out.log --options="-c listen_addresses='' -k /tmp" start \
    || { cat /tmp/lay-out.log >&2; fail "the server that lays out the data folder did not start"; }
  if [ "$POSTGRES_DB" != postgres ]; then
    client --dbname=postgres --set db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";' || fail "the database could not be made: see above"
  fi
  run_scripts
  pg_ctl --pgdata="$new" --silent --wait --mode=fast stop
  # only processes in this container reach the socket: they are asked for the password too
  sed -i -E 's/^(local .*)trust$/\1scram-sha-256/' "$new/pg_hba.conf"
  echo 'host all all all scram-sha-256' >> "$new/pg_hba.conf"
  echo "listen_addresses = '*'" >> "$new/postgresql.conf"
  local item
  for item in "$new"/*; do
    case $item in */PG_VERSION) ;; *) mv "$item" "$PGDATA/" ;; esac
  done
  mv "$new/PG_VERSION" "$PGDATA/"     # last: this file says that all is there
  rmdir "$new"
  echo "postgresql: $PGDATA is ready"
}

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "$1" = postgres ]; then
  mkdir -p "$PGDATA" 2> /dev/null || fail "$PGDATA cannot be made by uid $(id -u)"
  [ -w "$PGDATA" ] || fail "$PGDATA is not writable for uid $(id -u)"
  chmod 0700 "$PGDATA" 2> /dev/null || chmod 0750 "$PGDATA" 2> /dev/null || true     # a volume's root may belong to root
  if [ ! -s "$PGDATA/PG_VERSION" ]; then
    for variable in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB; do take "$variable"; done
    lay_out
  fi
  unset POSTGRES_PASSWORD
fi
exec "$@"
