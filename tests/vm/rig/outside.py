"""What is outside of the guests whose filesystem is served on this machine: region, daemon, and what guests ask to be done.

A guest says WORD ARGUMENTS… on its second serial port and gets one line, "ok TEXT" or "error TEXT"; FUNCTIONS has the words.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time

from rig.guests import Device
from rig.machine import die_with_parent
from rig.parts import SBIN, Broken, private_program

BACK_ENDS = ("pmemfs", "virtiofsd")
QUEUES = 2  # request queues of a device of pmemfs that nobody told how many
READY_SECONDS = 20
RUN_SECONDS = 60
END_SECONDS = 20
MEET_SECONDS = 90


class Refused(Exception):
    """What the guest asked for did not work; the text says why, in one line."""


def one_line(text):
    return "; ".join(line.strip() for line in text.strip().splitlines())


def is_mounted(place):
    """Also when its daemon is gone, which os.path.ismount takes for no mount."""
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
        return any(line.split()[1] == str(place) for line in mounts)


class Server:
    """A back end: a process that listens on `sockets`; ready when all are new and `also()`."""

    def __init__(self, command, sockets, log, also=lambda: True):
        before = {path: self.made(path) for path in sockets}
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=die_with_parent)
        deadline = time.monotonic() + READY_SECONDS
        while not (all(self.made(path) not in (None, before[path]) for path in sockets) and also()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end(signal.SIGKILL)
                raise Broken(f"{os.path.basename(command[0])} does not serve: {one_line(log.read_text(errors='replace')[-500:]) or 'no word'}")
            time.sleep(0.02)

    @staticmethod
    def made(path):
        return (os.stat(path).st_ino, os.stat(path).st_ctime_ns) if path.exists() else None

    def end(self, how):
        """Returns the exit status; one that does not end is killed."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Outside:
    """Serves what the script's head has. Everything is in `folder`, which should be memory.

    With `back_end` virtiofsd Debian's serves the region's mount point in place of pmemfs.
    """

    def __init__(self, folder, build, kind, script, back_end):
        self.folder, self.build, self.script, self.back_end = folder, build, script, back_end
        self.region = folder / "region"
        self.mount = folder / "mount"
        self.plain = folder / "plain"  # what Debian's back end serves
        self.log = folder / "daemon.log"
        self.mount.mkdir()
        self.plain.mkdir()
        size = ["--size", f"{script.megabytes_of(1)}M"] if kind == "file" else []
        self.command([build / "mkfs.pmemfs", "--quiet", "--emulate", *size, self.region])
        self.daemon = None
        self.others = {}
        self.lock = threading.Condition()
        self.told = {}
        self.machines = {}  # by number of the guest
        self.failed = False

    @classmethod
    def command(cls, words, cwd="/", path=None):
        """Its output as one line."""
        return one_line(cls.output(words, cwd, path))

    @staticmethod
    def output(words, cwd="/", path=None):
        environment = {**os.environ, "PATH": path or os.environ.get("PATH", "")}
        program = words[0]
        try:
            done = subprocess.run(
                words, cwd=cwd, env=environment, capture_output=True, text=True, errors="replace", timeout=RUN_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise Refused(f"{program}: {one_line(str(problem))}") from problem
        if done.returncode != 0:
            raise Refused(f"status {done.returncode}: {one_line(done.stderr or done.stdout)}")
        return done.stdout

    def socket(self, device, guest):
        """Of the guest's device; the head's word begins with its tag."""
        return self.folder / f"{self.tag(device)}.{guest}.sock"

    @staticmethod
    def tag(device):
        return device.removeprefix("virtiofsd:").removeprefix("plain:").split(",")[0]

    def devices(self, guest):
        """Each as the guest's machine has it; Debian's back end has one request queue."""
        for device in self.script.devices:
            queues = re.search(r",queues=(\d+)", device)
            number = (int(queues.group(1)) if queues else QUEUES) if self.is_ours(device) else 1
            yield Device(self.socket(device, guest), number, self.tag(device) if device.startswith("plain:") else None)

    def is_ours(self, device):
        return self.back_end == "pmemfs" and not device.startswith("virtiofsd:")

    def options(self):
        """The sockets of pmemfs, each with its option."""
        for device in filter(self.is_ours, self.script.devices):
            for guest in range(1, self.script.guests + 1):
                path = self.socket(device, guest)
                yield path, f"--virtiofs={path},tag={device.removeprefix('plain:')}"

    def start(self):
        options = dict(self.options())
        mounted = [self.mount] if self.script.mountpoint else []
        also = (lambda: is_mounted(self.mount)) if mounted else (lambda: True)
        self.daemon = Server([self.build / "pmemfs", "-f", self.region, *mounted, *options.values()], options, self.log, also)

    def start_others(self, guest):
        """Debian's back end serves one machine and ends; so anew for each boot."""
        for device in self.script.devices:
            if self.is_ours(device):
                continue
            path = self.socket(device, guest)
            shared = self.plain if device.startswith("virtiofsd:") else self.mount
            words = [f"--socket-path={path}", f"--tag={self.tag(device)}", f"--shared-dir={shared}", "--sandbox=none", "--xattr"]
            if path in self.others:
                self.others[path].end(signal.SIGKILL)
            self.others[path] = Server([private_program("virtiofsd"), *words], [path], self.folder / "virtiofsd.log")

    def stop(self, how=signal.SIGTERM):
        """Ends the daemon and unmounts; returns its exit status."""
        status = self.daemon.end(how) if self.daemon else 0
        self.daemon = None
        while is_mounted(self.mount):
            self.command(["umount", "-l", self.mount])
        return status

    def said(self):
        """By the back ends, whole."""
        logs = (self.log, self.folder / "virtiofsd.log")
        return "".join(path.read_text(errors="replace") for path in logs if path.exists())

    def close(self):
        for server in self.others.values():
            server.end(signal.SIGKILL)
        self.stop()

    def answer(self, guest, line):
        """What the guest's line comes to."""
        try:
            word, *words = shlex.split(line)
            return f"ok {FUNCTIONS[word](self, guest, *words)}".strip()
        except (Refused, Broken) as problem:
            return f"error {one_line(str(problem))}"
        except (ValueError, KeyError, TypeError, OSError) as problem:  # no such word, or not so many arguments
            return f"error {line}: {type(problem).__name__}: {one_line(str(problem))}"

    # What guests may ask for.

    def run(self, _guest, *words):
        """A program of the build or the system, in the mount point; says its output."""
        path = os.pathsep.join((str(self.build), str(self.build / "tests"), *SBIN))
        return self.command(words, self.mount if self.script.mountpoint else self.folder, path)

    def kill_daemon(self, _guest):
        self.stop(signal.SIGKILL)
        return ""

    def stop_daemon(self, _guest):
        status = self.stop()
        if status != 0:
            raise Refused(f"pmemfs ended with {status}: {one_line(self.log.read_text(errors='replace')[-300:])}")
        return ""

    def start_daemon(self, _guest):
        self.start()
        return ""

    def machine(self, guest, *commands):
        """Commands of QEMU's monitor to the guest's own machine."""
        for command in commands:
            self.machines[guest].command_monitor(command)
        return ""

    def fsck(self, _guest):
        """Of the region, while nobody has it."""
        return self.command([self.build / "fsck.pmemfs", "-n", self.region])

    def requests(self, guest, tag, kind=None):
        """How many this guest's device has sent to pmemfs so far; of one kind, or all."""
        status = json.loads(self.output([self.build / "pmemfsctl", "status", "--json", self.mount]))
        path = str(self.folder / f"{tag}.{guest}.sock")
        counts = next((device["requests"] for device in status.get("virtiofs", []) if device["socket"] == path), None)
        if counts is None:
            raise Refused(f"pmemfsctl status knows no device {path}")
        return str(counts.get(kind, 0) if kind else sum(counts.values()))

    def give_up(self):
        """Nobody waits any more: a guest has failed."""
        with self.lock:
            self.failed = True
            self.lock.notify_all()

    def tell(self, _guest, name, text="yes"):
        """Lets guests know that wait for this name."""
        with self.lock:
            self.told[name] = text
            self.lock.notify_all()
        return ""

    def wait(self, _guest, name):
        """What was told."""
        with self.lock:
            self.lock.wait_for(lambda: name in self.told or self.failed, MEET_SECONDS)
            if name not in self.told:
                raise Refused("another guest has failed" if self.failed else f"nobody told {name} within {MEET_SECONDS} s")
            return self.told[name]

    def was_told(self, _guest, name):
        """Whether this was told, which a guest that has started again does not know: yes or no."""
        return "yes" if name in self.told else "no"


FUNCTIONS = {
    "run": Outside.run,
    "kill": Outside.kill_daemon,
    "stop": Outside.stop_daemon,
    "start": Outside.start_daemon,
    "fsck": Outside.fsck,
    "machine": Outside.machine,
    "requests": Outside.requests,
    "tell": Outside.tell,
    "wait": Outside.wait,
    "told": Outside.was_told,
}
