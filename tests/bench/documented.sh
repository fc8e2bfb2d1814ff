#!/usr/bin/env bash
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The vendor's upgrade procedure, typed as it stands, with its faults: what `make bench` compares with.
#
#   documented.sh upgrade|rollback
#
# The shop's facts come as environment variables (contenders.py, `facts`): ROOT, DOMAIN, FROM, TO, BACKUP, DATABASE,
# libpq's PGHOST, PGPORT, PGUSER, PGPASSWORD, PM2_HOME, NPM_REGISTRY_TOKEN, the workers' name WORKERS, the CA and the
# front's address CA and FRONT, an administrator's ADMIN_EMAIL, ADMIN_PASSWORD, TENANT, and the key that v1.4.0 asks
# for, CHECKOUT_SESSION_SECRET. `== ` begins the line of a step, which bench.py times.
set -euo pipefail
cd "$ROOT"
mkdir -p "$BACKUP"

step() { echo "== $*"; }

# An operator whose first look is too early looks again.
shop() {
  curl --silent --show-error --fail --cacert "$CA" --connect-to "::$FRONT" --retry 60 --retry-delay 1 --retry-all-errors "$@"
  echo
}

health() {
  shop "https://api.$DOMAIN/health"
  shop "https://admin.$DOMAIN/api/health"
  shop "https://superadmin.$DOMAIN/api/health"
}

build() {
  npm --workspace @ecommus/storefront-astro run build
  npm --workspace @ecommus/admin run build
  npm --workspace @ecommus/super-admin run build
  npm --workspace @ecommus/api run build
}

upgrade() {
  step 1.1 healthy before
  health
  step 1.3 snapshot
  pg_dump -Fc "$DATABASE" > "$BACKUP/pre-upgrade.dump"
  ls -lh "$BACKUP/pre-upgrade.dump"
  step 1.4 plugins before
  node --experimental-strip-types apps/api/src/cli/list-plugins.ts > "$BACKUP/plugins-pre.txt"
  step 1.5 stop the workers
  pm2 stop "$WORKERS"

  step 2 fetch
  git fetch --tags
  git checkout --quiet "$TO"
  step 2 npm ci
  npm ci
  step 3 builds
  build
  step 4 migrations
  node --experimental-strip-types packages/db/src/migrate.ts
  node --experimental-strip-types apps/api/src/cli/run-plugin-migrations.ts
  # Step 7 says it at the end ("if the upgrade introduced new env vars, add them now"), but without it nothing boots.
  step 7 environment
  echo "CHECKOUT_SESSION_SECRET=$CHECKOUT_SESSION_SECRET" >> .env
  step 5 reload
  pm2 reload all

  step 6.1 start the workers
  pm2 start "$WORKERS"
  step 6.2 healthy after
  health
  step 6.3 plugins after
  node --experimental-strip-types apps/api/src/cli/list-plugins.ts > "$BACKUP/plugins-post.txt"
  diff "$BACKUP/plugins-pre.txt" "$BACKUP/plugins-post.txt" || true # for the operator to read
  step 6.4 an admin route
  login=$(printf '{"email":"%s","password":"%s"}' "$ADMIN_EMAIL" "$ADMIN_PASSWORD" |
    shop --header 'Content-Type: application/json' --header "X-Tenant-Id: $TENANT" --data @- "https://api.$DOMAIN/api/admin/auth/login")
  # shellcheck disable=SC2001  # a pattern with a group
  token=$(sed 's/.*"accessToken":"\([^"]*\)".*/\1/' <<< "$login")
  printf 'Authorization: Bearer %s' "$token" |
    shop --header @- --header "X-Tenant-Id: $TENANT" --output /dev/null "https://api.$DOMAIN/api/admin/products?limit=1"
  step 6.5 a storefront route
  shop --output /dev/null "https://$DOMAIN/api/storefront/categories"
}

rollback() {
  step 1 stop the apps
  pm2 stop all
  step 2 restore the database
  # Over a migrated database it says that errors were ignored, and fails. An operator whose shop is down goes on.
  pg_restore --clean --if-exists --no-owner --dbname="$DATABASE" "$BACKUP/pre-upgrade.dump" || true
  step 3 check out
  git checkout --quiet "$FROM"
  step 3 npm ci
  npm ci
  step 4 builds
  build
  step 5 start
  pm2 start all
  step 6 healthy
  shop "https://api.$DOMAIN/health"
}

"$1"
