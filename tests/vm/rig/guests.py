"""A guest whose filesystem is served on this machine: virtio devices of vhost-user sockets, and a line to talk to us.

The chardevs do not reconnect: QEMU 11.1 ends by an assertion (in vhost_dev_start) when this device's back end comes back.
"""

import select
import socket
import time
from typing import NamedTuple

from rig.machine import CPU, NO_REBOOT, Machine
from rig.monitor import Monitor

# What a virtiofs device is to the virtio specification; the device of QEMU that is given it knows nothing of files.
VIRTIO_ID_FS = 26
CONFIG_BYTES = 44
CONTROL_SECONDS = 30


class Device(NamedTuple):
    """A device of a guest: the socket of its back end, how many request queues it has, and, for one without a window, the tag,
    which its monitor tells the guest then."""

    path: str
    queues: int
    tag: str | None

    def words(self, number):
        words = ["-chardev", f"socket,id=fs{number},path={self.path}", "-device"]
        if self.tag is not None:
            return [*words, f"vhost-user-fs-pci,chardev=fs{number},tag={self.tag},num-request-queues={self.queues},queue-size=1024"]
        return [
            *words,
            f"vhost-user-test-device-pci,chardev=fs{number},virtio-id={VIRTIO_ID_FS},num_vqs={1 + self.queues},vq_size=128,"
            f"config_size={CONFIG_BYTES}",
        ]


class Guest(Machine):
    """`answer(line)` returns the line for what the guest says on its second serial port; `program` is the path of QEMU."""

    def __init__(self, kernel, initramfs, devices, answer, echo, cpus=1, counting=False, reboots=False, program=None):
        super().__init__(kernel, initramfs, None, echo, cpus, counting)
        self.devices, self.answer, self.reboots, self.program = devices, answer, reboots, program
        self.talk = self.control = self.monitor = None
        self.said = self.notes = b""

    def command(self, environment, megabytes):
        words = [
            self.program, "-M", "pc,accel=tcg", "-cpu", CPU, "-smp", str(self.cpus), "-m", f"{megabytes}M",
            "-object", f"memory-backend-memfd,id=memory,size={megabytes}M,share=on", "-machine", "memory-backend=memory",
            *self.common(environment), "-chardev", f"socket,id=talk,fd={self.inherited[0]}", "-serial", "chardev:talk",
            "-chardev", f"socket,id=monitor,fd={self.inherited[1]}", "-mon", "chardev=monitor,mode=control",
            *([] if self.reboots else [NO_REBOOT]),
        ]  # fmt: skip
        for number, device in enumerate(self.devices):
            words += device.words(number)
        return words

    def boot(self, environment, limit, megabytes, moment=lambda console: None):
        self.talk, theirs = socket.socketpair()
        self.control, their_control = socket.socketpair()
        self.said = b""
        self.monitor = None
        self.inherited = (theirs.fileno(), their_control.fileno())
        with self.talk, theirs, self.control, their_control:
            return super().boot(environment, limit, megabytes, moment)

    def command_monitor(self, command):
        """A command of QEMU's monitor, done when it returns."""
        if self.monitor is None:
            self.control.settimeout(CONTROL_SECONDS)
            self.monitor = Monitor(self.control)
        self.monitor.do(command)

    def read(self, deadline):
        """As Machine's, and answers the guest meanwhile."""
        while self.qemu.poll() is None:
            ready, _, _ = select.select([self.qemu.stdout, self.talk], [], [], max(0, deadline - time.monotonic()))
            if self.talk not in ready:
                break
            self.said += self.talk.recv(65536)
            *lines, self.said = self.said.split(b"\n")
            for line in lines:
                self.serve(line.decode(errors="replace").strip())
        data = super().read(deadline)
        if self.notes and (not data or self.console.endswith(b"\n")):  # never within a line of the guest
            self.note(self.notes)
            self.notes = b""
        return data

    def serve(self, line):
        answer = self.answer(line)
        self.notes += f"outside: {line} -> {answer}\n".encode()
        self.talk.sendall(f"{answer}\n".encode())
