# SPDX-License-Identifier: GPL-2.0-or-later
"""The storage host: an NBD server for the guests' raw disks that writes down who wrote what (see witness.py).

Fixed newstyle negotiation and the simple replies of the NBD protocol (doc/proto.md of NetworkBlockDevice/nbd);
one thread per connection, one lock per disk, so that the log has the order in which the writes took effect.
A flush is answered without a sync: this host does not fail, and the machine's disk is spared.
"""

import json
import os
import socket
import socketserver
import struct
import sys
import threading
import time
from pathlib import Path

from .layout import NBD_PORT
from .witness import parse_record

NBD_MAGIC, OPTION_MAGIC, REPLY_MAGIC = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
REQUEST_MAGIC, SIMPLE_REPLY_MAGIC = 0x25609513, 0x67446698
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_INFO, OPT_GO = 1, 2, 3, 6, 7
REP_ACK, REP_SERVER, REP_INFO, REP_ERR_UNSUP, REP_ERR_UNKNOWN = 1, 2, 3, 0x80000001, 0x80000006
CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_WRITE_ZEROES = 0, 1, 2, 3, 4, 6
EIO, EINVAL = 5, 22
# has flags, flush, FUA, trim, write zeroes, can multi conn
TRANSMISSION_FLAGS = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 8
MAX_REQUEST = 32 << 20


class Disk:
    def __init__(self, path, log):
        self.name, self.log, self.lock = path.stem, log, threading.Lock()
        self.fd = os.open(path, os.O_RDWR)
        self.size = os.fstat(self.fd).st_size

    def write(self, offset, data, client, conn):
        entry = {"t": 0.0, "disk": self.name, "client": client, "conn": conn, "offset": offset, "length": len(data)}
        record = parse_record(offset, data)
        if record:
            entry["boot"], entry["counter"] = record
        with self.lock:
            os.pwrite(self.fd, data, offset)
            entry["t"] = round(time.time(), 4)
            self.log.add(entry)


class WitnessLog:
    """JSON lines, one write() each, so that a reader at any time sees whole lines except perhaps the last."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def add(self, entry):
        os.write(self.fd, (json.dumps(entry, separators=(",", ":")) + "\n").encode())


class Gone(Exception):
    """The client left."""


class Connection(socketserver.BaseRequestHandler):
    def receive(self, size):
        data = bytearray(size)
        view, have = memoryview(data), 0
        while have < size:
            n = self.request.recv_into(view[have:])
            if n == 0:
                raise Gone
            have += n
        return bytes(data)

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A killed node says no farewell.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 120_000)
        try:
            disk = self.negotiate()
            if disk:
                with self.server.counter_lock:
                    self.server.connections += 1
                    conn = self.server.connections
                self.transmit(disk, self.client_address[0], conn)
        except (Gone, OSError):
            pass

    def negotiate(self):
        self.request.sendall(struct.pack(">QQH", NBD_MAGIC, OPTION_MAGIC, 0b11))  # fixed newstyle, no zeroes
        (flags,) = struct.unpack(">I", self.receive(4))
        while True:
            magic, option, length = struct.unpack(">QII", self.receive(16))
            if magic != OPTION_MAGIC or length > 65536:
                return None
            data = self.receive(length)
            if option == OPT_EXPORT_NAME:
                disk = self.server.disks.get(data.decode("utf-8", "replace"))
                if disk:
                    self.request.sendall(struct.pack(">QH", disk.size, TRANSMISSION_FLAGS)
                                         + (b"" if flags & 2 else bytes(124)))
                return disk
            if option in (OPT_GO, OPT_INFO):
                (name_length,) = struct.unpack(">I", data[:4])
                disk = self.server.disks.get(data[4:4 + name_length].decode("utf-8", "replace"))
                if not disk:
                    self.reply(option, REP_ERR_UNKNOWN, b"no such disk")
                    continue
                self.reply(option, REP_INFO, struct.pack(">HQH", 0, disk.size, TRANSMISSION_FLAGS))
                self.reply(option, REP_ACK)
                if option == OPT_GO:
                    return disk
            elif option == OPT_LIST:
                for name in self.server.disks:
                    self.reply(option, REP_SERVER, struct.pack(">I", len(name)) + name.encode())
                self.reply(option, REP_ACK)
            elif option == OPT_ABORT:
                self.reply(option, REP_ACK)
                return None
            else:
                self.reply(option, REP_ERR_UNSUP)

    def reply(self, option, kind, data=b""):
        self.request.sendall(struct.pack(">QIII", REPLY_MAGIC, option, kind, len(data)) + data)

    def transmit(self, disk, client, conn):
        while True:
            magic, _, command, handle, offset, length = struct.unpack(">IHHQQI", self.receive(28))
            if magic != REQUEST_MAGIC or (command in (CMD_READ, CMD_WRITE) and length > MAX_REQUEST):
                return  # what follows cannot be told apart any more
            data = self.receive(length) if command == CMD_WRITE else b""
            if command == CMD_DISC:
                return
            error, answer = 0, b""
            try:
                if command in (CMD_READ, CMD_WRITE, CMD_TRIM, CMD_WRITE_ZEROES) and offset + length > disk.size:
                    error = EINVAL
                elif command == CMD_READ:
                    answer = os.pread(disk.fd, length, offset)
                elif command == CMD_WRITE:
                    disk.write(offset, data, client, conn)
                elif command == CMD_WRITE_ZEROES:
                    for at in range(offset, offset + length, MAX_REQUEST):
                        disk.write(at, bytes(min(MAX_REQUEST, offset + length - at)), client, conn)
                elif command not in (CMD_FLUSH, CMD_TRIM):
                    error = EINVAL
            except OSError as e:
                print(f"disk {disk.name}: {e}", flush=True)
                error, answer = EIO, b""
            self.request.sendall(struct.pack(">IIQ", SIMPLE_REPLY_MAGIC, error, handle) + answer)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address, folder):
        log = WitnessLog(folder / "witness.jsonl")
        self.disks = {path.stem: Disk(path, log) for path in sorted(folder.glob("*.raw"))}
        self.connections, self.counter_lock = 0, threading.Lock()
        super().__init__(address, Connection)


def serve(folder, address="0.0.0.0", port=NBD_PORT):
    with Server((address, port), Path(folder)) as server:
        server.serve_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:2], "127.0.0.1", int(sys.argv[2]))
