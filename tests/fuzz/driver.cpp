// Runs a fuzz target where there is no libFuzzer: all inputs of the corpus, then some that are made
// of them. The same seed gives the same runs.
//
//   TARGET [-runs=N] [-seed=N] [-must-die=1] [FILE or FOLDER]…
//
// The input of the run under way is in the file TARGET.input of the working directory: after a
// crash or a hang that is what to give it again. -must-die=1 succeeds when a run dies: for
// controls.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::size_t kLongest = 2000;
constexpr unsigned kHang = 200;  // seconds for one run, which takes milliseconds

struct Arguments {
  std::uint64_t runs = 0;
  std::uint64_t seed = 1;
  bool must_die = false;
  std::vector<std::filesystem::path> files;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string_view text = argv[i];
    const auto value = [&] {
      return std::strtoull(argv[i] + text.find('=') + 1, nullptr, 10);
    };
    if (text.starts_with("-runs=")) {
      a.runs = value();
    } else if (text.starts_with("-seed=")) {
      a.seed = value();
    } else if (text.starts_with("-must-die=")) {
      a.must_die = value() != 0;
    } else if (std::filesystem::is_directory(text)) {
      for (const auto& entry : std::filesystem::directory_iterator(text)) {
        a.files.push_back(entry.path());
      }
    } else {
      a.files.emplace_back(text);
    }
  }
  std::sort(a.files.begin(), a.files.end());
  return a;
}

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, const std::vector<Bytes>& corpus) : rng_(seed), corpus_(corpus) {}

  Bytes next() {
    Bytes b = corpus_.empty() ? Bytes() : corpus_[below(corpus_.size())];
    for (std::uint64_t n = 1 + below(6); n > 0; --n) {
      change(b);
    }
    b.resize(std::min(b.size(), kLongest));
    return b;
  }

 private:
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : rng_() % n; }
  [[nodiscard]] static Bytes::iterator at(Bytes& b, std::uint64_t i) {
    return b.begin() + static_cast<std::ptrdiff_t>(i);
  }

  void change(Bytes& b) {
    const std::uint64_t i = below(b.size() + 1);
    switch (b.empty() ? 0 : below(5)) {
      case 0: {  // something new
        Bytes more(1 + below(below(3) == 0 ? 300 : 30));
        std::generate(more.begin(), more.end(), [&] { return static_cast<std::uint8_t>(rng_()); });
        b.insert(at(b, i), more.begin(), more.end());
        break;
      }
      case 1:
        b[below(b.size())] = static_cast<std::uint8_t>(rng_());
        break;
      case 2:
        b[below(b.size())] ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 3:
        b.erase(at(b, i), at(b, i + below(std::min<std::uint64_t>(b.size() - i, 20))));
        break;
      default: {  // the end of another
        const Bytes other = corpus_.empty() ? b : corpus_[below(corpus_.size())];
        const std::uint64_t from = below(other.size());
        b.resize(i);
        b.insert(b.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
      }
    }
  }

  std::mt19937_64 rng_;
  const std::vector<Bytes>& corpus_;
};

// Keeps what runs now where it can be found afterwards.
class Runner {
 public:
  explicit Runner(const std::string& name)
      : name_(name), fd_(::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {}
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner() {
    ::alarm(0);
    ::close(fd_);
    std::filesystem::remove(name_);
  }

  void run(const Bytes& input) {
    if (::ftruncate(fd_, 0) != 0 ||
        ::pwrite(fd_, input.data(), input.size(), 0) != static_cast<ssize_t>(input.size())) {
      std::perror(name_.c_str());
      std::exit(2);
    }
    ::alarm(kHang);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }

 private:
  std::string name_;
  int fd_;
};

int run_all(const Arguments& a, const std::string& name) {
  std::vector<Bytes> corpus;
  for (const auto& file : a.files) {
    corpus.push_back(read_file(file));
  }
  Runner runner(name);
  for (const Bytes& input : corpus) {
    runner.run(input);
  }
  Mutator mutator(a.seed, corpus);
  for (std::uint64_t i = 0; i < a.runs; ++i) {
    runner.run(mutator.next());
  }
  std::printf("%zu inputs of the corpus, %llu others\n", corpus.size(),
              static_cast<unsigned long long>(a.runs));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments a = parse(argc, argv);
  const std::string name = std::filesystem::path(argv[0]).filename().string() + ".input";
  if (!a.must_die) {
    return run_all(a, name);
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(run_all(a, name));
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) {
    std::perror("the control");
    return 2;
  }
  std::filesystem::remove(name);
  std::printf(status != 0 ? "it died, as it must\n" : "it did not die: nothing is found\n");
  return status != 0 ? 0 : 1;
}
