#!/usr/bin/env bash
# Installs sections of deploy/packages.txt with apt, skipping what is there already.
#
# Usage: deploy/install_packages.sh [--print] [SECTION]...
#   SECTION   "build and run", "test" or "benchmarks"; the first two by default
#   --print   print the names and install nothing (for container images and other machines)
#
# Exit status: 0 everything is installed, 1 apt failed or is missing, 2 usage.
set -euo pipefail

list="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/packages.txt"

die() { printf 'install_packages.sh: %s\n' "$2" >&2; exit "$1"; }

print_only=no
sections=()
for argument in "$@"; do
  case "$argument" in
    --print) print_only=yes ;;
    -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) die 2 "unknown option '$argument'; see --help" ;;
    *)
      grep -qxF "[$argument]" "$list" || die 2 "no section '$argument' in $list"
      sections+=("$argument") ;;
  esac
done

# The names of one section.
names_of() {
  awk -v wanted="$1" '
    /^#/ || /^[[:space:]]*$/ { next }
    /^\[.*\]$/ { section = substr($0, 2, length($0) - 2); next }
    section == wanted { print $1 }' "$list"
}

[ "${#sections[@]}" -gt 0 ] || sections=("build and run" "test")
mapfile -t names < <(for section in "${sections[@]}"; do names_of "$section"; done)
if [ "$print_only" = yes ]; then
  printf '%s\n' "${names[@]}"
  exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  die 1 "this is no Debian; install what --print shows by other means, then use --no-install"
fi

missing=()
for name in "${names[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$name")
done
if [ "${#missing[@]}" -eq 0 ]; then
  echo "Packages: all ${#names[@]} are installed."
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null ||
    die 1 "needs root to install: ${missing[*]}. Run as root or install sudo, or use --no-install"
  as_root=(sudo)
fi

echo "Packages: installing ${missing[*]}"
apt_options=(-qq -o DPkg::Lock::Timeout=120)
"${as_root[@]}" apt-get "${apt_options[@]}" update ||
  die 1 "'apt-get update' failed; is the network there, and /etc/apt in order?"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${apt_options[@]}" \
    -o Dpkg::Use-Pty=0 install --yes --no-install-recommends "${missing[@]}" >/dev/null ||
  die 1 "apt could not install: ${missing[*]}. The output above says why"
