"""The figures, what each is compared with, and what is to be reached (docs/BENCHMARKS.md shows the result)."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One row. `targets`: system → the least ratio of speed, pmemfs against that system."""

    title: str
    targets: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """One call of pmemfs-bench-work in `folder`; `fresh`: mounted afresh before, so that caches are cold."""

    name: str
    figures: dict
    others: tuple
    folder: str = "plain"
    fresh: bool = False


FUSE = ("passthrough_hp", "bindfs", "mergerfs", "file_region")
NAMES = {"passthrough_hp": 1.2, "bindfs": 2.0}
HP = {"passthrough_hp": 1.0}

WORKS = (
    Work("store_flush", {"store_flush": Figure("64-byte store, flush, fence; durable mapping", {"host": 0.97})},
         ("host",), "durable"),
    Work("memcpy4k", {"memcpy4k": Figure("memcpy of 4 KiB into a durable mapping", {"host": 0.97})},
         ("host",), "durable"),
    Work("first_touch", {"first_touch": Figure("first touch of a page, durable mapping", {"host": 0.9})},
         ("host",), "durable"),
    Work("read1m", {"read1m": Figure("read 1 MiB, ordinary file", {"host": 0.9, **HP})}, ("host", "passthrough_hp")),
    Work("write1m", {"write1m": Figure("write 1 MiB", {"host": 0.9, **HP})}, ("host", "passthrough_hp")),
    Work("read4k", {"read4k": Figure("read 4 KiB at random", {"host": 0.8, **HP})}, ("host", "passthrough_hp")),
    Work("write4k", {"write4k": Figure("write 4 KiB at random", {"host": 0.7, **HP})}, ("host", "passthrough_hp")),
    Work("names", {
        "create": Figure("create an empty file", NAMES),
        "create_write": Figure("create, write 4 KiB, close", NAMES),
        "rename": Figure("rename", NAMES),
        "unlink": Figure("unlink, empty file", NAMES),
        "unlink_4k": Figure("unlink, file of 4 KiB", NAMES),
    }, ("host", *FUSE)),
    Work("readdir_stat", {"readdir_stat": Figure("readdir + stat, fresh mount", NAMES)}, ("host", *FUSE), fresh=True),
    Work("tree", {
        "untar": Figure("untar a source tree", NAMES),
        "rm_tree": Figure("rm -rf of it", NAMES),
    }, ("host", *FUSE)),
)

# No operation may slow down by more than this from the first 10 000 to the last of a million files.
MANY_BOUND = 1.5
MANY = {"many_in_one": "a million files in one directory", "many_in_1000": "a million files in 1 000 directories"}
