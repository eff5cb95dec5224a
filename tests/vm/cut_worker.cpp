// Works on a filesystem whose power is cut, and says on the console what is done; after the cut it
// looks whether all of that is there (vm/cuts). The machine outside keeps the numbers.
//
//   cut_worker DIRECTORY directory|extents SEED DONE,DONE,… [work]
//
// A number for each worker: how many operations had returned. Prints "@done WORKER NUMBER" for each
// that is found done and, with `work`, for each that follows, without an end. Exits with 1 when
// something is wrong.
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "vm/cuts/check.hpp"
#include "vm/cuts/perform.hpp"

namespace pmemfs::vm {
namespace {

struct Work {
  std::string directory;
  Medium medium = Medium::kDirectory;
  std::uint64_t seed = 0;
  std::vector<std::uint64_t> done;

  [[nodiscard]] Who who(std::size_t worker) const { return {seed, worker}; }
  [[nodiscard]] std::string place(std::size_t worker) const {
    return directory + "/worker" + std::to_string(worker);
  }
};

// Returns when the line has left the machine: so what a worker does next is the only thing of it
// that nobody outside knows of.
void say(const std::string& line) {
  if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    std::exit(1);
  }
  // tcdrain(3) would sleep for longer than most operations take; what the port has taken is
  // outside.
  for (int left = 0; ::ioctl(STDOUT_FILENO, TIOCOUTQ, &left) == 0 && left > 0;) {
    ::usleep(200);
  }
}

void say_done(std::size_t worker, std::uint64_t number) {
  say("@done " + std::to_string(worker) + " " + std::to_string(number) + "\n");
}

// Goes on after what is there.
bool verify(Work& work, std::size_t worker) {
  const Finding finding = check(work.place(worker), work.who(worker), work.done[worker]);
  const std::string about = "vm: worker " + std::to_string(worker) + " at " +
                            std::to_string(work.done[worker]) + ", " +
                            name_of(finding.under_way.action) + " " + finding.under_way.path + " " +
                            finding.under_way.other + ": ";
  switch (finding.verdict) {
    case Verdict::kBefore:
      say(about + "not done\n");
      return true;
    case Verdict::kBetween:
      say(about + "half done\n");
      return true;
    case Verdict::kAfter:
      say(about + "done\n");
      say_done(worker, ++work.done[worker]);
      return true;
    case Verdict::kWrong:
      say(about + "wrong\n" + finding.why);
      break;
  }
  return false;
}

[[noreturn]] void work_on(const Work& work, std::size_t worker) {
  const std::string place = work.place(worker);
  State state = state_after(work.who(worker), work.done[worker]);
  if (::mkdir(place.c_str(), 0755) != 0 && errno != EEXIST) {
    say("vm: " + place + " cannot be made\n");
    std::_Exit(1);
  }
  for (std::uint64_t sequence = work.done[worker] + 1;; ++sequence) {
    const Operation op = next_operation(work.who(worker), sequence, state);
    apply_to_model(op, state);
    try {
      perform(place, work.who(worker), op, state, work.medium);
    } catch (const std::exception& e) {
      say("vm: worker " + std::to_string(worker) + " at " + std::to_string(sequence) + ", " +
          op.path + " " + op.other + ": " + e.what() + "\n");
      std::_Exit(1);
    }
    say_done(worker, sequence);
  }
}

int run(Work work, bool go_on) {
  bool sound = true;
  for (std::size_t worker = 0; worker < work.done.size(); ++worker) {
    sound = verify(work, worker) && sound;
  }
  if (!sound || !go_on) {
    return sound ? 0 : 1;
  }
  for (std::size_t worker = 0; worker < work.done.size(); ++worker) {
    if (::fork() == 0) {
      work_on(work, worker);
    }
  }
  ::wait(nullptr);  // none ends but for an error
  return 1;
}

std::vector<std::uint64_t> numbers_of(const std::string& text) {
  std::vector<std::uint64_t> numbers;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    numbers.push_back(std::stoull(word));
  }
  return numbers;
}

}  // namespace
}  // namespace pmemfs::vm

int main(int argc, char** argv) {
  using namespace pmemfs::vm;
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 4 || (words[1] != "directory" && words[1] != "extents")) {
    std::puts("usage: cut_worker DIRECTORY directory|extents SEED DONE,DONE,... [work]");
    return 2;
  }
  try {
    ::umask(0);
    return run({words[0], words[1] == "extents" ? Medium::kExtents : Medium::kDirectory,
                std::stoull(words[2]), numbers_of(words[3])},
               words.size() > 4 && words[4] == "work");
  } catch (const std::exception& e) {
    std::printf("cut_worker: %s\n", e.what());
    return 1;
  }
}
