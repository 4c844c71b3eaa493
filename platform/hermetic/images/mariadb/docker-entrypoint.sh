#!/bin/bash
# Starts MariaDB; an empty data folder is laid out first, from the official image's variables:
#   MARIADB_ROOT_PASSWORD or MARIADB_RANDOM_ROOT_PASSWORD, MARIADB_DATABASE, MARIADB_USER, MARIADB_PASSWORD
# (each also as <name>_FILE), and then from /docker-entrypoint-initdb.d/*.{sh,sql}. Passwords are never printed.
set -euo pipefail

data=/var/lib/mysql
new=$data/.init          # laid out here and moved up at the end, so that a start that was cut off leaves nothing half-made
socket=/run/mysqld/init.sock

fail() { echo "mariadb: $*" >&2; exit 1; }

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

text() { printf "'%s'" "${1//\'/\'\'}"; }               # an SQL string, under NO_BACKSLASH_ESCAPES
name() { printf '`%s`' "${1//\`/\`\`}"; }               # an SQL name
client() { MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb --protocol=socket --socket="$socket" --user=root --batch "$@"; }

statements() {
  echo "SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES');"
  # accounts without a password, which mariadb-install-db makes for this host's names
  echo "DELETE FROM mysql.global_priv WHERE Host <> 'localhost' OR User NOT IN ('root', 'mariadb.sys'); FLUSH PRIVILEGES;"
  if [ -n "${MARIADB_DATABASE:-}" ]; then echo "CREATE DATABASE IF NOT EXISTS $(name "$MARIADB_DATABASE");"; fi
  if [ -n "${MARIADB_USER:-}" ]; then
    echo "CREATE USER $(text "$MARIADB_USER")@'%' IDENTIFIED BY $(text "$MARIADB_PASSWORD");"
    if [ -n "${MARIADB_DATABASE:-}" ]; then
      echo "GRANT ALL ON $(name "${MARIADB_DATABASE//_/\\_}").* TO $(text "$MARIADB_USER")@'%';"
    fi
  fi
  echo "CREATE USER 'root'@'%' IDENTIFIED BY $(text "$MARIADB_ROOT_PASSWORD");"
  echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
  echo "ALTER USER 'root'@'localhost' IDENTIFIED BY $(text "$MARIADB_ROOT_PASSWORD");"
}

run_scripts() {
  local script
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sh) echo "mariadb: running $script"; . "$script" ;;
      *.sql) echo "mariadb: running $script"; client ${MARIADB_DATABASE:+"$MARIADB_DATABASE"} < "$script" ;;
      */\*) ;;
      *) echo "mariadb: ignoring $script" ;;
    esac
  done
}

lay_out() {
  if [ -n "${MARIADB_RANDOM_ROOT_PASSWORD:-}" ]; then MARIADB_ROOT_PASSWORD=$(head -c 24 /dev/urandom | base64); fi
  [ -n "${MARIADB_ROOT_PASSWORD:-}" ] || fail "the data folder is empty: set MARIADB_ROOT_PASSWORD or MARIADB_RANDOM_ROOT_PASSWORD"
  [ -z "${MARIADB_USER:-}" ] || [ -n "${MARIADB_PASSWORD:-}" ] || fail "MARIADB_USER is set: set MARIADB_PASSWORD too"
  echo "mariadb: laying out $data"
  rm -rf "$new" && mkdir -m 0750 "$new"
  mariadb-install-db --datadir="$new" --auth-root-authentication-method=normal --skip-test-db --skip-log-bin > /tmp/install-db.log \
    || { cat /tmp/install-db.log >&2; fail "mariadb-install-db failed"; }
  mariadbd --datadir="$new" --socket="$socket" --skip-networking --skip-log-bin &
  local server=$! tries=0
  until mariadb --socket="$socket" --user=root --execute 'SELECT 1' > /dev/null 2>&1; do
    kill -0 "$server" 2> /dev/null || fail "the server that lays out the data folder ended early: see above"
    tries=$((tries + 1)); [ "$tries" -lt 600 ] || fail "the server that lays out the data folder did not answer for 60 s"
    sleep 0.1
  done
  statements | mariadb --socket="$socket" --user=root || fail "the first statements failed: see above"
  run_scripts
  kill "$server" && wait "$server"
  local item
  for item in "$new"/* "$new"/.[!.]*; do
    case $item in */mysql | */\* | */.\[*) ;; *) mv "$item" "$data/" ;; esac
  done
  mv "$new/mysql" "$data/"     # last: this folder says that all is there
  rmdir "$new"
  echo "mariadb: $data is ready"
}

if [ "${1:0:1}" = - ]; then set -- mariadbd "$@"; fi
if [ "$1" = mariadbd ] && [ ! -d "$data/mysql" ]; then
  [ -w "$data" ] || fail "$data is not writable for uid $(id -u)"
  for variable in MARIADB_ROOT_PASSWORD MARIADB_DATABASE MARIADB_USER MARIADB_PASSWORD; do take "$variable"; done
  lay_out
fi
unset MARIADB_ROOT_PASSWORD MARIADB_PASSWORD
exec "$@"
