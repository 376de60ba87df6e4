#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# `migrationd --direct`, which the agent calls while the daemon does not run, looks at the journal in the place that the
# configuration names, also when the rest of the configuration is broken. Working directory: the top of the build tree.
set -eu
program=$PWD/migrationd/migrationd
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
uuid=00000000-0000-4000-8000-0000000000aa
cat >"$scratch/vm.xml" <<XML
<domain type='qemu'><name>migrationd-test-direct</name><uuid>$uuid</uuid><memory>65536</memory>
<os><type>hvm</type></os></domain>
XML
mkdir -m 0700 "$scratch/state" "$scratch/run" "$scratch/state/journal"
echo "this is no record" >"$scratch/state/journal/$uuid"
chmod 0600 "$scratch/state/journal/$uuid"

# ask NAME CODE TEXT CONFIGURATION: a monitor with this configuration ends with CODE and says TEXT.
ask() {
  printf '%s\n' "$4" >"$scratch/migrationd.conf"
  code=0
  said=$(OCF_RESKEY_config="$scratch/vm.xml" OCF_RESKEY_CRM_meta_timeout=20000 \
    "$program" --config "$scratch/migrationd.conf" --direct monitor 2>&1) || code=$?
  case "$code:$said" in
    "$2":*"$3"*) echo "PASS $1" ;;
    *) echo "FAIL $1: exit $code, $said"; failed=1 ;;
  esac
}

places="state_dir = $scratch/state
runtime_dir = $scratch/run"
ask "the configured journal is read" 1 "can't tell: " "$places"
ask "a broken configuration is complained about, and its places still count" 1 "can't tell: " "port = nonsense
$places"
ask "the complaint names the line" 1 "migrationd.conf:1: " "port = nonsense
$places"
rm "$scratch/state/journal/$uuid"
ask "without a record and without a trace of the domain it is not running" 7 "" "$places"
exit $failed
