#pragma once

#include <cstdint>
#include <string>
#include <vector>

// What the tests of the programs share.
namespace pmemfs::test {

// Checks that a program failed with this exit code and said exactly one line, which begins with
// "program: " and holds `mention`. Returns the line.
std::string check_refused(const std::vector<std::string>& words, int exit_code,
                          const std::string& mention);

// The names, modes, owners, sizes and contents of everything at or below a path.
std::uint32_t fingerprint(const std::string& path);

// A region made by mkfs.pmemfs --emulate; `more` are further words for it.
void make_region(const std::string& path, const std::vector<std::string>& more = {});

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& content);

}  // namespace pmemfs::test
