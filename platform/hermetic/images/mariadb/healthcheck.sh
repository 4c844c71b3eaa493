#!/bin/bash
# The official image's check (its options are accepted): does the server answer over TCP? Laying out listens to no port.
exec mariadb-admin --no-defaults --protocol=tcp --host=127.0.0.1 --user=healthcheck --connect-timeout=5 --silent ping
