#!/usr/bin/env bash
# Writes what the checked queries look like to .sqlx/, so that a build needs no database.
# Run it after every change of a query or a migration, and commit the result.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for migration in migrations/sqlite/*.sql; do sqlite3 "$folder/check.db" <"$migration"; done
rm -rf .sqlx && mkdir .sqlx
touch coordinator/server/src/lib.rs
DATABASE_URL="sqlite://$folder/check.db" SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$PWD/.sqlx" \
  cargo check -p twinmesh-coordinator --all-targets "$@"
