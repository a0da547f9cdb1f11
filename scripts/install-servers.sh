#!/usr/bin/env bash
# Installs the servers that some tests want, as Debian packages: PostgreSQL and PgBouncer.
# The tests start their own copies on private ports in temporary folders; nothing is configured, and no
# system-wide service is started. Running it again changes nothing.
set -euo pipefail

say() { printf 'install-servers: %s\n' "$*"; }

missing=()
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || missing+=(postgresql)
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)

if [ ${#missing[@]} -eq 0 ]; then
  say 'postgresql and pgbouncer are there; nothing to do.'
  exit 0
fi

by_hand="Install these by hand so that their programs are on PATH: ${missing[*]}. Tests that need an absent server are skipped and say so (with CI=true they fail)."
if ! command -v apt-get >/dev/null; then
  say "this is not a Debian system (no apt-get). $by_hand"
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
    say "apt-get needs root, and sudo without a password is not available. $by_hand"
    exit 1
  fi
  as_root=(sudo)
fi

# Debian starts a service when its package is installed, unless this policy forbids it (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi

install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
say "installing ${missing[*]} with apt-get"
if ! "${install[@]}" </dev/null; then
  say 'trying again with fresh package lists'
  "${as_root[@]}" apt-get update -q </dev/null
  "${install[@]}" </dev/null
fi
say "installed ${missing[*]}. Their system-wide services were not started; the tests do not use them."
