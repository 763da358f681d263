#!/usr/bin/env bash
# From nothing to a mesh that trains: installs packages, builds a release, starts the demo.
#
# Usage: deploy/demo/run.sh [--no-install] [option of weightmesh_demo]...
#   --no-install   do not install packages
#   --help         this text and, once it is built, that of weightmesh_demo
#
# Everything else goes to build/release/bin/weightmesh_demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=build/release
install=yes
demo_arguments=()
for argument in "$@"; do
  case "$argument" in
    --no-install) install=no ;;
    --help|-h)
      sed -n '2,8s/^# \{0,1\}//p' deploy/demo/run.sh
      if [ -x "$build/bin/weightmesh_demo" ]; then exec "$build/bin/weightmesh_demo" --help; fi
      exit 0 ;;
    *) demo_arguments+=("$argument") ;;
  esac
done

# Standard output stays the demo's own, for --output json.
if [ "$install" = yes ]; then
  deploy/install_packages.sh "build and run" >&2
fi

log=$build/demo_build.log
mkdir -p "$build"
echo "Building a release in $build (log: $log)" >&2
build_all() {
  # A tree that the tests configured stays as it is; else leave out what needs GoogleTest.
  [ -f "$build/build.ninja" ] || cmake --preset release -DWEIGHTMESH_BUILD_TESTS=OFF
  cmake --build "$build" --target weightmeshd weightmeshctl weightmesh_demo letter_trainer
}
# One step a line into the log; on a terminal the last one is shown in place.
export NINJA_STATUS='[%f/%t] '
show_progress() {
  local line
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    if [ -t 2 ] && [[ "$line" == \[* ]]; then printf '\r\033[K%.79s' "$line" >&2; fi
  done
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}
: >"$log"
if ! build_all 2>&1 | show_progress; then
  tail -n 40 "$log" >&2
  echo "deploy/demo/run.sh: the build failed; the whole log is $log" >&2
  exit 1
fi

exec "$build/bin/weightmesh_demo" \
  --weightmeshd "$build/bin/weightmeshd" \
  --letter-trainer "$build/bin/letter_trainer" \
  --data client/examples/data/letter-recognition.data \
  ${demo_arguments[@]+"${demo_arguments[@]}"}
