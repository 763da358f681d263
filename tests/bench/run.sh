#!/usr/bin/env bash
# Builds and runs every benchmark: a table for people, one JSON file for programs. Below 10 minutes.
#
# Usage: tests/bench/run.sh [OPTION]...
#   --only NAME     only rows whose name begins with NAME (mix, pull, round-latency, ...)
#   --json FILE     where the rows go, as one JSON array (default: bench.json in the build's folder)
#   --ucx PREFIX    build with the UCX installed there, in build/release-ucx, and compare with its
#                   ucx_perftest; pip install libucx-cu12 has one, in site-packages/libucx
#   --no-install    do not install what the figures are compared with: ucx_perftest, iperf3, gloo
#   -h, --help      this text
#
# A row is a ratio of two things that were measured in the same run, or a count, with its bar and
# whether that held. Rows that need root or a program that is missing say so and are left out. Leave
# the machine alone meanwhile. Exit status: 0 everything ran, whatever it found; 1 something did not;
# 2 usage.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

usage_error() { printf 'tests/bench/run.sh: %s; see --help\n' "$1" >&2; exit 2; }

install=yes
only=
json=
ucx=
while [ $# -gt 0 ]; do
  case "$1" in
    --no-install) install=no ;;
    --only|--json|--ucx)
      [ $# -ge 2 ] || usage_error "$1 needs a value"
      case "$1" in --only) only=$2 ;; --json) json=$2 ;; --ucx) ucx=$2 ;; esac
      shift ;;
    -h|--help) sed -n '2,15s/^# \{0,1\}//p' tests/bench/run.sh; exit 0 ;;
    *) usage_error "unknown option '$1'" ;;
  esac
  shift
done

if [ "$install" = yes ]; then
  deploy/install_packages.sh "build and run" test benchmarks || exit 1
fi
build=build/release
configuration=()
if [ -n "$ucx" ]; then
  [ -f "$ucx/lib/cmake/ucx/ucx-config.cmake" ] ||
    usage_error "--ucx $ucx: no UCX is installed there (lib/cmake/ucx/ucx-config.cmake is missing)"
  ucx=$(realpath "$ucx")
  build=build/release-ucx
  configuration=(-B "$build" -Ducx_DIR="$ucx/lib/cmake/ucx")
  chmod u+x "$ucx"/bin/ucx_perftest 2>/dev/null  # pip installs it without
  export PATH=$ucx/bin:$PATH LD_LIBRARY_PATH=$ucx/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
benchmarks=(memory_bench core_bench pull_bench link_bench process_bench overlap_pace membership_bench
            churn_bench join_bench mesh_bench)
cmake --preset release -DWEIGHTMESH_BUILD_TESTS=ON "${configuration[@]}" >/dev/null &&
  cmake --build "$build" --target "${benchmarks[@]}" weightmeshd gossip_trainer || exit 1

rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
printf '\n%-28s %10s %-8s %-10s %-7s %s\n' row figure unit bar '' measured
failed=()
for benchmark in "${benchmarks[@]}"; do
  "$build"/bin/"$benchmark" --only "$only" --json "$rows" || failed+=("$benchmark")
done
json=${json:-$build/bench.json}
{ printf '[\n'; sed '$!s/$/,/' "$rows"; printf ']\n'; } >"$json"

count=$(wc -l <"$rows")
[ "$count" -gt 0 ] || usage_error "no row's name begins with '$only', or none could be measured here"
printf '\n%d rows, of which %d miss their bar; %s\n' "$count" "$(grep -c '"holds": false' "$rows")" "$json"
[ "${#failed[@]}" -eq 0 ] || { printf 'FAILED: %s\n' "${failed[*]}"; exit 1; }
