#!/usr/bin/env bash
# clang-tidy as a compiler, so that ccache remembers which files have passed: it takes clang++'s
# command lines, preprocesses as clang++ does, and to compile a file is to check it.
#
# --version, of which ccache makes the compiler's identity: whatever an answer depends on that is
# neither the source nor .clang-tidy.
set -uo pipefail

case " $* " in
  *" --version "*) clang-tidy --version && cat "${BASH_SOURCE[0]}"; exit ;;
  *" -E "*) exec clang++ "$@" ;;
esac

source=
object=
flags=()
while [ $# -gt 0 ]; do
  case "$1" in
    -c) ;;
    -o) object=$2; shift ;;
    *.cc) source=$1 ;;
    *) flags+=("$1") ;;
  esac
  shift
done
[ -n "$source" ] && [ -n "$object" ] || { echo "$0: needs SOURCE.cc and -o OBJECT" >&2; exit 2; }

if ! found=$(clang-tidy --quiet "$source" -- "${flags[@]}" 2>&1); then
  grep -v 'warnings\{0,1\} generated\.$' <<<"$found" >&2
  exit 1
fi
# What a compiler leaves behind: the list of headers that -MF asks for, and an object, which must not
# be empty for ccache to keep it.
clang++ "${flags[@]}" "$source" -E -o /dev/null && echo "nothing found in $source" >"$object"
