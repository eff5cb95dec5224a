"""What virtual machines are made of: the kernels of scripts/setup-vm, programs of the system, guest scripts."""

import os
import pathlib
import re
import shutil

VM_TESTS = pathlib.Path(__file__).resolve().parent.parent
GUEST = VM_TESTS / "guest"
SBIN = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")
NVDIMM_MEDIA = ("ext4-dax", "xfs-dax", "devdax")
OUTSIDE_MEDIA = ("directory", "file")  # kinds of regions that pmemfs serves from outside, by virtiofs
MEDIA = (*NVDIMM_MEDIA, *OUTSIDE_MEDIA)
KERNELS = ("6.12", "newest")
MEGABYTES = 1024  # of NVDIMM, sparse; with less, a log as mkfs.xfs wants it does not fit


class Skip(Exception):
    """This machine cannot run the test; the text says what it needs."""


class Broken(Exception):
    """The rig or the build is at fault, and the test fails; the text says how."""


def prefix():
    """The private folder, by the same rule as scripts/lib/prefix.sh."""
    if os.environ.get("PMEMFS_PREFIX"):
        return pathlib.Path(os.environ["PMEMFS_PREFIX"])
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/"), ".cache")
    return pathlib.Path(cache) / "pmemfs"


def program(name):
    """The path of a program of the system."""
    path = shutil.which(name, path=os.pathsep.join((*SBIN, os.environ.get("PATH", ""))))
    if not path:
        raise Skip(f"needs {name} (as root: scripts/setup-vm)")
    return pathlib.Path(path)


def note_of(name, otherwise):
    """Why scripts/setup-vm could not have something."""
    note = prefix() / "vm" / name
    return note.read_text().strip() if note.is_file() else otherwise


def private_program(name):
    """The path of a program of the QEMU that scripts/setup-vm unpacked."""
    path = prefix() / "vm/qemu/bin" / name
    if not path.is_file():
        raise Skip(f"needs a QEMU that gives guests a DAX window: {note_of('unavailable-qemu', 'scripts/setup-vm fetches it')}")
    return path


class Kernel:
    """A kernel that scripts/setup-vm fetched: image, modules in loading order, release."""

    def __init__(self, name):
        self.folder = prefix() / "vm" / name
        if not (self.folder / "vmlinuz").is_file():
            why = note_of("unavailable", "scripts/setup-vm fetches it")
            raise Skip(f"needs a kernel for virtual machines, {name}: {why}")
        self.image = self.folder / "vmlinuz"
        self.modules = self.folder / "modules"
        self.release = (self.folder / "release").read_text().strip()


class Script:
    """A guest script and what its head declares.

    "# media: …" on which it runs, "# boots: N" that it must take; if it wants them, "# programs: …" beside those that all
    have, of the build when they begin with tests/, and "# megabytes: N…" of NVDIMM, boot by boot, the largest first;
    "# workers: N": its boots but the last end in a power cut at a random moment, while so many workers say what they do.

    On a region outside: "# devices: TAG[,OPTION…]…", what each guest has, for --virtiofs=, with "plain:" before it by a
    device without a window, or virtiofsd:TAG for Debian's back end; "# guests: N" at once (1), of so much "# memory:
    MEGABYTES" (512); "# megabytes:" is the size of a file region; "# reboots: yes" when a guest resets itself instead of
    ending; "# mountpoint: no" when the region is not mounted outside.
    """

    def __init__(self, name_or_path):
        path = pathlib.Path(name_or_path)
        self.path = path if path.suffix == ".sh" else GUEST / f"{name_or_path}.sh"
        self.name = self.path.stem
        if not self.path.is_file():
            raise Broken(f"there is no guest script {self.path}")
        text = self.path.read_text()
        self.media = self.declared(text, "media").split()
        self.is_outside = all(medium in OUTSIDE_MEDIA for medium in self.media)
        self.boots = int(self.declared(text, "boots"))
        self.workers = int(self.declared(text, "workers", "0"))
        self.programs = self.declared(text, "programs", "").split()
        self.megabytes = [int(number) for number in self.declared(text, "megabytes", str(MEGABYTES)).split()]
        self.devices = self.declared(text, "devices", "").split()
        self.guests = int(self.declared(text, "guests", "1"))
        self.memory = int(self.declared(text, "memory", "512"))
        self.reboots = self.declared(text, "reboots", "no") == "yes"
        self.mountpoint = self.declared(text, "mountpoint", "yes") == "yes"

    def declared(self, text, word, otherwise=None):
        found = re.search(rf"^# {word}: (.+)$", text, re.MULTILINE)
        if not found and otherwise is None:
            raise Broken(f'{self.path} lacks its line "# {word}: …"')
        return found.group(1) if found else otherwise

    def megabytes_of(self, boot):
        """How much NVDIMM the machine has in this boot, the first being 1."""
        return self.megabytes[min(boot, len(self.megabytes)) - 1]
