#!/usr/bin/env bash
# Fuzzes one target, or all of them in turn, each for SECONDS (default 600). New inputs go to target/fuzz/corpus;
# tests/fuzz/corpus holds a small set that `make test` replays; `--merge` renews it.
# usage: run.sh [--merge] TARGET|all [SECONDS]
set -euo pipefail
cd "$(dirname "$0")"

merge=
if [ "${1:-}" = --merge ]; then merge=1; shift; fi
which=${1:?usage: run.sh [--merge] TARGET|all [SECONDS]}
seconds=${2:-600}
work=${FUZZ_DIR:-$(cd ../.. && pwd)/target/fuzz}
targets=$which
[ "$which" != all ] || targets=$(sed -n '/^\[\[bin\]\]/,/^name/s/^name = "\(.*\)"/\1/p' Cargo.toml)

# The instrumentation that cargo-fuzz asks for, which a stable compiler has too. The target is named so that build
# scripts and procedural macros go without it.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
cargo build --release --locked --target "$host" --target-dir "$work/build"

for target in $targets; do
  mkdir -p "$work/corpus/$target" "$work/crashes/$target" "corpus/$target"
  program=$work/build/$host/release/$target
  if [ -n "$merge" ]; then
    smaller=$(mktemp -d)
    "$program" -set_cover_merge=1 -use_counters=0 -max_len=1024 "$smaller" "corpus/$target" "$work/corpus/$target"
    rm -rf "corpus/$target"
    mv "$smaller" "corpus/$target"
    chmod 755 "corpus/$target"
  else
    nice -n 19 "$program" -max_total_time="$seconds" -max_len=2048 -print_final_stats=1 \
      -artifact_prefix="$work/crashes/$target/" "$work/corpus/$target" "corpus/$target"
  fi
done
