#!/bin/bash
# Brings up Docker's engine and what build.py needs on a bare Debian machine, as root: `platform/hermetic/engine.sh`.
#
# Bookworm's engine (20.10) cannot start the privileged containers that kind needs inside another container; trixie's can.
# So all comes from trixie, at a priority low enough that nothing else does. What runs already is left as it is.
set -euo pipefail

readonly packages=(conntrack containerd docker-buildx docker-cli docker.io ethtool iptables mmdebstrap procps runc socat zstd gcc libc6-dev)
readonly suites='(bullseye|bookworm|trixie|stable)'
readonly answer_seconds=60
readonly log=${TMPDIR:-/tmp}/dockerd.log

fail() { echo "engine.sh: $*" >&2; exit 1; }
say() { echo "engine.sh: $*"; }

engine_answers() { docker version --format '{{.Server.Version}}' > /dev/null 2>&1; }

# The address of Debian's mirror as this machine's apt knows it, from both formats of its sources
mirror() {
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2> /dev/null || true; } \
    | sed -nE "s/^ *deb +(\\[[^]]*\\] +)?([^ ]+) +$suites( .*)?\$/\\2/p" | head -n 1 | grep . && return
  local file
  for file in /etc/apt/sources.list.d/*.sources; do
    grep -qsE "^Suites:(.* )?$suites( |\$)" "$file" && sed -nE 's/^URIs: *([^ ]+).*/\1/p' "$file" | head -n 1 && return
  done
}

install_packages() {
  local missing=() package uri
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then say "all packages are there"; return; fi
  if ! grep -qs trixie /etc/apt/sources.list /etc/apt/sources.list.d/*; then
    uri=$(mirror)
    [ -n "$uri" ] || fail "no Debian mirror in apt's sources: this script is for Debian"
    printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
      "$uri" > /etc/apt/sources.list.d/sluice-trixie.sources
    printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' > /etc/apt/preferences.d/sluice-trixie
  fi
  say "installing ${missing[*]} ..."
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -t trixie "${missing[@]}" > /dev/null
}

start_engine() {
  # What an engine that was killed left behind: to a new one, another process that got its number by now is the old one.
  pgrep -x 'dockerd|containerd' > /dev/null || rm -f /var/run/docker.pid /var/run/docker/containerd/containerd.pid
  say "starting dockerd (its log: $log) ..."
  nohup dockerd > "$log" 2>&1 &
  local engine=$! start=$SECONDS
  until engine_answers; do
    kill -0 "$engine" 2> /dev/null || fail "dockerd ended: $(tail -n 3 "$log" | tr '\n' ' ')"
    [ $((SECONDS - start)) -lt "$answer_seconds" ] || fail "dockerd did not answer for $answer_seconds s: see $log"
    sleep 0.5
  done
}

have() { local program; for program in "$@"; do command -v "$program" > /dev/null || return; done; }

if have docker mmdebstrap zstd gcc && engine_answers; then
  say "Docker's engine $(docker version --format '{{.Server.Version}}') answers already"
  exit 0
fi
[ "$(id -u)" = 0 ] || fail "run it as root: it installs packages and starts dockerd"
command -v apt-get > /dev/null || fail "no apt-get here: this script is for Debian"
install_packages
engine_answers || start_engine
say "Docker's engine $(docker version --format '{{.Server.Version}}') answers"
