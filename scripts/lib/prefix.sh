# Sourced by scripts/setup and scripts/setup-vm: the private folder, and what both do with Debian packages.
# cmake/libfuse.cmake and tests/vm/rig/parts.py find the folder by the same rule.

PREFIX=${PMEMFS_PREFIX:-${XDG_CACHE_HOME:-${HOME:?HOME is not set, set PMEMFS_PREFIX}/.cache}/pmemfs}
mkdir -p "$PREFIX"
PREFIX=$(cd "$PREFIX" && pwd)
readonly PREFIX

missing_of() { # those of the packages $@ that are not installed, one a line
    comm -23 <(printf '%s\n' "$@" | sort -u) \
        <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

install_of() { # the packages $@; apt waits for another apt
    DEBIAN_FRONTEND=noninteractive apt-get -qy -o DPkg::Lock::Timeout=600 install --no-install-recommends "$@"
}
