#include "tools/mount_options.hpp"

#include <fmt/format.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>

#include "tools/accounts.hpp"
#include "tools/failure.hpp"
#include "tools/size.hpp"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

namespace pmemfs::tools {
namespace {

constexpr std::uint64_t kMinIndexMemory = 1U << 20U;
constexpr unsigned kMaxThreads = 256;
constexpr unsigned kMaxSpin = 10'000;
constexpr unsigned kMaxIdleSeconds = 86400;
constexpr unsigned kAtimeFlags = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;

enum class Kind : std::uint8_t {
  kSet,      // sets `flags` and clears `also`
  kClear,    // clears `flags`
  kIgnored,  // for mount(8), systemd and people
  kKernel,   // passed to the kernel as it is
  kWord,     // ours or FUSE's, without a value
  kValue,    // ours or FUSE's, with a value
};

using Apply = void (*)(MountOptions& options, std::string_view name, std::string_view value);

struct Entry {
  std::string_view name;
  Kind kind = Kind::kIgnored;
  unsigned long flags = 0;
  unsigned long also = 0;
  Apply apply = nullptr;
  std::string_view value_name;  // for --help
  std::string_view help;        // set: one of our own options
};

[[noreturn]] void malformed(std::string_view name, std::string_view value,
                            std::string_view wanted) {
  fail(kExitUsage, "option '{}={}': {}", name, value, wanted);
}

std::uint64_t number_within(std::string_view name, std::string_view value, std::uint64_t low,
                            std::uint64_t high) {
  const auto number = parse_number(value);
  if (!number || *number < low || *number > high) {
    malformed(name, value, fmt::format("must be a number from {} to {}", low, high));
  }
  return *number;
}

template <typename Lookup>
void add_ids(std::vector<std::uint32_t>& ids, std::string_view name, std::string_view list,
             Lookup lookup, std::string_view what) {
  for (std::size_t start = 0; start <= list.size();) {
    const std::size_t end = std::min(list.find(':', start), list.size());
    const std::string_view word = list.substr(start, end - start);
    const std::optional<std::uint32_t> id = lookup(word);
    if (!id) {
      malformed(name, list, fmt::format("there is no {} '{}'", what, word));
    }
    ids.push_back(*id);
    start = end + 1;
  }
}

void set_durable_uid(MountOptions& o, std::string_view name, std::string_view value) {
  add_ids(o.durable_uids, name, value, find_user, "user");
}

void set_durable_gid(MountOptions& o, std::string_view name, std::string_view value) {
  add_ids(o.durable_gids, name, value, find_group, "group");
}

void set_durable_max(MountOptions& o, std::string_view name, std::string_view value) {
  DurableMax max;
  if (value.ends_with('%')) {
    const auto percent = parse_number(value.substr(0, value.size() - 1));
    if (!percent || *percent > 100) {
      malformed(name, value, "must be a size such as 10G or a percentage such as 50%");
    }
    max.percent = static_cast<unsigned>(*percent);
  } else {
    const auto bytes = parse_size(value);
    if (!bytes) {
      malformed(name, value, "must be a size such as 10G or a percentage such as 50%");
    }
    max.bytes = *bytes;
  }
  o.durable_max = max;
}

void set_durable_io(MountOptions& o, std::string_view name, std::string_view value) {
  if (value != "fast" && value != "safe") {
    malformed(name, value, "must be fast or safe");
  }
  o.durable_fast_io = value == "fast";
}

void set_threads(MountOptions& o, std::string_view name, std::string_view value) {
  o.threads = static_cast<unsigned>(number_within(name, value, 1, kMaxThreads));
}

void set_index_memory(MountOptions& o, std::string_view name, std::string_view value) {
  const auto bytes = parse_size(value);
  if (!bytes || *bytes < kMinIndexMemory) {
    malformed(name, value, "must be a size of at least 1M");
  }
  o.index_memory = *bytes;
}

void set_idle_backing(MountOptions& o, std::string_view name, std::string_view value) {
  o.idle_backing = static_cast<unsigned>(number_within(name, value, 0, kMaxIdleSeconds));
}

void check_subtype(MountOptions& /*o*/, std::string_view name, std::string_view value) {
  if (value != "pmemfs") {
    malformed(name, value, "must be pmemfs");
  }
}

void no_effect(MountOptions& /*o*/, std::string_view /*name*/, std::string_view /*value*/) {}

void set_remount(MountOptions& o, std::string_view /*name*/, std::string_view /*value*/) {
  o.remount = true;
}

void set_durable_all(MountOptions& o, std::string_view /*name*/, std::string_view /*value*/) {
  o.durable_all = true;
}

void set_no_passthrough(MountOptions& o, std::string_view /*name*/, std::string_view /*value*/) {
  o.passthrough = false;
}

void set_spin(MountOptions& o, std::string_view name, std::string_view value) {
  o.spin = static_cast<unsigned>(number_within(name, value, 0, kMaxSpin));
}

constexpr Entry on(std::string_view name, unsigned long flag, unsigned long also = 0) {
  return {name, Kind::kSet, flag, also, nullptr, {}, {}};
}

constexpr Entry off(std::string_view name, unsigned long flag) {
  return {name, Kind::kClear, flag, 0, nullptr, {}, {}};
}

constexpr Entry ignored(std::string_view name) {
  return {name, Kind::kIgnored, 0, 0, nullptr, {}, {}};
}

constexpr Entry kernel(std::string_view name) {
  return {name, Kind::kKernel, 0, 0, nullptr, {}, {}};
}

constexpr Entry word(std::string_view name, Apply apply, std::string_view help = {}) {
  return {name, Kind::kWord, 0, 0, apply, {}, help};
}

constexpr Entry value(std::string_view name, Apply apply, std::string_view value_name = {},
                      std::string_view help = {}) {
  return {name, Kind::kValue, 0, 0, apply, value_name, help};
}

// Everything that is understood. A name that ends in '*' stands for all that begin with it.
constexpr auto kTable = std::to_array<Entry>({
    on("ro", MS_RDONLY),
    off("rw", MS_RDONLY),
    on("nosuid", MS_NOSUID),
    off("suid", MS_NOSUID),
    on("nodev", MS_NODEV),
    off("dev", MS_NODEV),
    on("noexec", MS_NOEXEC),
    off("exec", MS_NOEXEC),
    on("sync", MS_SYNCHRONOUS),
    off("async", MS_SYNCHRONOUS),
    on("dirsync", MS_DIRSYNC),
    on("noatime", MS_NOATIME, kAtimeFlags),
    off("atime", MS_NOATIME),
    on("relatime", MS_RELATIME, kAtimeFlags),
    off("norelatime", MS_RELATIME),
    on("strictatime", MS_STRICTATIME, kAtimeFlags),
    off("nostrictatime", MS_STRICTATIME),
    on("nodiratime", MS_NODIRATIME),
    off("diratime", MS_NODIRATIME),
    on("lazytime", MS_LAZYTIME),
    off("nolazytime", MS_LAZYTIME),
    on("nosymfollow", MS_NOSYMFOLLOW),
    off("symfollow", MS_NOSYMFOLLOW),
    on("silent", MS_SILENT),
    off("loud", MS_SILENT),
    ignored("mand"),
    ignored("nomand"),
    ignored("iversion"),
    ignored("noiversion"),
    ignored("defaults"),
    ignored("auto"),
    ignored("noauto"),
    ignored("user=*"),
    ignored("user"),
    ignored("nouser"),
    ignored("users"),
    ignored("nousers"),
    ignored("owner"),
    ignored("noowner"),
    ignored("group"),
    ignored("nogroup"),
    ignored("nofail"),
    ignored("_netdev"),
    ignored("comment=*"),
    ignored("x-*"),
    ignored("X-*"),
    ignored("helper=*"),
    ignored("uhelper=*"),
    // What the kernel shows of a mounted one, and mount(8) repeats for a remount.
    ignored("user_id=*"),
    ignored("group_id=*"),
    ignored("max_read=*"),
    ignored("blksize=*"),
    ignored("seclabel"),
    kernel("context=*"),
    kernel("fscontext=*"),
    kernel("defcontext=*"),
    kernel("rootcontext=*"),
    word("remount", set_remount),
    word("sloppy", no_effect),
    word("nonempty", no_effect),
    word("allow_other", no_effect),
    word("default_permissions", no_effect),
    value("subtype", check_subtype),
    value("durable_uid", set_durable_uid, "USER[:USER...]",
          "users who may set and clear durable, beside root"),
    value("durable_gid", set_durable_gid, "GROUP[:GROUP...]", "groups whose members may"),
    word("durable_all", set_durable_all, "everybody may, on files they may write"),
    value("durable_max", set_durable_max, "SIZE|PERCENT%", "how much may be durable (no bound)"),
    value("durable_io", set_durable_io, "safe|fast", "path of write(2) to durable files (safe)"),
    word("no_passthrough", set_no_passthrough,
         "all data goes through the daemon; no direct mappings"),
    value("threads", set_threads, "N", "most threads that serve requests (64)"),
    value("index_memory", set_index_memory, "SIZE", "memory for directory indexes (64M)"),
    value("idle_backing", set_idle_backing, "SECONDS",
          "how long a closed file stays registered (10)"),
    value("spin", set_spin, "MICROSECONDS", "longest busy wait for the next request (100)"),
});

bool matches(const Entry& entry, std::string_view name, std::string_view token) {
  if (entry.name.ends_with('*')) {
    return token.starts_with(entry.name.substr(0, entry.name.size() - 1));
  }
  return entry.name == name;
}

const Entry* find_entry(std::string_view token) {
  const std::string_view name = token.substr(0, token.find('='));
  const auto* const found = std::find_if(kTable.begin(), kTable.end(), [&](const Entry& entry) {
    return matches(entry, name, token);
  });
  return found == kTable.end() ? nullptr : found;
}

void check_shape(const Entry& entry, std::string_view token) {
  const bool has_value = token.find('=') != std::string_view::npos;
  if (entry.kind == Kind::kValue && !has_value) {
    fail(kExitUsage, "option '{}' needs a value: {}={}", token, token,
         entry.value_name.empty() ? "VALUE" : entry.value_name);
  }
  if (entry.kind != Kind::kValue && has_value && !entry.name.ends_with('*')) {
    fail(kExitUsage, "option '{}': '{}' takes no value", token, entry.name);
  }
}

void apply_token(MountOptions& options, const std::string& token) {
  const Entry* const entry = find_entry(token);
  if (entry == nullptr) {
    if (!options.sloppy) {
      fail(kExitUsage, "unknown mount option '{}'; see pmemfs --help for those there are", token);
    }
    options.unknown.push_back(token);
    return;
  }
  check_shape(*entry, token);
  switch (entry->kind) {
    case Kind::kSet:
      options.kernel.push_back(token);
      options.set_flags = (options.set_flags & ~entry->also) | entry->flags;
      options.clear_flags = (options.clear_flags & ~entry->flags) | (entry->also & ~entry->flags);
      break;
    case Kind::kClear:
      options.kernel.push_back(token);
      options.set_flags &= ~entry->flags;
      options.clear_flags |= entry->flags;
      break;
    case Kind::kKernel:
      options.kernel.push_back(token);
      break;
    case Kind::kIgnored:
      break;
    case Kind::kWord:
    case Kind::kValue: {
      const std::size_t equals = std::min(token.find('='), token.size() - 1);
      entry->apply(options, entry->name, std::string_view(token).substr(equals + 1));
      if (!entry->help.empty()) {
        options.own.push_back(token);
      }
      break;
    }
  }
}

}  // namespace

std::uint64_t DurableMax::of(std::uint64_t capacity) const {
  return percent ? capacity / 100 * *percent : bytes;
}

bool MountOptions::read_only() const {
  return (flags() & MS_RDONLY) != 0;
}

unsigned long MountOptions::flags() const {
  return set_flags & ~clear_flags;
}

std::vector<std::string> split_options(std::string_view text) {
  std::vector<std::string> options;
  std::string current;
  bool quoted = false;
  const auto finish = [&] {
    if (!current.empty()) {
      options.push_back(std::exchange(current, {}));
    }
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && i + 1 < text.size() && (text[i + 1] == ',' || text[i + 1] == '\\')) {
      current += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      finish();
    } else {
      current += c;
    }
  }
  finish();
  return options;
}

std::string join_options(std::span<const std::string> options) {
  std::string text;
  for (const std::string& option : options) {
    if (!text.empty()) {
      text += ',';
    }
    for (const char c : option) {
      if (c == ',' || c == '\\') {
        text += '\\';
      }
      text += c;
    }
  }
  return text;
}

MountOptions parse_mount_options(std::span<const std::string> lists, bool sloppy) {
  MountOptions options;
  std::vector<std::string> tokens;
  for (const std::string& list : lists) {
    for (std::string& token : split_options(list)) {
      sloppy = sloppy || token == "sloppy";
      tokens.push_back(std::move(token));
    }
  }
  options.sloppy = sloppy;
  for (const std::string& token : tokens) {
    apply_token(options, token);
  }
  return options;
}

std::vector<std::string> options_for_daemon(std::span<const std::string> lists) {
  std::vector<std::string> kept;
  for (const std::string& list : lists) {
    for (std::string& token : split_options(list)) {
      const Entry* const entry = find_entry(token);
      if (entry != nullptr && entry->kind != Kind::kIgnored) {
        kept.push_back(std::move(token));
      }
    }
  }
  return kept;
}

std::string describe_own_options() {
  std::string text = "Mount options (-o), beside those of mount(8):\n";
  for (const Entry& entry : kTable) {
    if (!entry.help.empty()) {
      const std::string shape = entry.value_name.empty()
                                    ? std::string(entry.name)
                                    : fmt::format("{}={}", entry.name, entry.value_name);
      text += fmt::format("  {:<30} {}\n", shape, entry.help);
    }
  }
  return text;
}

std::vector<std::string> own_option_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kTable) {
    if (!entry.help.empty()) {
      names.emplace_back(entry.name);
    }
  }
  return names;
}

}  // namespace pmemfs::tools
