"""QEMU's monitor (QMP): commands over a connected socket."""

import json
import time

from rig.parts import Broken

CONNECT_SECONDS = 20


class Monitor:
    def __init__(self, connection):
        self.stream = connection.makefile("rwb", buffering=0)

        self.stream.readline()  # the greeting
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        """What the command returns. OSError when the machine is gone, Broken when QEMU refuses."""
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        for line in self.stream:
            said = json.loads(line)
            if "error" in said:
                raise Broken(f"QEMU refuses {command}: {said['error']['desc']}")
            if "return" in said:
                return said["return"]
        raise ConnectionResetError(f"QEMU ended before it answered {command}")

    def wait_connected(self, chardev):
        """Until somebody is at the other side of a socket."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while time.monotonic() < deadline:
            found = [entry["filename"] for entry in self.do("query-chardev") if entry["label"] == chardev]
            if not found[0].startswith("disconnected"):
                return
            time.sleep(0.02)
        raise Broken(f"QEMU does not connect to a back end within {CONNECT_SECONDS} s")
