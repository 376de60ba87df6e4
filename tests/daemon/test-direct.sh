#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# `migrationd --direct`, which the agent calls while the daemon does not run, looks at the journal in the place that the
# configuration names, also when the rest of the configuration is broken. Working directory: the top of the build tree.
set -eu
program=$PWD/migrationd/migrationd
scratch=$(mktemp -d)
emulator=
trap '[ -z "$emulator" ] || kill -9 "$emulator" 2>/dev/null; rm -rf "$scratch"' EXIT
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
cp "$scratch/vm.xml" "$scratch/whole.xml"
echo "<domain" >"$scratch/vm.xml"
ask "a broken definition is not installed" 5 "broken XML" "$places"
cp "$scratch/whole.xml" "$scratch/vm.xml"

# stop NAME CODE TEXT RESOURCE VARIABLE=VALUE...: a stop with these parameters ends with CODE and says TEXT.
printf '%s\n' "$places" >"$scratch/migrationd.conf"
stop() {
  name=$1 want=$2 text=$3 resource=$4
  shift 4
  code=0
  said=$(env OCF_RESOURCE_INSTANCE="$resource" OCF_RESKEY_CRM_meta_timeout=20000 "$@" \
    "$program" --config "$scratch/migrationd.conf" --direct stop "--pid-dir=$scratch/pids" 2>&1) || code=$?
  case "$code:$said" in
    "$want":*"$text"*) echo "PASS $name" ;;
    *) echo "FAIL $name: exit $code, $said"; failed=1 ;;
  esac
}

vm=migrationd-test-direct
good="OCF_RESKEY_config=$scratch/vm.xml"
gone="OCF_RESKEY_config=$scratch/none.xml"
stop "a stop is carried out" 0 "" $vm "$good"
stop "an unknown parameter does not refuse a stop" 0 "ocf-exit-reason:parameter confg is unknown" $vm "$good" OCF_RESKEY_confg=x
stop "a refused value does not refuse a stop" 0 "shutdown_mode='knock' is refused" $vm "$good" OCF_RESKEY_shutdown_mode=knock
stop "a refused hypervisor does not refuse a stop" 0 "hypervisor='nonsense' is refused" $vm "$good" OCF_RESKEY_hypervisor=nonsense
stop "another name than the file's does not refuse a stop" 0 "the parameter name says 'other'" $vm "$good" OCF_RESKEY_name=other
stop "a missing file does not refuse a stop" 0 "none.xml" $vm "$gone"
stop "a missing parameter config does not refuse a stop" 0 "config is missing" $vm
echo "<domain" >"$scratch/broken.xml"
stop "a broken file does not refuse a stop" 0 "broken.xml" $vm "OCF_RESKEY_config=$scratch/broken.xml"
stop "a stop of nobody knows what is an error" 5 "none.xml" "" "$gone"

# What goes for an emulator, with a libvirt that is down; the stop has only a name to find it by.
run_emulator() {
  "$scratch/qemu-system-test" -c 'while :; do sleep 0.1; done' -uuid "$1" </dev/null >/dev/null 2>&1 &
  emulator=$!
  echo "$emulator" >"$scratch/pids/$2.pid"
}
end_emulator() {
  kill -9 "$emulator" 2>/dev/null || :
  wait "$emulator" 2>/dev/null || :
  emulator=
}
lives() {
  case $(cat "/proc/$emulator/stat" 2>/dev/null) in "" | *") Z "*) return 1 ;; esac
}
cp "$(readlink -f /bin/sh)" "$scratch/qemu-system-test"
mkdir "$scratch/pids"
down="OCF_RESKEY_hypervisor=qemu+unix:///system?socket=$scratch/none"
# ends NAME RESOURCE VARIABLE=VALUE...: a stop with these parameters ends the emulator.
ends() {
  run_emulator "$uuid" "$vm"
  what=$1 resource=$2
  shift 2
  stop "$what: success" 0 "" "$resource" "$down" "$@"
  if lives; then echo "FAIL $what: it lives"; failed=1; else echo "PASS $what: it is dead"; fi
  end_emulator
}
# spares NAME RESOURCE VARIABLE=VALUE...: a stop with these parameters is a success, says so, and lets the emulator live.
spares() {
  run_emulator 00000000-0000-4000-8000-0000000000bb "$vm"
  echo "$emulator" >"$scratch/pids/stranger.pid"
  what=$1 resource=$2
  shift 2
  stop "$what: success" 0 "nothing of it is known here, so nothing is stopped" "$resource" "$down" "$@"
  if lives; then echo "PASS $what: it lives"; else echo "FAIL $what: it is dead"; failed=1; fi
  end_emulator
  rm "$scratch/pids/stranger.pid"
}
ends "by the file, beside an unknown parameter" x "$good" OCF_RESKEY_confg=x
ends "by the parameter name, without the file" x "$gone" "OCF_RESKEY_name=$vm"
ends "by an init script's name, without the file" "$vm" "$gone" MIGRATIOND_FACE=lsb
spares "a stranger that is called like the resource" "$vm" "$gone"
spares "a stranger that is called as the file contradicts" x "$good" "OCF_RESKEY_name=stranger"
echo "this is no record" >"$scratch/state/journal/$uuid"
chmod 0600 "$scratch/state/journal/$uuid"
ends "beside a record that can't be read" x "$good"
stop "a stop beside a record that can't be read says so" 0 "whether it was just being moved is not known" x "$good"
[ "$(cat "$scratch/state/journal/$uuid")" = "this is no record" ] || { echo "FAIL the record was written over"; failed=1; }
code=0
said=$("$program" --config 2>&1) || code=$?
case "$code:$said" in
  2:*"--config needs a file"*) echo "PASS --config without a file is told so" ;;
  *) echo "FAIL --config without a file is told so: exit $code, $said"; failed=1 ;;
esac
exit $failed
