#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Under classic Heartbeat: shutdown, standby and failback move the guest live; a dead node's guest boots elsewhere."""

import concurrent.futures
import sys

from handoff_lab import check, kept_live, log_of, measured, one_writer, run, wait_until, where
from heartbeat_lab import AGENT, standby, takeover, up_with_vm1, wait_here, word

lab = None


def case_first_start():
    global lab
    lab = up_with_vm1()
    check(word(lab.node("node2")) == "stopped", f"status on node2 says {word(lab.node('node2'))!r}")


def case_shutdown_hands_it_over_live():
    one, two = lab.nodes
    kept_live(measured(lab, "vm1", lambda: (one.service("stop", "heartbeat"), wait_here(lab, two))))
    check("offered to node2" in log_of(one), "node1 did not offer it")
    one_writer(lab)


def case_failback_is_live():
    one, two = lab.nodes
    kept_live(measured(lab, "vm1", lambda: (one.service("start", "heartbeat"), wait_here(lab, one))))
    one_writer(lab)


def case_standby_is_live():
    one, two = lab.nodes
    kept_live(measured(lab, "vm1", lambda: (standby(one), wait_here(lab, two))))
    kept_live(measured(lab, "vm1", lambda: (takeover(one), wait_here(lab, one))))
    one_writer(lab)


def case_with_both_stopping_it_is_stopped_at_once():
    one, two = lab.nodes
    with concurrent.futures.ThreadPoolExecutor() as pool:
        peer = pool.submit(two.service, "stop", "heartbeat")
        wait_until(lambda: two.run("pgrep -fx 'heartbeat *' || ! kill -0 $(cat /run/heartbeat.pid)", check=False).returncode == 0,
                   20, "the stop of node2's Heartbeat")
        one.service("stop", "heartbeat")
        peer.result()
    check(where(lab) == [], f"vm1 still runs on {where(lab)}")
    check("node2 can't take it: Heartbeat" in log_of(one), "node1 did not say why it is not offered")
    for node in lab.nodes:
        node.service("start", "heartbeat")
    wait_here(lab, one)
    lab.guest("vm1").wait_up(60)


def case_a_stop_by_hand_is_a_real_stop():
    one, two = lab.nodes
    one.run(f"{AGENT} stop", timeout=120)
    check(where(lab) == [] and word(one) == "stopped", f"it still runs on {where(lab)}")
    check(two.run(f"{AGENT} stop", check=False).returncode == 0, "a stop of what is not here failed")
    one.run(f"{AGENT} start", timeout=120)
    wait_here(lab, one)
    lab.guest("vm1").wait_up(60)


def case_a_killed_node_is_shot_and_the_guest_boots_elsewhere():
    one, two = lab.nodes
    lab.kill(one.name)
    wait_here(lab, two)
    lab.guest("vm1").wait_up(60)
    one_writer(lab)


if __name__ == "__main__":
    sys.exit(run(globals()))
