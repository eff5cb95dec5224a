"""QEMU's monitor (QMP): commands over a connected socket."""

import json

from rig.parts import Broken


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
