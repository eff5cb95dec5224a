#include "support/mount_fixture.hpp"

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "support/mount_guardian.hpp"

namespace pmemfs::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(60);
constexpr long kFuseMagic = 0x65735546;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

int status_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Asks again and again; false when `done` does not hold within the time.
bool wait_until(const std::function<bool()>& done) {
  const auto deadline = Clock::now() + kPatience;
  while (!done()) {
    if (Clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

[[noreturn]] void exec(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
  ::execvp(arguments[0], arguments.data());
  std::fprintf(stderr, "cannot run %s\n", arguments[0]);
  ::_exit(127);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

bool is_mounted(const std::string& root) {
  struct statfs fs {};
  return ::statfs(root.c_str(), &fs) == 0 && fs.f_type == kFuseMagic;
}

Counters read_counters(const std::string& root) {
  const ProgramResult result =
      run_program({program("pmemfsctl"), "counters", "--json", root}, false);
  if (result.status != 0) {
    throw std::runtime_error("pmemfsctl counters failed: " + result.output);
  }
  return nlohmann::json::parse(result.output).at("requests").get<Counters>();
}

bool is_guest() {
  return environment("PMEMFS_TEST_KIND") == "guest";
}

// What differs from the one reading to the other.
Counters difference(const Counters& before, const Counters& after) {
  Counters changed;
  for (const auto& [name, count] : after) {
    const auto old = before.find(name);
    const std::uint64_t base = old == before.end() ? 0 : old->second;
    if (count > base) {
      changed[name] = count - base;
    }
  }
  return changed;
}

// RELEASE is sent after close(2) returned.
void settle() {
  std::this_thread::sleep_for(std::chrono::milliseconds(25));
}

std::array<std::unique_ptr<Mount>, 3>& shared_mounts() {
  static_cast<void>(Guardian::instance());  // must outlive them
  static std::array<std::unique_ptr<Mount>, 3> mounts;
  return mounts;
}

}  // namespace

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::kPlain:
      return "plain directory";
    case Kind::kDirectory:
      return "directory region";
    case Kind::kGuest:
      return "virtiofs";
    case Kind::kFile:
      return environment("PMEMFS_TEST_DEVDAX").empty() ? "file region" : "devdax region";
  }
  return "?";
}

ProgramResult run_program(const std::vector<std::string>& words, bool with_stderr) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) {
    throw std::runtime_error("pipe failed");
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], 1);
    if (with_stderr) {
      ::dup2(ends[1], 2);
    }
    exec(words);
  }
  ::close(ends[1]);
  const UniqueFd pipe(ends[0]);
  ProgramResult result;
  std::array<char, 4096> part{};
  for (ssize_t n = 0; (n = ::read(pipe.get(), part.data(), part.size())) > 0;) {
    result.output.append(part.data(), static_cast<std::size_t>(n));
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  result.status = status_of(status);
  return result;
}

std::string program(const std::string& name) {
  const std::string bin = environment("PMEMFS_BIN");
  if (!bin.empty()) {
    return bin + "/" + name;
  }
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / name;
}

const std::string& scratch() {
  return Guardian::instance().scratch();
}
void note_progress() {
  Guardian::instance().progress();
}

void need_mounting() {
  if (is_guest()) {
    PMEMFS_SKIP("needs a mount of its own");
  }
  if (::geteuid() != 0) {
    PMEMFS_SKIP("needs root, to mount");
  }
  if (!UniqueFd(sys::open("/dev/fuse", O_RDWR))) {
    PMEMFS_SKIP("needs /dev/fuse");
  }
}

Mount::Mount(MountSpec spec) : spec_(std::move(spec)) {
  need_mounting();
  static int count = 0;
  home_ = scratch() + "/" + std::to_string(count++);
  std::filesystem::create_directories(home_);
  if (!spec_.host_size.empty() && ::mount("none", home_.c_str(), "tmpfs", 0,
                                          ("mode=755,size=" + spec_.host_size).c_str()) < 0) {
    throw std::runtime_error("cannot mount a tmpfs");
  }
  root_ = home_ + "/mnt";
  const std::string& below = spec_.region_below.empty() ? home_ : spec_.region_below;
  region_ = device().empty() ? below + "/region" : device();
  if (!device().empty()) {
    drop_shared_mounts();  // there is one device
  }
  std::filesystem::create_directories(root_);
  make_region();
  mount();
}

Mount::~Mount() {
  if (daemon_ > 0) {
    ::umount2(root_.c_str(), MNT_DETACH);
    ::kill(daemon_, SIGTERM);
    int status = 0;
    if (!wait_until([&] { return ::waitpid(daemon_, &status, WNOHANG) != 0; })) {
      ::kill(daemon_, SIGKILL);
      ::waitpid(daemon_, &status, 0);
    }
    Guardian::instance().daemon_ended(daemon_);
  }
  if (!spec_.host_size.empty()) {
    ::umount2(home_.c_str(), MNT_DETACH);
  }
  std::error_code ignored;
  std::filesystem::remove_all(home_, ignored);
}

std::string Mount::device() const {
  return spec_.kind == Kind::kFile ? environment("PMEMFS_TEST_DEVDAX") : std::string();
}

void Mount::make_region() const {
  std::vector<std::string> words{program("mkfs.pmemfs"),
                                 device().empty() ? "--emulate" : "--force"};
  if (spec_.kind == Kind::kFile) {
    words.push_back("--size=" + spec_.region_size);
  }
  words.push_back(region_);
  const ProgramResult result = run_program(words);
  if (result.status != 0) {
    throw std::runtime_error("mkfs.pmemfs failed: " + result.output);
  }
}

bool Mount::alive() const {
  return daemon_ > 0 && is_mounted(root_);
}

std::string Mount::socket(std::size_t guest) const {
  return home_ + "/vm" + std::to_string(guest) + ".sock";
}

void Mount::mount() {
  mount(spec_.options);
}

void Mount::mount(const std::string& options) {
  note_progress();
  start_daemon(options);
  wait_until_served();
}

void Mount::start_daemon(const std::string& options) {
  const std::string log_file = home_ + "/log";
  log_before_ = log().size();
  std::vector<std::string> words{program("pmemfs"), "-f", region_, "-o", options};
  if (spec_.mounted) {
    words.push_back(root_);
  }
  for (std::size_t i = 0; i < spec_.guests.size(); ++i) {
    words.push_back("--virtiofs=" + socket(i) + "," + spec_.guests[i]);
  }
  daemon_ = ::fork();
  if (daemon_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    const int out = sys::open(log_file, O_CREAT | O_WRONLY | O_APPEND);
    ::dup2(out, 1);
    ::dup2(out, 2);
    exec(words);
  }
  Guardian::instance().daemon_started(daemon_);
}

// The last of them.
bool Mount::serves_guests() const {
  return log().find("is served at " + socket(spec_.guests.size() - 1), log_before_) !=
         std::string::npos;
}

void Mount::wait_until_served() {
  int status = 0;
  bool ended = false;
  const bool in_time = wait_until([&] {
    ended = ::waitpid(daemon_, &status, WNOHANG) == daemon_;
    return ended || (spec_.mounted ? is_mounted(root_) : serves_guests());
  });
  if (ended) {
    Guardian::instance().daemon_ended(daemon_);
    daemon_ = -1;
    throw std::runtime_error("pmemfs ended with " + std::to_string(status_of(status)) + ": " +
                             log());
  }
  if (!in_time) {
    throw std::runtime_error("pmemfs did not mount in time: " + log());
  }
}

int Mount::wait_for_end() {
  int status = 0;
  if (!wait_until([&] { return ::waitpid(daemon_, &status, WNOHANG) != 0; })) {
    throw std::runtime_error("pmemfs goes on after umount: " + log());
  }
  Guardian::instance().daemon_ended(daemon_);
  daemon_ = -1;
  return status_of(status);
}

void Mount::unmount() {
  note_progress();
  if (!wait_until([&] { return ::umount2(root_.c_str(), 0) == 0 || errno != EBUSY; }) ||
      is_mounted(root_)) {
    throw std::runtime_error("cannot unmount");
  }
  wait_for_orderly_end();
}

void Mount::wait_for_orderly_end() {
  const int status = wait_for_end();
  if (status != 0) {
    throw std::runtime_error("pmemfs ended with " + std::to_string(status) + ": " + log());
  }
}

void Mount::end_daemon() {
  ::kill(daemon_, SIGTERM);
  wait_for_orderly_end();
}

void Mount::remount() {
  remount(spec_.options);
}

void Mount::remount(const std::string& options) {
  unmount();
  mount(options);
}

void Mount::kill_daemon() {
  note_progress();
  ::kill(daemon_, SIGKILL);
  static_cast<void>(wait_for_end());
}

void Mount::require_sound() const {
  const ProgramResult found = run_program({program("fsck.pmemfs"), region_});
  if (found.status != 0) {
    throw std::runtime_error("fsck.pmemfs finds: " + found.output);
  }
}

void Mount::detach() {
  ::umount2(root_.c_str(), MNT_DETACH);
}

void Mount::kill_and_remount() {
  kill_daemon();
  detach();
  mount();
}

std::string Mount::log() const {
  return text_of(home_ + "/log");
}

RequestCount::RequestCount(const Mount& mount) : root_(mount.root()) {
  static_cast<void>(read_counters(root_));  // the first one may find colder caches
  settle();
  start_ = read_counters(root_);
  settle();
  // so_far() finds the rest of the reading above, this one whole, and the first part of its own:
  // two readings' cost.
  for (const auto& [name, cost] : difference(start_, read_counters(root_))) {
    start_[name] += 2 * cost;
  }
  settle();
}

Counters RequestCount::so_far() const {
  settle();
  return difference(start_, read_counters(root_));
}

Mount& shared_mount(Kind kind) {
  need_mounting();
  std::unique_ptr<Mount>& mount = shared_mounts().at(static_cast<std::size_t>(kind));
  if (!mount || !mount->alive()) {
    mount.reset();
    const std::string size = environment("PMEMFS_TEST_REGION_SIZE");
    mount = std::make_unique<Mount>(MountSpec{kind, "allow_other", size.empty() ? "256M" : size});
  }
  return *mount;
}

void drop_shared_mounts() {
  for (auto& mount : shared_mounts()) {
    mount.reset();
  }
}

Place::Place(Kind kind) : kind_(kind) {
  static int count = 0;
  const std::string base = kind == Kind::kPlain || kind == Kind::kGuest
                               ? environment("PMEMFS_TEST_DIR")
                               : shared_mount(kind).root();
  path_ = base + "/t" + std::to_string(::getpid()) + "." + std::to_string(count++);
  NEED_OK(sys::mkdir(path_));
  if (kind != Kind::kPlain) {
    note_progress();
  }
}

Place::~Place() {
  static_cast<void>(remove());
}

long Place::host_magic() const {
  struct statfs fs {};
  const bool device = kind_ == Kind::kFile && !environment("PMEMFS_TEST_DEVDAX").empty();
  return device || ::statfs(scratch().c_str(), &fs) != 0 ? 0 : static_cast<long>(fs.f_type);
}

bool Place::is_plain(long magic) const {
  struct statfs fs {};
  return kind_ == Kind::kPlain && ::statfs(path_.c_str(), &fs) == 0 && fs.f_type == magic;
}

bool Place::remove() {
  note_progress();
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  UNSCOPED_INFO("removing " << path_ << ": " << error.message());
  return !error && !exists(path_);
}

std::vector<Kind> pmemfs_kinds() {
  const std::string wanted = environment("PMEMFS_TEST_KIND");
  if (is_guest()) {
    return {Kind::kGuest};
  }
  if (!environment("PMEMFS_TEST_DIR").empty()) {
    return {};
  }
  std::vector<Kind> kinds;
  if (wanted != "file") {
    kinds.push_back(Kind::kDirectory);
  }
  if (wanted != "directory") {
    kinds.push_back(Kind::kFile);
  }
  return kinds;
}

std::vector<Kind> posix_kinds() {
  const bool plain = !is_guest() && !environment("PMEMFS_TEST_DIR").empty();
  return plain ? std::vector{Kind::kPlain} : pmemfs_kinds();
}

std::vector<Kind> only(Kind kind) {
  std::vector<Kind> kinds = pmemfs_kinds();
  std::erase_if(
      kinds, [&](Kind k) { return k != kind && !(k == Kind::kGuest && kind == Kind::kDirectory); });
  return kinds;
}

void on_each(const std::vector<Kind>& kinds, const std::function<void(Kind)>& body) {
  if (kinds.empty()) {
    PMEMFS_SKIP("needs a pmemfs mount of a kind that this run leaves out");
  }
  for (const Kind kind : kinds) {
    DYNAMIC_SECTION("on a " << name_of(kind)) {
      body(kind);
    }
  }
}

void run_on(const std::vector<Kind>& kinds, void (*body)(const Place&)) {
  on_each(kinds, [&](Kind kind) {
    Place place(kind);
    body(place);
    CHECK(place.remove());
  });
}

void need_kind(Kind kind) {
  if (only(kind).empty()) {
    PMEMFS_SKIP(std::string("needs a mount of a ") + name_of(kind));
  }
}

}  // namespace pmemfs::test
