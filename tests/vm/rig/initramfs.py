"""Builds the initramfs of a guest: busybox, programs with the libraries that ldd lists, modules, guest scripts."""

import pathlib
import re
import shutil
import subprocess

from rig.parts import GUEST, Broken, program

OURS = ("pmemfs", "mkfs.pmemfs", "mount.fuse.pmemfs", "umount.fuse.pmemfs", "pmemfsctl", "tests/guest_tool")
WHERE_BUILT = ("fsck.pmemfs",)
SYSTEM = ("ndctl", "mkfs.ext4", "mkfs.xfs", "setfattr", "getfattr")
# Where pmemfs is outside the guest needs less, and starts sooner.
OURS_INSIDE = ("tests/guest_tool",)
SYSTEM_INSIDE = ("setfattr", "getfattr")
LIBRARY = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)


def copy(path, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path.resolve(), target)
    target.chmod(0o755)


def libraries(path):
    """The shared libraries that the program needs, the loader included."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True)
    if "not found" in done.stdout:
        raise Broken(f"{path} lacks a library: {done.stdout}")
    return [pathlib.Path(name) for name in LIBRARY.findall(done.stdout)]


def add_programs(root, build, script):
    ours = list(OURS_INSIDE if script.is_outside else OURS)
    ours += [name for name in script.programs if name.startswith(("tests/", "pmemfs-"))]
    missing = [name for name in ours if not (build / name).is_file()]
    if missing:
        raise Broken(f"{build} lacks {', '.join(missing)}: build it first")
    ours += [name for name in WHERE_BUILT if (build / name).is_file() and not script.is_outside]
    system = SYSTEM_INSIDE if script.is_outside else SYSTEM
    programs = [build / name for name in ours] + [program(name) for name in (*system, *script.programs) if name not in ours]
    for path in programs:
        copy(path, root / "vm/bin" / path.name)
        for library in libraries(path):
            if not (root / library.relative_to("/")).exists():
                copy(library, root / library.relative_to("/"))
    # Debug information is most of a program, and loading it would be most of a boot.
    subprocess.run([program("strip"), "--strip-debug", *(root / "vm/bin").iterdir()], check=True, stderr=subprocess.DEVNULL)
    copy(program("busybox"), root / "bin/busybox")


def build(target, build_folder, kernel, script):
    """Writes the archive `target`; what it is made of is in a folder beside it."""
    root = target.with_suffix(".root")
    add_programs(root, build_folder, script)
    shutil.copytree(kernel.modules, root / "vm/modules")
    copy(GUEST / "init", root / "init")
    copy(GUEST / "lib.sh", root / "vm/guest/lib.sh")
    copy(script.path, root / "vm/guest" / script.path.name)
    names = "\0".join(str(path.relative_to(root)) for path in sorted(root.rglob("*"))) + "\0"
    command = [program("cpio"), "--quiet", "--null", "-o", "-H", "newc", "-R", "0:0", "-O", target]
    subprocess.run(command, cwd=root, input=names.encode(), check=True)
