#include "tools/guest_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "tools/accounts.hpp"
#include "tools/failure.hpp"
#include "tools/mount_options.hpp"
#include "tools/size.hpp"

namespace pmemfs::tools {
namespace {

constexpr std::uint64_t kLeastWindow = 2ULL << 20U;
constexpr std::size_t kMostTag = 36;
constexpr std::uint64_t kMostQueues = 64;
constexpr std::uint64_t kMostThreads = 64;
constexpr std::uint64_t kIds = UINT32_MAX;  // the last number is nobody's

[[noreturn]] void malformed(std::string_view name, std::string_view value, std::string_view what) {
  fail(kExitUsage, "option '--virtiofs': {}={}: {}", name, value, what);
}

unsigned number_within(std::string_view name, std::string_view value, std::uint64_t most) {
  const auto number = parse_number(value);
  if (!number || *number < 1 || *number > most) {
    malformed(name, value, fmt::format("must be a number from 1 to {}", most));
  }
  return static_cast<unsigned>(*number);
}

void set_tag(GuestOptions& o, std::string_view name, std::string_view value) {
  if (value.empty() || value.size() > kMostTag) {
    malformed(name, value, "must have 1 to 36 bytes");
  }
  o.tag = value;
}

void set_window(GuestOptions& o, std::string_view name, std::string_view value) {
  const auto bytes = parse_size(value);
  if (!bytes || *bytes < kLeastWindow || !std::has_single_bit(*bytes)) {
    malformed(name, value, "must be a power of two of at least 2M, such as 8G");
  }
  o.window = *bytes;
}

void set_cache(GuestOptions& o, std::string_view name, std::string_view value) {
  if (value == "none") {
    o.cache = fuse::CachePolicy::kNone;
  } else if (value == "auto") {
    o.cache = fuse::CachePolicy::kAuto;
  } else if (value == "always") {
    o.cache = fuse::CachePolicy::kAlways;
  } else {
    malformed(name, value, "must be none, auto or always");
  }
}

void set_queues(GuestOptions& o, std::string_view name, std::string_view value) {
  o.queues = number_within(name, value, kMostQueues);
}

void set_threads(GuestOptions& o, std::string_view name, std::string_view value) {
  o.threads = number_within(name, value, kMostThreads);
}

bool overlap(std::uint64_t a, std::uint64_t b, std::uint64_t a_count, std::uint64_t b_count) {
  return a < b + b_count && b < a + a_count;
}

// GUEST:HOST:COUNT
void add_range(fuse::IdMap& map, std::string_view name, std::string_view value) {
  std::array<std::uint64_t, 3> numbers{};
  std::size_t start = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const bool last = i + 1 == numbers.size();
    const std::size_t end = last ? value.size() : value.find(':', start);
    const auto number = end == std::string_view::npos
                            ? std::nullopt
                            : parse_number(value.substr(start, end - start));
    if (!number || *number > kIds) {
      malformed(name, value, "must be GUEST:HOST:COUNT, such as 0:100000:65536");
    }
    numbers[i] = *number;
    start = end + 1;
  }
  const auto [guest, host, count] = numbers;
  if (count == 0 || guest + count > kIds || host + count > kIds) {
    malformed(name, value, "ids go from 0 to 4294967294, and a range holds one at least");
  }
  for (const fuse::IdMap::Range& range : map.ranges) {
    if (overlap(range.guest, guest, range.count, count) ||
        overlap(range.host, host, range.count, count)) {
      malformed(name, value, "overlaps a range before it");
    }
  }
  map.ranges.push_back({static_cast<std::uint32_t>(guest), static_cast<std::uint32_t>(host),
                        static_cast<std::uint32_t>(count)});
}

void map_uids(GuestOptions& o, std::string_view name, std::string_view value) {
  add_range(o.uids, name, value);
}

void map_gids(GuestOptions& o, std::string_view name, std::string_view value) {
  add_range(o.gids, name, value);
}

void squash_uids(GuestOptions& o, std::string_view name, std::string_view value) {
  o.uids.squash = find_user(value);
  if (!o.uids.squash) {
    malformed(name, value, "there is no such user");
  }
}

void squash_gids(GuestOptions& o, std::string_view name, std::string_view value) {
  o.gids.squash = find_group(value);
  if (!o.gids.squash) {
    malformed(name, value, "there is no such group");
  }
}

struct Word {
  std::string_view name;
  std::string_view value;  // as --help shows it; empty: none is wanted
  std::string_view text;
  void (*set)(GuestOptions&, std::string_view name, std::string_view value);
};

void set_read_only(GuestOptions& o, std::string_view /*name*/, std::string_view /*value*/) {
  o.read_only = true;
}

void set_memory_slots(GuestOptions& o, std::string_view /*name*/, std::string_view /*value*/) {
  o.memory_slots = true;
}

constexpr std::array<Word, 11> kWords = {{
    {"tag", "NAME", "what the guest mounts", set_tag},
    {"window", "SIZE", "of the memory in which the guest sees files; without it nothing is mapped",
     set_window},
    {"cache", "none|auto|always", "what the guest may keep of names, attributes and data",
     set_cache},
    {"ro", "", "the guest changes nothing", set_read_only},
    {"translate-uid", "GUEST:HOST:COUNT", "users of the guest as others here; may be repeated",
     map_uids},
    {"translate-gid", "GUEST:HOST:COUNT", "the same of groups", map_gids},
    {"squash-uid", "USER", "every user of the guest is this one here", squash_uids},
    {"squash-gid", "GROUP", "the same of groups", squash_gids},
    {"queues", "NUMBER", "of request queues; the machine has one more", set_queues},
    {"threads", "NUMBER", "that serve a queue, at most", set_threads},
    {"memory-slots", "", "take memory of the machine piece by piece; not for QEMU 11.1",
     set_memory_slots},
}};

void set_word(GuestOptions& options, std::string_view word) {
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const auto* const known = std::find_if(kWords.begin(), kWords.end(),
                                         [name](const Word& one) { return one.name == name; });
  if (known == kWords.end()) {
    fail(kExitUsage, "option '--virtiofs': unknown word '{}'; see pmemfs --help", name);
  }
  const bool has_value = equals != std::string_view::npos;
  if (has_value == known->value.empty()) {
    fail(kExitUsage, "option '--virtiofs': '{}' {}", name,
         has_value ? "takes no value" : fmt::format("wants a value: {}={}", name, known->value));
  }
  known->set(options, name, has_value ? word.substr(equals + 1) : std::string_view());
}

GuestOptions parse_one(const std::string& text) {
  GuestOptions options;
  const std::vector<std::string> words = split_options(text);
  if (words.empty() || words.front().empty() || words.front().find('=') != std::string::npos) {
    fail(kExitUsage,
         "option '--virtiofs={}': begins with the path of a socket, such as "
         "/run/vm1.sock,tag=pmem,window=8G",
         text);
  }
  options.socket = words.front();
  for (const std::string& word : std::span(words).subspan(1)) {
    set_word(options, word);
  }
  if (options.tag.empty()) {
    fail(kExitUsage,
         "option '--virtiofs={}': a tag is missing; add tag=NAME, which the guest mounts", text);
  }
  return options;
}

}  // namespace

std::vector<GuestOptions> parse_guest_options(std::span<const std::string> texts) {
  std::vector<GuestOptions> all;
  for (const std::string& text : texts) {
    GuestOptions one = parse_one(text);
    if (std::any_of(all.begin(), all.end(),
                    [&](const GuestOptions& other) { return other.socket == one.socket; })) {
      fail(kExitUsage,
           "option '--virtiofs={}': this socket was named before; each machine has its "
           "own",
           text);
    }
    all.push_back(std::move(one));
  }
  return all;
}

std::string describe_guest_options() {
  std::string text = "Words of --virtiofs=SOCKET,… :\n";
  for (const Word& word : kWords) {
    const std::string shown =
        word.value.empty() ? std::string(word.name) : fmt::format("{}={}", word.name, word.value);
    text += fmt::format("  {:<32} {}\n", shown, word.text);
  }
  return text;
}

}  // namespace pmemfs::tools
