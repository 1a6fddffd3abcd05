#!/usr/bin/env bash
# Every check and test of the project, one after the other; ends with `N passed, N failed` over all of them.
# A step that fails does not stop the others. Logs: target/test-logs/.
set -uo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin
# Errors carry their context; backtraces would hide it.
export RUST_BACKTRACE=0
logs=${CARGO_TARGET_DIR:-target}/test-logs
mkdir -p "$logs"
passed=0 failed=0
failures=()

# step NAME COMMAND...: one check that passes or fails as a whole.
step() {
  local name=$1 start=$SECONDS; shift
  echo "── $name"
  if "$@" >"$logs/$name.log" 2>&1; then
    passed=$((passed + 1))
    echo "   ok ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1)); failures+=("$name")
    tail -n 60 "$logs/$name.log"
    echo "   FAILED ($((SECONDS - start)) s), whole log: $logs/$name.log"
  fi
}

# suite NAME COMMAND...: nextest; its summary line is added up.
suite() {
  local name=$1 start=$SECONDS status summary ok bad; shift
  echo "── $name"
  "$@" 2>&1 | tee "$logs/$name.log" | grep -E --line-buffered '^ +(FAIL|TIMEOUT|SLOW|SIGABRT|SIGSEGV|TERMINATING|Summary)|^error' | sed -u 's/^ */   /'
  status=${PIPESTATUS[0]}
  summary=$(grep -E '^ +Summary' "$logs/$name.log" | tail -n 1)
  ok=$(grep -oE '[0-9]+ passed' <<<"$summary" | grep -oE '[0-9]+' || echo 0)
  bad=$(grep -oE '[0-9]+ (failed|timed out)' <<<"$summary" | awk '{n += $1} END {print n + 0}')
  # A build that breaks, or a runner that dies, has no failed test to count but has failed.
  [ "$status" -ne 0 ] && [ "${bad:-0}" -eq 0 ] && bad=1
  passed=$((passed + ${ok:-0})); failed=$((failed + ${bad:-0}))
  if [ "$status" -ne 0 ]; then
    failures+=("$name")
    tail -n 150 "$logs/$name.log"
  fi
  echo "   ($((SECONDS - start)) s)"
}

# The advisory database is a git repository elsewhere; without a way to it the rest is still checked.
deny() {
  if cargo deny fetch db; then
    cargo deny --all-features check
  else
    echo "advisories NOT checked: the advisory database cannot be reached from here"
    cargo deny --all-features check bans licenses sources
  fi
}

step format cargo fmt --all --check
# With the suite of benchmarks, which only adds code.
step clippy cargo clippy --workspace --all-targets --locked --features twinmesh-agent/null -- -D warnings
step deny deny
grep -h "NOT checked" "$logs/deny.log" | sed 's/^/   /'
# The lab's own tests start its binary, and the whole-system tests those of all crates.
step binaries cargo build --locked --bins
suite unit cargo nextest run --workspace --locked
step doc env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
matrix=${CARGO_TARGET_DIR:-target}/tmp/paths-matrix.txt
rm -f "$matrix"
# All packages again, so that nothing is built anew; the profile says which tests.
suite lab cargo nextest run --profile lab --workspace --locked
# Who reached whom, and how fast: what the test of the same name measured.
[ -e "$matrix" ] && sed 's/^/   /' "$matrix"

[ ${#failures[@]} -gt 0 ] && echo "failed: ${failures[*]}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
