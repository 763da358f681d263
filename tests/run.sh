#!/usr/bin/env bash
# Every test: installs packages, checks the sources, builds, runs. CI runs this.
#
# Usage: tests/run.sh [OPTION]...
#   --no-install            do not install packages
#   --quick                 the release build and its tests only
#   --preset NAME           build and test that preset only (dev release debug clang asan tsan fuzz)
#   --label LABEL           only tests with this label (core, transport, process, house, ...);
#                           implies --quick unless --preset is given
#   --fuzz SECONDS          the fuzz targets only, each for so long (tests/fuzz/README.md)
#   --fuzz-target NAME      with --fuzz: that target only
#   --repeat-bit-identity   the bit-identity test alone, 20 times
#   --jobs N                compile and test N at a time (default: the number of cores)
#   -h, --help              this text
#
# Without options: clang-format on every file; the core with clang, its lock annotations and
# clang-tidy; nearly everything under AddressSanitizer and UBSan; what has threads under
# ThreadSanitizer; every fuzz target for 30 s; the release build of everything with all tests, whose
# summary comes last. Exit status: 0 all passed, 1 a step failed, 2 usage.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

usage_error() { printf 'tests/run.sh: %s; see --help\n' "$1" >&2; exit 2; }

install=yes
quick=no
preset=
label=
repeat_bit_identity=no
fuzz_seconds=
fuzz_target=
jobs=$(nproc)
while [ $# -gt 0 ]; do
  case "$1" in
    --no-install) install=no ;;
    --quick) quick=yes ;;
    --repeat-bit-identity) repeat_bit_identity=yes ;;
    --preset|--label|--jobs|--fuzz|--fuzz-target)
      [ $# -ge 2 ] || usage_error "$1 needs a value"
      case "$1" in
        --preset) preset=$2 ;;
        --label) label=$2 ;;
        --jobs) jobs=$2 ;;
        --fuzz) fuzz_seconds=$2 ;;
        --fuzz-target) fuzz_target=$2 ;;
      esac
      shift ;;
    -h|--help) sed -n '2,19s/^# \{0,1\}//p' tests/run.sh; exit 0 ;;
    *) usage_error "unknown option '$1'" ;;
  esac
  shift
done
case "$preset" in
  ""|dev|release|debug|clang|asan|tsan|fuzz) ;;
  *) usage_error "no preset '$preset'" ;;
esac
[[ "$jobs" =~ ^[1-9][0-9]*$ ]] || usage_error "--jobs needs a number, not '$jobs'"
[[ "$fuzz_seconds" =~ ^([1-9][0-9]*)?$ ]] || usage_error "--fuzz needs seconds, not '$fuzz_seconds'"
[ -z "$fuzz_target" ] || [ -n "$fuzz_seconds" ] || usage_error "--fuzz-target needs --fuzz"
[ -d "tests/fuzz/corpus/$fuzz_target" ] ||
  usage_error "no fuzz target '$fuzz_target' among: $(ls tests/fuzz/corpus | tr '\n' ' ')"

export NINJA_STATUS='[%f/%t %es] '
started=$SECONDS
steps=()
failed=()

# step NAME COMMAND...: runs the command under a heading, notes its time and whether it failed.
step() {
  local name=$1 before=$SECONDS result=passed
  shift
  printf '\n=== %s\n' "$name"
  if ! "$@"; then
    result=FAILED
    failed+=("$name")
  fi
  steps+=("$(printf '%-6s %5d s  %s' "$result" $((SECONDS - before)) "$name")")
  printf '=== %s: %s, %d s\n' "$name" "$result" $((SECONDS - before))
  [ "$result" = passed ]
}

# Paths of our files whose names end as one of the given patterns says.
sources() {
  local root=$1 expression=()
  shift
  for pattern in "$@"; do expression+=(-o -name "$pattern"); done
  # shellcheck disable=SC2086 # several folders
  find $root -type f \( "${expression[@]:1}" \) | LC_ALL=C sort
}

install_packages() { deploy/install_packages.sh; }

check_format() {
  local told wrong
  told=$(sources "proto daemon client cuda deploy tests" \
           '*.cc' '*.h' '*.hpp' '*.c' '*.cu' '*.proto' |
         xargs -d '\n' clang-format --dry-run -Werror 2>&1) && return
  mapfile -t wrong < <(sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: error: .*/\1/p' <<<"$told" |
                       LC_ALL=C sort -u)
  [ "${#wrong[@]}" -gt 0 ] || { printf '%s\n' "$told"; return 1; }
  printf 'Not formatted as .clang-format says; run: clang-format -i'
  printf ' \\\n  %s' "${wrong[@]}"
  printf '\n'
  return 1
}

# build PRESET [TARGET]
build() {
  cmake --preset "$1" -DWEIGHTMESH_BUILD_TESTS=ON >/dev/null &&
    cmake --build --preset "$1" --parallel "$jobs" ${2:+--target "$2"}
}

run_tests() {
  local name=$1 prefix=() options=(--test-dir "build/$1" --output-on-failure --no-tests=error "${@:2}")
  [ -z "$label" ] || options+=(-L "^$label\$")
  # ThreadSanitizer of g++ 12 does not know the wide address randomisation of newer kernels.
  if [ "$name" = tsan ] && setarch -R true 2>/dev/null; then prefix=(setarch -R); fi
  "${prefix[@]}" ctest "${options[@]}" --parallel "$jobs"
}

# fuzz_one NAME SECONDS: new inputs start from what is kept and what earlier runs found; what is kept
# does not change. The whole log goes beside it, and a crash to crashes/.
fuzz_one() {
  local name=$1 seconds=$2 work=build/fuzz
  mkdir -p "$work/corpus/$name" "$work/crashes"
  local inputs=("$work/corpus/$name" "tests/fuzz/corpus/$name") log=$work/$name.log
  [ ! -d "tests/fuzz/regressions/$name" ] || inputs+=("tests/fuzz/regressions/$name")
  if "$work/bin/fuzz_$name" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 \
       -max_len=4096 -artifact_prefix="$work/crashes/$name-" "${inputs[@]}" >"$log" 2>&1; then
    printf '%-15s %s\n' "$name" "$(grep -E '^#[0-9]+.*DONE' "$log")"
  else
    tail -n 60 "$log"
    printf '%s: FAILED; the whole log is %s; tests/fuzz/README.md says how to go on\n' "$name" "$log"
    return 1
  fi
}

fuzz() {
  export -f fuzz_one
  { [ -n "$fuzz_target" ] && echo "$fuzz_target" || ls tests/fuzz/corpus; } |
    xargs -P "$jobs" -I NAME bash -c "fuzz_one NAME $1"
}

print_summary() {
  printf '\n'
  printf '%s\n' "${steps[@]}"
  printf 'tests/run.sh: %d s in all; ' $((SECONDS - started))
  if [ "${#failed[@]}" -eq 0 ]; then
    echo "every step passed"
    exit 0
  fi
  local list
  printf -v list '%s, ' "${failed[@]}"
  echo "FAILED: ${list%, }"
  exit 1
}

if [ "$install" = yes ]; then
  step "packages" install_packages || print_summary
fi

if [ "$repeat_bit_identity" = yes ]; then
  export WEIGHTMESH_BIT_IDENTITY_REPEATS=20
  label=bit_identity
  preset=${preset:-release}
elif [ "$quick" = yes ] || { [ -n "$label" ] && [ -z "$preset" ]; }; then
  preset=${preset:-release}
fi

if [ -n "$fuzz_seconds" ]; then
  step "build: fuzz" build fuzz && step "fuzz: $fuzz_seconds s each" fuzz "$fuzz_seconds"
  print_summary
fi

if [ -n "$preset" ]; then
  step "build: $preset" build "$preset" && step "tests: $preset" run_tests "$preset"
  print_summary
fi

# Each step is here for what no other finds:
#   clang   another compiler's warnings, and locks that are not held (-Wthread-safety);
#   asan    wild reads and writes, leaks, undefined behaviour and failed assertions, in all that we
#           build: daemons and trainers of the process tests, too. (So no debug build: it has
#           nothing to add but its own time. The preset is there for debuggers.) Left out: the
#           simulator's long tests, which repeat what its short ones do; process tests that show what
#           many rounds come to, by the same code as the others; the leak tests, whose thousands of
#           cycles take minutes there to measure a memory that is the sanitizer's; and the namespaces,
#           which show networks. Bit identity is shown once there, for its code, not its chances;
#   tsan    races: core, edges, transports with UCX, client, and gRPC's threads in the control plane;
#   fuzz    what strangers send;
#   release what users run, and the time limits and walls (tests/house) that hold there.
step "clang-format" check_format
step "build: clang, core" build clang && step "tests: clang, core" run_tests clang -LE '^sim$' -E '^(client_rejoin|runtime_race)_test$'
step "clang-tidy: daemon/core, daemon/mem" build clang tidy
step "build: asan" build asan &&
  WEIGHTMESH_BIT_IDENTITY_REPEATS=${WEIGHTMESH_BIT_IDENTITY_REPEATS:-1} step "tests: asan" run_tests asan \
    -LE '^(bench|netns)$' \
    -E '^(sim_(agreement|async|contraction|draining|failures|founding|lockstep|overlap|partition|promises|swarm|swim)|process_(async|contraction|lossless|mean|overlap)|process_leak_.*)_test$'
step "build: tsan" build tsan && step "tests: tsan" run_tests tsan
step "build: fuzz" build fuzz && step "fuzz: 30 s each" fuzz 30
step "build: release" build release && step "tests: release" run_tests release
print_summary
