# What guest scripts use. Each ends with one of the verdicts; the machine outside reads them from the serial console.

HOST=/mnt/host      # where host_mount mounts the filesystem on persistent memory
REGION=$HOST/region # and a region on it
P=/mnt/pmemfs       # and where pmemfs_mount mounts that
CUT_LINE='@vm power-cut'

# The serial port takes the whole line before the machine goes.
verdict() {
    echo "@vm $*"
    sync
    poweroff -f
    sleep 1000
}
pass() { verdict pass; }
fail() { verdict fail "$*"; }
skip() { verdict skip "$*"; }
next_boot() { verdict next-boot; } # a clean end of this boot; unmount before
say() { echo "vm: $*"; }

# expect WHAT ACTUAL WANTED…: one of the wanted values.
expect() {
    local what=$1 actual=$2 wanted
    shift 2
    for wanted in "$@"; do
        [ "$actual" != "$wanted" ] || { say "$what: $actual" && return 0; }
    done
    fail "$what is '$actual' and not '$*'"
}

xattr() { getfattr --only-values --absolute-names -n "user.pmemfs.$1" "$2"; }

# namespace MODE: a raw namespace has no page structs and refuses DAX; the one made here outlives the machine.
namespace() {
    [ "$VM_BOOT" != 1 ] || ndctl create-namespace -f -e namespace0.0 -m "$@" >/tmp/ndctl.log 2>&1 ||
        { cat /tmp/ndctl.log && fail "ndctl cannot make a namespace ($*)"; }
}

# 4 KiB blocks, or ext4 refuses DAX; aligned allocation, or xfs gives no 2 MiB faults.
host_format() {
    case "$VM_MEDIA" in
        ext4-dax) mkfs.ext4 -q -F -b 4096 /dev/pmem0 ;;
        xfs-dax) mkfs.xfs -q -f -d su=2m,sw=1 /dev/pmem0 ;;
    esac || fail "/dev/pmem0 cannot be formatted for $VM_MEDIA"
}

# In the first boot of a test it makes namespace and filesystem. ext4 commits every 5 s when nobody asks; later (xfs: 30 s)
# shows more, and a busy machine cannot rescue what the control of a power cut must lose.
host_mount() { # [MODE]: dax=MODE, or always
    local options=dax=${1:-always}
    namespace fsdax --map=mem
    [ "$VM_BOOT" != 1 ] || host_format
    [ "$VM_MEDIA" != ext4-dax ] || options=$options,commit=60,stripe=512
    mkdir -p $HOST
    mount -t "${VM_MEDIA%-dax}" -o $options /dev/pmem0 $HOST || fail "$VM_MEDIA cannot be mounted with -o $options"
}

pmemfs_mount() { # in the first boot of a test it makes the region; without --emulate
    [ "$VM_BOOT" != 1 ] || mkfs.pmemfs $REGION || fail "mkfs.pmemfs refused $VM_MEDIA"
    mkdir -p $P
    mount.fuse.pmemfs $REGION $P || fail "the region cannot be mounted"
}

pmemfs_remount() { mount.fuse.pmemfs $REGION $P || fail "the region cannot be mounted again"; }
pmemfs_umount() { umount.fuse.pmemfs $P || fail "pmemfs cannot be unmounted"; }

mount_tests_on_media() { # so that the programs of tests/mount make their regions on the memory
    mkdir -p /dev/shm /usr/bin
    for program in id cp; do # not busybox's
        ln -s /vm/bin/$program /usr/bin/$program
    done
    PATH=/usr/bin:$PATH
    export PMEMFS_BIN=/vm/bin
    if [ "$VM_MEDIA" = devdax ]; then
        namespace devdax
        mount -t tmpfs shm /dev/shm
        export PMEMFS_TEST_DEVDAX=/dev/dax0.0 PMEMFS_TEST_KIND=file
    else
        host_mount
        mount -o bind $HOST /dev/shm
        chmod 1777 /dev/shm
        export PMEMFS_TEST_KIND=directory
    fi
}

run_mount_test() { # PROGRAM [FILTER]
    local start=$(cut -d. -f1 /proc/uptime)
    "$@" >/tmp/out 2>&1 || { cat /tmp/out && fail "$1 failed on $VM_MEDIA"; }
    say "$1: $(grep -E '^All tests passed|^test cases' /tmp/out), $(($(cut -d. -f1 /proc/uptime) - start)) s"
}

# What guests do that are served from outside (virtiofs): V is where virtiofs_mount mounts.
V=/mnt/virtiofs

# host WORD ARGUMENTS…: has something done outside (rig/outside.py has the words), prints what came of it; 1 when it was refused.
if [ -n "${VM_GUEST-}" ]; then
    stty -F /dev/ttyS1 raw -echo
    exec 8<>/dev/ttyS1
fi
host() {
    local word text
    echo "$*" >&8
    read -r word text <&8
    echo "$text"
    [ "$word" = ok ]
}
must_host() { host "$@" >/tmp/host || fail "outside: $*: $(cat /tmp/host)"; }

virtiofs_mount() { # [OPTIONS [TAG [WHERE]]]
    mkdir -p ${3-$V}
    mount -t virtiofs -o ${1-dax=inode} ${2-pmem} ${3-$V} || fail "virtiofs ${2-pmem} cannot be mounted with -o ${1-dax=inode}"
}

# A file that is to be made anew knows what it is now: the guest keeps what an inode was when it first saw it.
forget() { echo 3 >/proc/sys/vm/drop_caches; }

durable_file() { # FILE SIZE: in a directory that is durable, so that it is from the start
    mkdir -p "${1%/*}"
    setfattr -n user.pmemfs.mmap_durable -v 1 "${1%/*}"
    truncate -s $2 $1
    expect "mapping of ${1##*/}" "$(xattr mapping $1)" window
}

# open_mapping FILE [SIZE], then ask WHAT as guest_tool mapped says, then close_mapping.
open_mapping() {
    rm -f /tmp/ask /tmp/said
    mkfifo /tmp/ask /tmp/said
    guest_tool mapped "$@" </tmp/ask >/tmp/said &
    mapper=$!
    exec 6>/tmp/ask 7</tmp/said
}
ask() {
    local answer=nothing
    echo "$*" >&6
    read -r answer <&7 || true
    echo "$answer"
}
close_mapping() {
    exec 6>&- 7<&-
    wait $mapper || true
}

# quiet WANTED WHAT…: asks, and fails when the answer is another, or took a request to the daemon.
quiet() {
    local wanted=$1 before answer
    shift
    must_host requests pmem
    before=$(cat /tmp/host)
    answer=$(ask "$@")
    must_host requests pmem
    expect "answer to $*" "$answer" "$wanted"
    expect "requests for it" $(($(cat /tmp/host) - before)) 0
}

mount_tests_on_virtiofs() { # the programs of tests/mount, on what virtiofs_mount has mounted
    mkdir -p /dev/shm /usr/bin
    mount -t tmpfs shm /dev/shm
    for program in id cp; do # not busybox's
        ln -s /vm/bin/$program /usr/bin/$program
    done
    PATH=/usr/bin:$PATH
    export PMEMFS_BIN=/vm/bin PMEMFS_TEST_DIR=$V PMEMFS_TEST_KIND=guest
}
