#!/usr/bin/env bash
# Runs every fuzz target on its corpus and then for so many seconds (10 if not told), on the installed
# stable toolchain; as many at a time as there are cores. What is found stays in target/found.
#
#   fuzz/run.sh [SECONDS] [TARGET…]
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-10}
[ "$#" -eq 0 ] || shift
targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
  for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

# What `cargo fuzz build -s none` sets. With --target, build scripts and macros are not instrumented.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
"${CARGO:-cargo}" build --locked --quiet --release --target "$host" --bins
built=$SECONDS

run() {
  local target=$1 found=target/found/$1 log=target/$1.log
  mkdir -p "$found"
  if ! "target/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
      -max_len=4096 -artifact_prefix="$found/" -print_final_stats=1 "$found" "corpus/$target" \
      > "$log" 2>&1; then
    tail -n 40 "$log"
    echo "$target: with the input in fuzz/$found; again: cargo fuzz run -s none $target fuzz/$found/…"
    return 1
  fi
  printf '%-20s %s runs\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
}
export -f run
export host seconds
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'run {}'
printf 'built in %s s, run in %s s\n' "$built" "$((SECONDS - built))"
