// Answers as the kernel would get them: libfuse with our own end of the device.
#include "fuse/reply.hpp"

#include <linux/fuse.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "base/media_faults.hpp"
#include "base/unique_fd.hpp"
#include "fuse/buffers.hpp"
#include "harness/catch.hpp"

using namespace pmemfs;

namespace {

using Answer = std::function<bool(fuse_req_t)>;

// What the one operation does, and whether its answer was taken.
struct Operation {
  Answer answer;
  bool taken = false;
};

// libfuse on one end of a socket that stands for the device; we are the kernel at the other.
class Session {
 public:
  explicit Session(Operation& operation) {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
    kernel_.reset(ends[0]);
    fuse_lowlevel_ops ops{};
    ops.readlink = [](fuse_req_t req, fuse_ino_t) {
      auto& asked = *static_cast<Operation*>(fuse_req_userdata(req));
      asked.taken = asked.answer(req);
    };
    std::array<char, 5> name{"test"};
    std::array<char*, 1> argv{name.data()};
    fuse_args args = FUSE_ARGS_INIT(1, argv.data());
    session_ = fuse_session_new(&args, &ops, sizeof(ops), &operation);
    fuse_opt_free_args(&args);
    REQUIRE(session_ != nullptr);
    const std::string device = "/dev/fd/" + std::to_string(ends[1]);  // closed by libfuse
    REQUIRE(fuse_session_mount(session_, device.c_str()) == 0);
    fuse_init_in init{};
    init.major = FUSE_KERNEL_VERSION;
    init.minor = FUSE_KERNEL_MINOR_VERSION;
    send(FUSE_INIT, &init, sizeof(init));
    REQUIRE(answers() == std::vector<int>{0});
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { fuse_session_destroy(session_); }

  // The errno of each answer that has come.
  [[nodiscard]] std::vector<int> answers() const {
    std::vector<int> errors;
    std::array<char, 4096> bytes{};
    while (::recv(kernel_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
      fuse_out_header header{};
      std::memcpy(&header, bytes.data(), sizeof(header));
      errors.push_back(-header.error);
    }
    return errors;
  }

  void send(std::uint32_t opcode, const void* argument = nullptr, std::size_t n = 0) {
    std::vector<char> bytes(sizeof(fuse_in_header) + n);
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(bytes.size());
    header.opcode = opcode;
    header.unique = ++unique_;
    header.nodeid = 1;
    std::memcpy(bytes.data(), &header, sizeof(header));
    if (n > 0) {
      std::memcpy(bytes.data() + sizeof(header), argument, n);
    }
    fuse_buf buffer{};
    buffer.size = bytes.size();
    buffer.mem = bytes.data();
    fuse_session_process_buf(session_, &buffer);
  }

 private:
  base::UniqueFd kernel_;
  fuse_session* session_ = nullptr;
  std::uint64_t unique_ = 0;
};

// One request whose thread met a media error or did not; the errno of the only answer.
int ask(Operation& operation, bool met, const Answer& answer) {
  operation.answer = answer;
  Session session(operation);
  fuse::this_thread().media_errors_met = base::media_errors_met();
  if (met) {
    base::note_media_error();
  }
  session.send(FUSE_READLINK);
  const std::vector<int> answers = session.answers();
  return answers.size() == 1 ? answers[0] : -1;
}

}  // namespace

TEST_CASE("an answer of a request that met a media error is EIO, and counts as not taken") {
  base::log::init_callback([](base::log::Level, const std::string&) {});
  namespace reply = fuse::reply;
  const Attributes attributes;
  const fuse_file_info info{};
  const std::vector<std::byte> bytes(100);
  const std::vector<Answer> successes{
      [&](fuse_req_t r) { return reply::entry(r, attributes, {}); },
      [&](fuse_req_t r) { return reply::missing(r, {}); },
      [&](fuse_req_t r) { return reply::attributes(r, attributes, {}); },
      [&](fuse_req_t r) { return reply::open(r, info); },
      [&](fuse_req_t r) { return reply::create(r, attributes, info, {}); },
      [&](fuse_req_t r) { return reply::bytes(r, bytes); },
      [&](fuse_req_t r) { return reply::sized(r, bytes, 0); },
      [&](fuse_req_t r) { return reply::sized(r, bytes, 200); },
      [&](fuse_req_t r) { return reply::count(r, std::size_t{5}); },
  };
  Operation operation;
  for (std::size_t i = 0; i < successes.size(); ++i) {
    INFO(i);
    CHECK(ask(operation, false, successes[i]) == 0);
    CHECK(operation.taken);
    CHECK(ask(operation, true, successes[i]) == EIO);
    CHECK_FALSE(operation.taken);
  }
  for (const int code : {0, ENOENT, EUCLEAN}) {
    const Answer fails = [code](fuse_req_t r) {
      return reply::error(r, code);
    };
    CHECK(ask(operation, false, fails) == code);
    CHECK(ask(operation, true, fails) == EIO);
  }
}
