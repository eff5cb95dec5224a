"""Filesystems to measure side by side, all on one tmpfs of their own, and their orderly end."""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DURABLE = "user.pmemfs.mmap_durable"


class Trouble(Exception):
    """One clear line for the user."""


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise Trouble(f"{words[0]}: {done.stderr.strip() or 'exit code ' + str(done.returncode)}")
    return done.stdout


def find_program(name, *folders):
    for folder in folders:
        if os.access(pathlib.Path(folder) / name, os.X_OK):
            return pathlib.Path(folder) / name
    found = shutil.which(name)
    if not found:
        raise Trouble(f"{name} is missing: run scripts/setup --bench and build it")
    return pathlib.Path(found)


def passthrough_hp():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    prefix = os.environ.get("PMEMFS_PREFIX") or os.path.join(cache, "pmemfs")
    return find_program("passthrough_hp", os.path.join(prefix, "fuse3", "libexec"))


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Trouble(f"waited in vain: {what}")
        time.sleep(0.005)


def detach(mount_point):
    """Unmounts whatever the state; a busy mount is detached."""
    for words in (["umount", mount_point], ["umount", "-l", mount_point]):
        if subprocess.run([str(w) for w in words], capture_output=True, check=False).returncode == 0:
            return


class Host:
    """The directory itself."""

    name, title = "host", "host directory"

    def __init__(self, base):
        self.base = pathlib.Path(base) / self.name
        self.dir = self.base / "data"
        self.dir.mkdir(parents=True)

    def mount(self):
        pass

    def unmount(self):
        pass

    def durable(self, path):
        """Marks a directory, where that exists."""

    def reset_counters(self):
        pass

    def counters(self):
        return {}


class LoopExt4(Host):
    """An ext4 of `size` bytes in a file, as it comes."""

    name, title = "loop_ext4", "ext4 on a loop device"

    def __init__(self, base, size=2 << 30):
        super().__init__(base)
        self.image = self.base / "image"
        with open(self.image, "wb") as image:
            image.truncate(size)
        run("mkfs.ext4", "-q", "-b", "4096", "-m", "0", self.image)

    def mount(self):
        run("mount", "-o", "loop", self.image, self.dir)

    def unmount(self):
        detach(self.dir)


class Foreign(Host):
    """A FUSE filesystem of others over a directory, in the foreground, so that it is our child."""

    words = []

    def __init__(self, base):
        super().__init__(base)
        self.source, self.dir = self.dir, self.base / "mnt"
        self.dir.mkdir()
        self.process = None

    def command(self):
        return [*self.words, "-o", "allow_other", self.source, self.dir]

    def mount(self):
        with open(self.base / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(w) for w in self.command()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        wait_for(lambda: os.path.ismount(self.dir) or self.process.poll() is not None, self.name)
        if self.process.poll() is not None:
            raise Trouble(f"{self.name} ended: {(self.base / 'log').read_text().strip()}")

    def unmount(self):
        if self.process is None:
            return
        detach(self.dir)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


class PassthroughHp(Foreign):
    name, title = "passthrough_hp", "passthrough_hp"

    def command(self):
        return [passthrough_hp(), "--foreground", "-o", "allow_other", self.source, self.dir]


class Bindfs(Foreign):
    name, title = "bindfs", "bindfs"
    words = ["bindfs", "-f"]


class Mergerfs(Foreign):
    name, title = "mergerfs", "mergerfs"
    words = ["mergerfs", "-f"]


class Pmemfs(Host):
    name, title = "pmemfs", "pmemfs"

    def __init__(self, base, bin_dir, options=""):
        super().__init__(base)
        self.bin, self.options = pathlib.Path(bin_dir), options
        self.region, self.dir = self.base / "region", self.base / "mnt"
        self.dir.mkdir()
        self.mounted = False
        self.format()

    def format(self):
        run(self.program("mkfs.pmemfs"), "--emulate", "--quiet", self.region)

    def program(self, name):
        return find_program(name, self.bin)

    def mount(self):
        more = ["-o", self.options] if self.options else []
        self.mounted = True
        run(self.program("mount.fuse.pmemfs"), self.region, self.dir, *more)

    def unmount(self):
        if not self.mounted:
            return
        self.mounted = False
        try:
            run(self.program("umount.fuse.pmemfs"), self.dir)
        except Trouble:
            detach(self.dir)

    def durable(self, path):
        os.setxattr(path, DURABLE, b"1")

    def ctl(self, *words):
        return json.loads(run(self.program("pmemfsctl"), *words, "--json", self.dir))

    def status(self):
        return self.ctl("status")

    def reset_counters(self):
        self.ctl("counters", "--reset")

    def counters(self):
        return {k: v for k, v in self.ctl("counters")["requests"].items() if v}


class PmemfsFile(Pmemfs):
    """A file region: the same edge over a core that asks no host, so that what is left is the kernel's. The floor."""

    name, title = "file_region", "file region"

    def __init__(self, base, bin_dir, options="", size=2 << 30):
        self.size = size
        super().__init__(base, bin_dir, options)

    def format(self):
        run(self.program("mkfs.pmemfs"), "--emulate", "--quiet", f"--size={self.size}", self.region)


@contextlib.contextmanager
def tmpfs(size="16g"):
    """A tmpfs of our own: unmounting it takes away everything at once."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="pmemfs-bench-"))
    try:
        run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700,nr_inodes=0", "pmemfs-bench", place)
        try:
            yield place
        finally:
            detach(place)
    finally:
        place.rmdir()


@contextlib.contextmanager
def mounted(system):
    try:
        system.mount()
        yield system
    finally:
        system.unmount()


def end_on_signal(*_):
    raise KeyboardInterrupt


def prepare():
    """For the whole program: signals clean up, daemons may hold a descriptor for each file."""
    if os.geteuid() != 0:
        raise Trouble("mounting needs root; run it as root")
    signal.signal(signal.SIGTERM, end_on_signal)
    signal.signal(signal.SIGHUP, end_on_signal)
    wanted = 1 << 20
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))


def main(body):
    """Runs `body`; trouble is one line."""
    try:
        prepare()
        body()
    except Trouble as trouble:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {trouble}")
    except KeyboardInterrupt:
        sys.exit(130)

