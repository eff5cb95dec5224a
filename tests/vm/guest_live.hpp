// Commands of guest_tool that stay with a mapping while others act on the file.
#pragma once

#include <span>

namespace pmemfs::vm {

// mapped FILE [SIZE]: maps FILE, of SIZE bytes if it shall grow, and does what comes on standard
// input, each with one line of answer, until its end: "touch" reads each page ("touched"), "store
// SEED" stores and flushes ("stored"), "verify SEED" compares ("kept K of N"), with no system call,
// all up to the size that the file had at the beginning or at the last "size" ("size N"); "reach"
// touches the whole mapping; "direct write OFFSET OTHER" writes the page there to another file with
// O_DIRECT, "direct read OFFSET OTHER" the other way ("done", or the error). "SIGBUS", then exit
// status 3, where there is nothing behind an address.
int mapped(std::span<char*> words);

// hammer FILE: stores 1, 2, 3, … into the lines of FILE, round and round, a number into all words
// of its line, each flushed before the next, for ever; says "hammered N" at the end of each round.
int hammer(std::span<char*> words);

// hammered FILE: the last number in it, read with read(2); 1 unless the file is what a hammer left
// that ended after that, in the middle of one line at most.
int hammered(std::span<char*> words);

}  // namespace pmemfs::vm
