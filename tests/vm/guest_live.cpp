#include "guest_live.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "guest_flush.hpp"
#include "guest_mapping.hpp"

namespace pmemfs::vm {
namespace {

using Line = std::array<std::uint64_t, kLine / sizeof(std::uint64_t)>;

void touch(std::span<std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kPage) {
    static_cast<void>(*static_cast<volatile std::byte*>(&bytes[at]));
  }
}

void store_line(std::byte* at, const Line& words) {
  std::memcpy(at, words.data(), kLine);
  flush_line(at);
}

void store_all(std::span<std::byte> bytes, std::uint64_t seed) {
  for (std::size_t line = 0; line < bytes.size() / kLine; ++line) {
    store_line(&bytes[line * kLine], pattern(seed, line));
  }
  fence();
}

std::size_t kept_of(std::span<const std::byte> bytes, std::uint64_t seed) {
  std::size_t kept = 0;
  for (std::size_t line = 0; line < bytes.size() / kLine; ++line) {
    const auto wanted = pattern(seed, line);
    kept += std::memcmp(&bytes[line * kLine], wanted.data(), kLine) == 0 ? std::size_t{1} : 0;
  }
  return kept;
}

std::size_t size_of(const char* path) {
  struct stat st {};
  if (::stat(path, &st) != 0) {
    fail(std::string(path) + ": is gone");
  }
  return static_cast<std::size_t>(st.st_size);
}

// A command of `mapped` that looks at bytes alone; `live` is what the file has of `all`.
std::string answer(const std::string& command, std::span<std::byte> all,
                   std::span<std::byte> live) {
  std::istringstream words(command);
  std::string word;
  std::uint64_t seed = 0;
  words >> word >> seed;
  if (word == "touch" || word == "reach") {
    touch(word == "touch" ? live : all);
    return "touched";
  }
  if (word == "store") {
    store_all(live, seed);
    return "stored";
  }
  if (word == "verify") {
    return "kept " + std::to_string(kept_of(live, seed)) + " of " +
           std::to_string(live.size() / kLine);
  }
  return "what is " + command + "?";
}

// "direct …": a page of `all` is the buffer of another file's read(2) or write(2).
std::string direct(const std::string& command, std::span<std::byte> all) {
  std::istringstream words(command);
  std::string word;
  std::string what;
  std::string other;
  std::size_t off = 0;
  words >> word >> what >> off >> other;
  const int fd = ::open(other.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  if (fd < 0 || off % kPage != 0 || off >= all.size()) {
    fail(command + ": cannot be");
  }
  const ssize_t n =
      what == "read" ? ::pread(fd, &all[off], kPage, 0) : ::pwrite(fd, &all[off], kPage, 0);
  const int code = errno;
  ::close(fd);
  return n == static_cast<ssize_t>(kPage) ? "done" : n < 0 ? std::strerror(code) : "short";
}

[[noreturn]] void say_bus(int /*signal*/) {
  constexpr std::string_view kSay = "SIGBUS\n";
  ::_exit(::write(STDOUT_FILENO, kSay.data(), kSay.size()) > 0 ? 3 : 1);
}

// Of a file of so many lines that a hammer left after `last` numbers: what is in this one.
std::uint64_t number_of(std::size_t line, std::size_t lines, std::uint64_t last) {
  const std::uint64_t first = line + 1;
  return last < first ? 0 : last - (last - first) % lines;
}

bool holds(const Line& line, std::uint64_t number) {
  return std::all_of(line.begin(), line.end(),
                     [number](std::uint64_t word) { return word == number; });
}

std::vector<Line> lines_of(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<Line> lines;
  for (Line line{}; file.read(reinterpret_cast<char*>(line.data()), kLine);) {
    lines.push_back(line);
  }
  if (lines.empty()) {
    fail(std::string(path) + ": cannot be read or is empty");
  }
  return lines;
}

}  // namespace

int mapped(std::span<char*> words) {
  const Mapping mapping(words[0], 0, 0, words.size() > 1 ? seed_of(words[1]) : 0);
  const std::span<std::byte> all = mapping.bytes();
  std::signal(SIGBUS, say_bus);
  std::size_t size = size_of(words[0]);
  for (std::string command; std::getline(std::cin, command);) {
    if (command == "size") {
      size = size_of(words[0]);
      std::cout << "size " << size << std::endl;
    } else if (command.starts_with("direct ")) {
      std::cout << direct(command, all) << std::endl;
    } else {
      std::cout << answer(command, all, all.first(std::min(size, all.size()))) << std::endl;
    }
  }
  return 0;
}

int hammer(std::span<char*> words) {
  const Mapping mapping(words[0]);
  const std::size_t lines = mapping.bytes().size() / kLine;
  for (std::uint64_t number = 1;; ++number) {
    Line line{};
    line.fill(number);
    store_line(&mapping.bytes()[(number - 1) % lines * kLine], line);
    fence();
    if (number % lines == 0) {
      std::printf("hammered %lu\n", static_cast<unsigned long>(number));
      std::fflush(stdout);
    }
  }
}

int hammered(std::span<char*> words) {
  const std::vector<Line> lines = lines_of(words[0]);
  std::uint64_t last = 0;
  for (const Line& line : lines) {
    last = std::max(last, *std::min_element(line.begin(), line.end()));
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    // The next one may be half stored.
    const std::uint64_t number = number_of(i, lines.size(), last);
    const bool is_next = last % lines.size() == i;
    const bool half = is_next && std::all_of(lines[i].begin(), lines[i].end(), [&](auto word) {
                        return word == number || word == last + 1;
                      });
    if (!half && !holds(lines[i], number)) {
      const auto* const other = std::find_if(lines[i].begin(), lines[i].end(),
                                             [number](auto word) { return word != number; });
      std::printf("line %zu holds %lu and not %lu, after %lu\n", i,
                  static_cast<unsigned long>(*other), static_cast<unsigned long>(number),
                  static_cast<unsigned long>(last));
      return 1;
    }
  }
  std::printf("%lu\n", static_cast<unsigned long>(last));
  return 0;
}

}  // namespace pmemfs::vm
