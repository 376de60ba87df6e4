#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The example CIBs are whole and valid, and each has its commands for crm and for pcs with the same names in them.
set -eu
top=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
command -v crm_verify >/dev/null || { echo "SKIP cib-examples: crm_verify is not installed"; exit 77; }
failed=0

fail() {
  echo "FAIL $1: $2"
  failed=1
}

up() {
  echo "<node_state id='$1' uname='$2' in_ccm='true' crmd='online' join='member' expected='member'/>"
}

found=0
for xml in "$top"/cib-examples/*.xml; do
  name=$(basename "$xml" .xml)
  found=$((found + 1))
  before=$failed
  # As it looks when both nodes are up. Warnings count, too: what the examples teach should not make a cluster complain.
  said=$(sed "s|<status />|<status>$(up 1 alpha)$(up 2 beta)</status>|" "$xml" | crm_verify -VVV -p 2>&1) || fail "$name" "crm_verify: $said"
  for commands in "${xml%.xml}.crm" "${xml%.xml}.pcs"; do
    [ -f "$commands" ] || { fail "$name" "$(basename "$commands") is missing"; continue; }
    # Every resource and constraint of the CIB that has a name of its own.
    for id in $(grep -oE '<(primitive|group|clone) [^>]*id="[^"]*"' "$xml" | sed 's/.*[ ]id="\([^"]*\)".*/\1/'); do
      grep -qw -e "$id" "$commands" && continue
      # pcs makes the clone's name from the primitive's.
      grep -qw -e "${id%-clone}" "$commands" && grep -qw clone "$commands" && continue
      fail "$name" "$(basename "$commands") does not make $id"
    done
    for value in $(grep -o 'value="/[^"]*"' "$xml" | cut -d'"' -f2); do
      grep -qF -e "$value" "$commands" || fail "$name" "$(basename "$commands") does not say $value"
    done
  done
  [ $failed != "$before" ] || echo "PASS cib example $name"
done
# What README.md shows of `migrationctl explain` works as it stands there, and the answer is a move.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$top"/cib-examples/*.xml "$scratch"
sed -n '/^    crm_simulate/,/^    migrationctl explain/p' "$top/cib-examples/README.md" >"$scratch/commands"
build=$PWD
said=$(cd "$scratch" && PATH=$build/migrationctl:$PATH sh -e commands 2>&1) || :
case $said in
  *"offered to beta"*) echo "PASS the example of migrationctl explain" ;;
  *) fail "the example of migrationctl explain" "$(echo "$said" | tail -n 3 | tr '\n' ' ')" ;;
esac
[ $found -ge 4 ] || fail "cib-examples" "only $found were found"
exit $failed
