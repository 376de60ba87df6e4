#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Certificates instead of the shared key on the links between the daemons: from the one to the other in a running cluster, a migration
carried over them, and who has not got the right one stays outside and is told why."""

import pathlib
import subprocess
import sys
import tempfile

from faults_lab import boot_id_of, daemon_again, daemon_killed, said_since, since, unharmed
from handoff_lab import add_vm, check, kept_live, linked, log_of, measured, on, run, standby, unstandby, up, wait_on, wait_until

lab = None
CONFIG = "/etc/migrationd/migrationd.conf"
CA = "/etc/pki/CA/cacert.pem"
PAIRS = {"server": ("/etc/pki/libvirt/servercert.pem", "/etc/pki/libvirt/private/serverkey.pem"),
         "client": ("/etc/pki/libvirt/clientcert.pem", "/etc/pki/libvirt/private/clientkey.pem")}


def openssl(*words):
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=60)
    check(done.returncode == 0, f"openssl {words[0]}: {done.stderr}")


def certificates(name):
    """{path on a node: (content, mode)} of the node of that name, as libvirt wants its own; one CA for all."""
    folder = pathlib.Path(authority.name)
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    if not ca.exists():
        openssl("req", "-x509", *ec, "-days", "2", "-subj", "/CN=lab", "-keyout", str(ca_key), "-out", str(ca))
    files = {CA: (ca.read_text(), 0o644)}
    for role, (certificate, key) in PAIRS.items():
        base = folder / f"{name}-{role}"
        base.with_suffix(".ext").write_text(f"extendedKeyUsage={role}Auth\nsubjectAltName=DNS:{name}\n")
        openssl("req", *ec, "-subj", f"/CN={name}", "-keyout", f"{base}.key", "-out", f"{base}.req")
        openssl("x509", "-req", "-in", f"{base}.req", "-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial", "-days", "2",
                "-extfile", f"{base}.ext", "-out", f"{base}.pem")
        files[certificate] = (base.with_suffix(".pem").read_text(), 0o644)
        files[key] = (base.with_suffix(".key").read_text(), 0o600)
    return files


def put(node, files):
    for path, (content, mode) in files.items():
        node.run(f"mkdir -p {pathlib.Path(path).parent} && umask 077 && cat >{path} && chmod {mode:o} {path}", input=content)


def authenticates_by(node, what):
    node.run(f"sed -i '/^authentication/d' {CONFIG} && echo 'authentication = {what}' >>{CONFIG}")


def begins_anew(node):
    daemon_again(node, daemon_killed(node))


def all_linked(timeout=40):
    for node in lab.nodes:
        wait_until(lambda: linked(node, [n for n in lab.nodes if n is not node]), timeout, f"links of {node.name}")


def case_first_start():
    global lab, authority
    authority = tempfile.TemporaryDirectory(prefix="migrationd-test-")
    lab = up(stack="pacemaker")
    add_vm(lab)
    for node in lab.nodes:
        put(node, certificates(node.name))


def case_a_key_does_not_open_what_wants_a_certificate():
    one, two = lab.nodes
    before = boot_id_of(lab)
    authenticates_by(one, "certificate")
    mark = since(two)
    begins_anew(one)
    wait_until(lambda: said_since(two, mark, "no link to node1", "certificate"), 40, lambda: f"node2 to say why there is no link: {log_of(two)[mark:]}")
    check(not linked(one, [two]) or not linked(two, [one]), "there is a link all the same")
    authenticates_by(two, "certificate")
    begins_anew(two)
    all_linked()
    unharmed(lab, before)


def case_a_move_is_carried_over_certificates():
    source, destination = on(lab)
    mark = since(source)
    kept_live(measured(lab, "vm1", lambda: (standby(lab, source), wait_on(lab, destination))))
    check(said_since(source, mark, "the stream (memory) to"), "its memory went another way")
    unstandby(lab, source)


def case_a_certificate_of_another_node_is_none():
    one, two = lab.nodes
    before, mark = boot_id_of(lab), since(two)
    put(two, certificates("node3"))
    daemon_killed(two)
    wait_until(lambda: said_since(two, mark, "does not have the name of this node"), 40, "the refusal of node2's daemon to start")
    put(two, certificates("node2"))
    all_linked()
    unharmed(lab, before)


if __name__ == "__main__":
    authority = None
    try:
        sys.exit(run(globals()))
    finally:
        if authority:
            authority.cleanup()
