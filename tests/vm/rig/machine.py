"""One boot of a virtual machine: starts QEMU, follows its serial console, and ends it."""

import ctypes
import os
import re
import select
import signal
import subprocess
import time

from rig.parts import program

VERDICT = re.compile(rb"@vm (pass|fail|skip|next-boot|power-cut)\b[ \t]*([^\r\n]*)\r?\n")
# Without cmpxchg16b: QEMU 7.2 leaves wrong flags behind that instruction when an interrupt comes next, of which kernel 6.12,
# whose allocator uses it where it can, dies by a double fault in every third boot.
CPU = "max,-cx16"
NO_REBOOT = "-no-reboot"
PR_SET_PDEATHSIG = 1
SETTLE_SECONDS = 20  # for a guest that was told to switch itself off


def die_with_parent():
    """So that a machine never outlives a test that was killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Outcome:
    """How a boot ended: `word` is a verdict of the guest (tests/vm/guest/lib.sh), or "timeout" or "silent"."""

    def __init__(self, word, text=""):
        self.word, self.text = word, text


class Machine:
    def __init__(self, kernel, initramfs, nvdimm, echo, cpus=1, counting=False):
        self.kernel, self.initramfs, self.nvdimm = kernel, initramfs, nvdimm
        self.echo, self.cpus = echo, cpus
        # The guest's clock goes by its instructions, a nanosecond each, whatever else this machine does.
        self.clock = ["-icount", "shift=0,align=off,sleep=off"] if counting else []
        self.console = b""
        self.inherited = ()  # descriptors of ours that QEMU gets
        self.qemu = None

    def command(self, environment, megabytes):
        return [
            program("qemu-system-x86_64"), "-M", "pc,nvdimm=on,accel=tcg", "-cpu", CPU, "-smp", str(self.cpus), "-m", "1G,slots=2,maxmem=4G",
            "-object", f"memory-backend-file,id=m1,share=on,mem-path={self.nvdimm},size={megabytes}M",
            "-device", "nvdimm,id=n1,memdev=m1", *self.common(environment), NO_REBOOT,
        ]  # fmt: skip

    def common(self, environment):
        """Of all machines. The guest's /init finds `environment` among its variables: the kernel hands over words that it does
        not know."""
        words = " ".join(f"{name}={value}" for name, value in environment.items())
        # no_timer_check: on a busy machine a tick may come too late for the kernel, which takes that for a broken timer.
        return [
            *self.clock, "-kernel", self.kernel.image, "-initrd", self.initramfs,
            "-append", f"console=ttyS0 quiet panic=-1 mitigations=off no_timer_check {words}",
            "-nodefaults", "-display", "none", "-serial", "stdio",
        ]  # fmt: skip

    def boot(self, environment, limit, megabytes, moment=lambda console: None):
        """Boots with this much of the NVDIMM, and returns the outcome when the machine is gone; `limit` is in seconds.

        `moment(console)`, asked whenever something came, tells in how many seconds the power goes: power-cut, unless the
        guest fails before.
        """
        self.console = b""
        self.qemu = subprocess.Popen(
            self.command(environment, megabytes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
            pass_fds=self.inherited,
        )
        try:
            outcome = self.follow(time.monotonic() + limit, moment)
            # Of all others nothing is wanted any more. After "power-cut" least of all: what is not durable yet must have no
            # time to become so.
            if outcome.word == "next-boot" and not self.drained(time.monotonic() + SETTLE_SECONDS):
                return Outcome("timeout", f"the guest did not switch itself off within {SETTLE_SECONDS} s")
            return outcome
        finally:
            if not self.qemu.stdout.closed:
                self.cut()

    def cut(self):
        """The power goes: nothing of the machine survives but what is in the file of its persistent memory."""
        if self.qemu.poll() is None:
            os.kill(self.qemu.pid, signal.SIGKILL)
        self.qemu.wait()
        while self.read(time.monotonic()):  # what it had said by then
            pass
        self.qemu.stdout.close()

    def verdict(self):
        """What the guest has said, or None."""
        found = VERDICT.search(self.console)
        return found and Outcome(found.group(1).decode(), found.group(2).decode(errors="replace"))

    def follow(self, deadline, moment):
        """Reads the console until a verdict."""
        while self.read(deadline):
            found = self.verdict()
            if found:
                return found
            left = moment(self.console)
            if left is not None:
                time.sleep(left)
                self.cut()
                return self.verdict() or Outcome("power-cut")
        if time.monotonic() >= deadline:
            return Outcome("timeout", "the guest came to no verdict in time")
        return Outcome("silent", "the machine ended without a verdict")

    def drained(self, deadline):
        """Whether the machine ends by itself."""
        while self.read(deadline):
            pass
        return time.monotonic() < deadline

    def read(self, deadline):
        """Adds to the console what came; false at its end and at the deadline."""
        ready, _, _ = select.select([self.qemu.stdout], [], [], max(0, deadline - time.monotonic()))
        data = os.read(self.qemu.stdout.fileno(), 65536) if ready else b""
        self.note(data)
        return data

    def note(self, data):
        self.console += data
        self.echo(data)
