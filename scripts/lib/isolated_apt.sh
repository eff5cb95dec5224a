# Sourced by scripts/setup and scripts/setup-vm: an apt of our own in a folder, which reads other suites of the archive that
# the system itself uses. The system's package sources are not touched. The archive's address comes from the system, and the
# system's archive keyring is trusted, so signatures are checked as always.
#
# A function that returns 1 has set isolated_apt_why to one line.

isolated_apt_why=""

# isolated_apt DIR COMMAND WORDS…: apt-get or apt-cache with the configuration in DIR.
isolated_apt() {
    local dir=$1 command=$2
    shift 2
    "$command" -q \
        -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" -o Acquire::Languages=none "$@"
}

# isolated_apt_folders DIR: makes them; downloads go to DIR/downloads.
isolated_apt_folders() {
    local dir=$1
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/downloads"
    chmod 755 "$dir" # apt drops to its own user for downloads
    [ "$(id -u)" -ne 0 ] || chown -R _apt "$dir/lists" "$dir/cache" "$dir/downloads" 2>/dev/null || true
}

# isolated_apt_sources DIR TYPE SUITES: TYPE is deb or deb-src, SUITES are words.
isolated_apt_sources() {
    local dir=$1 type=$2 suites=$3 uri keyring suite
    # A line is "label uri"; security and third-party archives have other labels. Debian's own comes first.
    uri=$(apt-get indextargets --format "\$(LABEL) \$(REPO_URI)" 2>/dev/null | sed -n 's/^Debian //p' | head -n 1)
    if [ -z "$uri" ]; then
        isolated_apt_why="apt knows no Debian archive here; run apt-get update, or check /etc/apt/sources.list.d"
        return 1
    fi
    for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp} ''; do
        [ ! -f "$keyring" ] || break
    done
    if [ -z "$keyring" ]; then
        isolated_apt_why="no Debian archive keyring; as root run: apt-get install debian-archive-keyring"
        return 1
    fi
    for suite in $suites; do
        printf '%s [signed-by=%s] %s %s main\n' "$type" "$keyring" "$uri" "$suite"
    done >"$dir/sources.list"
}

# isolated_apt_read DIR TYPE SUITES…: reads the package lists of the first SUITES that this machine can read, with all of
# apt's checks. A mirror may lag behind so that lists have expired, hence more than one.
isolated_apt_read() {
    local dir=$1 type=$2 suites
    shift 2
    isolated_apt_why=""
    for suites in "$@"; do
        isolated_apt_sources "$dir" "$type" "$suites" || return 1
        # Without the first option apt takes an archive that does not answer for one that has nothing.
        if isolated_apt "$dir" apt-get -o APT::Update::Error-Mode=any -o Acquire::Retries=1 update \
            >"$dir/log" 2>&1 </dev/null; then
            return 0
        fi
        isolated_apt_why+="${isolated_apt_why:+; }cannot read the package lists of $suites: "
        isolated_apt_why+=$(grep -m 1 '^E:' "$dir/log" | cut -c 1-300 || echo 'apt says no more')
    done
    return 1
}
