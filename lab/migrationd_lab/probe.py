# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of a guest, run in the client's namespace by measure.py: a ping every 10 ms, one TCP connection that stays,
HTTP again and again. Until its stdin ends; then what it saw, as one JSON line.

    python3 -m migrationd_lab.probe ADDRESS
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PING_INTERVAL_MS = 10
PING_LINE = re.compile(r"^\[(\d+\.\d+)\] \S+ +: \[(\d+)\],.* ?(timed out|bytes)")
ECHO_PORT, HTTP_PORT = 7, 80
TCP_INTERVAL, HTTP_INTERVAL, HTTP_TIMEOUT = 0.02, 0.05, 0.25
LAST_ECHO_TIMEOUT = 10  # seconds for TCP to get through once more before the connection counts as lost


def pings(lines):
    """From the lines of fping -D -l: sent, lost, and the longest time between two answers."""
    sent, last, longest, longest_at, answered = 0, None, 0.0, None, 0
    for line in lines:
        found = PING_LINE.match(line)
        if not found:
            continue
        sent = max(sent, int(found[2]) + 1)
        if found[3] == "timed out":
            continue
        answered, at = answered + 1, float(found[1])
        if last and at - last > longest:
            longest, longest_at = at - last, last
        last = at
    return {"pings_sent": sent, "pings_lost": max(0, sent - answered), "longest_gap_ms": round(longest * 1000),
            "longest_gap_at": longest_at}


class Pings:
    def __init__(self, address):
        self.out = tempfile.TemporaryFile("w+")
        self.fping = subprocess.Popen(["fping", "-D", "-l", "-p", str(PING_INTERVAL_MS), "-t", "1000", address],
                                      stdin=subprocess.DEVNULL, stdout=self.out, stderr=subprocess.DEVNULL)

    def stop(self):
        self.fping.send_signal(signal.SIGINT)
        self.fping.wait(timeout=10)
        self.out.seek(0)
        return pings(self.out)


class TcpStream:
    """Numbers sent to the echo service and awaited back on one connection that is never renewed."""

    def __init__(self, address):
        self.connection = socket.create_connection((address, ECHO_PORT), timeout=10)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.broken, self.longest_gap, self.last = None, 0.0, time.monotonic()
        self.echoed, self.wanted, self.rest = 0, None, b""
        self.done = threading.Event()
        threading.Thread(target=self.receive, daemon=True).start()
        threading.Thread(target=self.send, daemon=True).start()

    def send(self):
        number = 0
        self.connection.settimeout(None)
        while not self.done.is_set():
            number += 1
            try:
                self.connection.sendall(b"%d\n" % number)
            except OSError as e:
                self.end(e)
            time.sleep(TCP_INTERVAL)

    def receive(self):
        while not self.broken:
            try:
                data = self.connection.recv(65536)
                if not data:
                    return self.end("closed by the guest")
            except OSError as e:
                return self.end(e)
            now = time.monotonic()
            self.longest_gap, self.last = max(self.longest_gap, now - self.last), now
            *lines, self.rest = (self.rest + data).split(b"\n")
            if lines:
                self.echoed = int(lines[-1])
            if self.wanted is not None and self.echoed >= self.wanted:
                self.done.set()

    def end(self, why):
        self.broken = self.broken or str(why)
        self.done.set()

    def stop(self):
        # What is echoed from now on proves that the connection lives; it may take TCP's retransmission.
        self.wanted = self.echoed + 1
        self.done.wait(LAST_ECHO_TIMEOUT)
        if not self.broken and self.echoed < self.wanted:
            self.broken = f"no echo within {LAST_ECHO_TIMEOUT} s"
        self.longest_gap = max(self.longest_gap, time.monotonic() - self.last)
        return {"tcp_kept": not self.broken, "tcp_broken": self.broken,
                "tcp_longest_gap_ms": round(self.longest_gap * 1000)}


class Http:
    def __init__(self, address):
        self.address, self.stopped = address, False
        self.requests = self.failures = 0
        self.boot_ids, self.longest_gap, self.last = [], 0.0, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def get(self):
        with socket.create_connection((self.address, HTTP_PORT), timeout=HTTP_TIMEOUT) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while data := connection.recv(4096):
                answer += data
        return answer.partition(b"boot_id=")[2].partition(b"\n")[0].decode()

    def run(self):
        while not self.stopped:
            self.requests += 1
            try:
                boot_id = self.get()
            except OSError:
                boot_id = ""
            now = time.monotonic()
            if boot_id:
                self.longest_gap = max(self.longest_gap, now - (self.last or now))
                self.last = now
                if boot_id not in self.boot_ids:
                    self.boot_ids.append(boot_id)
            else:
                self.failures += 1
            time.sleep(HTTP_INTERVAL)

    def stop(self):
        self.stopped = True
        self.thread.join()
        now = time.monotonic()
        self.longest_gap = max(self.longest_gap, now - (self.last or now))
        return {"http_requests": self.requests, "http_failures": self.failures,
                "http_outage_ms": round(self.longest_gap * 1000), "boot_ids": self.boot_ids}


def main(address):
    stream, http, echoes = TcpStream(address), Http(address), Pings(address)
    print("started", flush=True)
    sys.stdin.read()
    print(json.dumps({**echoes.stop(), **http.stop(), **stream.stop()}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
