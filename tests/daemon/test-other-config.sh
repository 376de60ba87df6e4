#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A daemon that was started with another configuration file is killed; the agent, which knows nothing of that file, calls
# `migrationd --direct`, and that looks where the daemon worked. In a network and a mount namespace of its own, because the
# daemon's socket and the note of its configuration have the same names everywhere.
# Working directory: the top of the build tree.
set -eu
if [ -z "${MIGRATIOND_TEST_NAMESPACE:-}" ]; then
  options=-nm
  [ "$(id -u)" = 0 ] || options=-rnm
  if ! unshare $options true 2>/dev/null; then
    echo "SKIP no-namespace: no namespaces can be made here"
    exit 77
  fi
  MIGRATIOND_TEST_NAMESPACE=yes exec unshare $options "$0"
fi
mount -t tmpfs -o mode=0755 tmpfs /run
program=$PWD/migrationd/migrationd
scratch=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill -9 "$daemon" 2>/dev/null; rm -rf "$scratch"' EXIT
failed=0
uuid=00000000-0000-4000-8000-0000000000ab
cat >"$scratch/vm.xml" <<XML
<domain type='qemu'><name>migrationd-test-other-config</name><uuid>$uuid</uuid><memory>65536</memory>
<os><type>hvm</type></os></domain>
XML
mkdir -m 0700 "$scratch/state" "$scratch/run" "$scratch/state/journal"
echo "this is no record" >"$scratch/state/journal/$uuid"
chmod 0600 "$scratch/state/journal/$uuid"
./migrationctl/migrationctl keygen --file "$scratch/key" >/dev/null
cat >"$scratch/other.conf" <<CONF
cluster = none
node_name = here
node = here 127.0.0.1
node = there 127.0.0.2
listen = 127.0.0.1
key = $scratch/key
state_dir = $scratch/state
runtime_dir = $scratch/run
libvirt_uri = qemu+unix:///system?socket=$scratch/none
CONF
ip link set lo up

# expect NAME CODE TEXT: a monitor as the agent asks for it ends with CODE and says TEXT.
expect() {
  code=0
  said=$(OCF_RESKEY_config="$scratch/vm.xml" OCF_RESKEY_CRM_meta_timeout=20000 "$program" --direct monitor 2>&1) || code=$?
  case "$code:$said" in
    "$2":*"$3"*) echo "PASS $1" ;;
    *) echo "FAIL $1: exit $code, $said"; failed=1 ;;
  esac
}

mkfifo "$scratch/log"
(cd "$scratch" && exec "$program" --config other.conf --stderr) 2>"$scratch/log" &
daemon=$!
if ! timeout 60 grep -q "ready: node here" <"$scratch/log"; then
  echo "FAIL the daemon came up"
  exit 1
fi
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || :
daemon=
expect "the journal of the daemon that was killed is read" 1 "can't tell: "
rm "$scratch/other.conf"
expect "its configuration is gone: that is said, and the default places count" 7 "other.conf is gone"
exit $failed
