// Messages of two guests that share a filesystem: whole ones out of the bytes, or made of known
// nodes, handles and names with numbers out of the bytes. Each is answered once and in its room;
// neither guest reaches what the host alone holds; when they go nothing is left, and the checker
// finds nothing.
#include <linux/fuse.h>
#include <sys/stat.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "fuse/guest_session.hpp"
#include "input.hpp"
#include "rig.hpp"
#include "support/guest.hpp"

namespace pmemfs::fuzz {
namespace {

constexpr std::string_view kSecret = "what only the other one has";
constexpr std::uint64_t kAlignment = std::uint64_t{1} << 21U;
constexpr std::size_t kRoom = 8192;
// Data lie in extents: into simulated host files one FALLOCATE would put all memory there is.
constexpr bool kBacking = false;

// What a request consists of beside its header.
struct Form {
  std::uint32_t opcode = 0;
  std::size_t fixed = 0;
  int handle = -1;  // where in it a handle is
  int node = -1;    // where in it a node is
  int names = 0;
};

constexpr auto kForms = std::to_array<Form>({
    {FUSE_LOOKUP, 0, -1, -1, 1},
    {FUSE_FORGET, 8},
    {FUSE_GETATTR, 16, 8},
    {FUSE_SETATTR, sizeof(fuse_setattr_in), 8},
    {FUSE_READLINK},
    {FUSE_SYMLINK, 0, -1, -1, 2},
    {FUSE_MKNOD, 16, -1, -1, 1},
    {FUSE_MKDIR, 8, -1, -1, 1},
    {FUSE_UNLINK, 0, -1, -1, 1},
    {FUSE_RMDIR, 0, -1, -1, 1},
    {FUSE_RENAME, 8, -1, 0, 2},
    {FUSE_RENAME2, 16, -1, 0, 2},
    {FUSE_LINK, 8, -1, 0, 1},
    {FUSE_OPEN, 8},
    {FUSE_READ, 40, 0},
    {FUSE_WRITE, 40, 0},
    {FUSE_STATFS},
    {FUSE_RELEASE, 24, 0},
    {FUSE_FSYNC, 16, 0},
    {FUSE_SETXATTR, 16, -1, -1, 1},
    {FUSE_GETXATTR, 8, -1, -1, 1},
    {FUSE_LISTXATTR, 8},
    {FUSE_REMOVEXATTR, 0, -1, -1, 1},
    {FUSE_FLUSH, 24, 0},
    {FUSE_OPENDIR, 8},
    {FUSE_READDIR, 40},
    {FUSE_READDIRPLUS, 40},
    {FUSE_CREATE, 16, -1, -1, 1},
    {FUSE_IOCTL, 32},
    {FUSE_BATCH_FORGET, 24, -1, 8},
    {FUSE_FALLOCATE, 32, 0},
    {FUSE_LSEEK, 24, 0},
    {FUSE_COPY_FILE_RANGE, 56, 0, 16},
    {FUSE_SETUPMAPPING, 40},
    {FUSE_REMOVEMAPPING, 20},
    {FUSE_TMPFILE, 16},
    {FUSE_SYNCFS, 8},
    {FUSE_DESTROY},
    {FUSE_INIT, sizeof(fuse_init_in)},  // the last
});

constexpr auto kNames = std::to_array<std::string_view>(
    {"a", "b", "dir", "durable", "user.x", "user.pmemfs.mmap_durable", "system.posix_acl_access",
     "..", "a/b", "1"});

class TwoGuests {
 public:
  explicit TwoGuests(Input& input) : input_(input), rig_(kBacking) {
    for (auto& guest : guests_) {
      auto created = fuse::GuestSession::create(fs(), options());
      demand(created.ok(), "no session");
      guest = std::move(*created);
    }
    for (unsigned which = 0; which < guests_.size() && input_.byte() % 8 != 7; ++which) {
      send(which, made_of(kForms.back()), true, true);
    }
    keep_secret();
  }

  void run() {
    for (int i = 0; i < 300 && !input_.empty(); ++i) {
      const std::uint8_t how = input_.byte();
      send(how & 1U, (how & 0x0EU) != 0 ? made() : raw(), (how & 0x30U) != 0, (how & 0xC0U) != 0);
    }
    check_secret();
    for (auto& guest : guests_) {
      guest->end();
    }
    fs().release(secret_);
    fs().forget(secret_ino_, 1);
    demand_equal(2, fs().status().inodes_in_memory, "inodes held by the host at the end");
    fs().forget(shared_ino_, 1);
    demand_equal(0, fs().status().open_handles, "open handles at the end");
    demand_equal(1, fs().status().inodes_in_memory, "inodes held at the end");
    rig_.remount();  // with a look at what is on media
  }

 private:
  using Message = std::vector<std::byte>;

  Filesystem& fs() { return rig_.fs(); }

  fuse::GuestOptions options() {
    fuse::GuestOptions options;
    options.window = true;
    options.max_nodes = 20;
    options.max_handles = 8;
    options.read_only = input_.byte() % 8 == 7;
    if (input_.byte() % 4 == 3) {
      options.uids.ranges = {{0, 1000, 100}};
      options.gids.ranges = {{0, 1000, 100}};
    }
    options.map = [](const fuse::MappingRequest& request) -> Status {
      const auto sum = request.file_off | request.window_off | request.len;
      demand(request.len != 0 && sum % kAlignment == 0, "a mapping that is not aligned");
      demand(request.file_off + request.len <= INT64_MAX, "a mapping that is too large");
      return {};
    };
    options.unmap = [](std::uint64_t off, std::uint64_t len) -> Status {
      demand(len != 0 && (off | len) % kAlignment == 0, "a removal that is not aligned");
      return {};
    };
    return options;
  }

  // The host holds two files: one without a name, and one that guests find, too.
  void keep_secret() {
    const auto shared = fs().mknod({}, kRootInode, "a", S_IFREG | 0644, 0);
    demand(shared.ok(), "no file");
    shared_ino_ = shared->ino;
    const auto made = fs().tmpfile({}, kRootInode, 0600, 2);
    demand(made.ok(), "no file");
    secret_ = made->opened.handle;
    secret_ino_ = made->attributes.ino;
    demand(fs().write(secret_, 0, std::as_bytes(std::span(kSecret)), false, false).ok(), "write");
  }
  void check_secret() {
    std::array<char, kSecret.size() + 1> found{};
    const auto got = fs().read(secret_, 0, std::as_writable_bytes(std::span(found)));
    demand(got.ok() && *got == kSecret.size(), "the length of what it does not hold");
    demand(std::string_view(found.data(), *got) == kSecret, "the content of what it does not hold");
    demand(fs().getattr(secret_ino_).ok(), "what it does not hold was forgotten");
  }

  template <typename T>
  static void put(Message& message, std::size_t at, const T& value) {
    if (at + sizeof(T) <= message.size()) {
      std::memcpy(message.data() + at, &value, sizeof(T));
    }
  }
  static void append(Message& message, std::span<const std::byte> bytes) {
    message.insert(message.end(), bytes.begin(), bytes.end());
  }

  Message raw() {
    Message message(sizeof(fuse_in_header));
    append(message, std::as_bytes(input_.bytes(input_.byte())));
    fuse_in_header header{};
    const auto bytes = std::as_bytes(input_.bytes(sizeof(header)));
    std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(&header, 1)).begin());
    if (input_.byte() % 4 != 0) {
      header.len = static_cast<std::uint32_t>(message.size());
    }
    header.opcode %= 64;
    put(message, 0, header);
    if (input_.byte() % 8 == 0) {
      message.resize(input_.below(message.size() + 1));
    }
    return message;
  }

  std::uint64_t known(const std::vector<std::uint64_t>& of) {
    const std::uint8_t which = input_.byte();
    if (which % 16 == 15 || of.empty()) {
      return which / 16;
    }
    return of[of.size() - 1 - which / 16 % of.size()];
  }

  // Seldom a form that ends all, and mostly small numbers: large ones are refused at once.
  const Form& form_to_make() {
    const Form& form = kForms[input_.below(kForms.size())];
    const bool ends = form.opcode == FUSE_INIT || form.opcode == FUSE_DESTROY;
    return ends && input_.byte() % 4 != 0 ? kForms[0] : form;
  }
  void add_numbers(Message& message, const Form& form) {
    for (std::size_t place = 0; place + 4 <= form.fixed; place += 4) {
      const std::uint8_t small = input_.byte();
      const std::uint32_t number = small < 0xF0 ? small : input_.number<std::uint32_t>();
      put(message, sizeof(fuse_in_header) + place, small % 3 == 0 ? 0 : number);
    }
    if (form.opcode == FUSE_INIT) {
      put(message, sizeof(fuse_in_header), std::array<std::uint32_t, 2>{7, 38});
      put(message, sizeof(fuse_in_header) + offsetof(fuse_init_in, flags), ~std::uint64_t{0});
    }
  }

  Message made() { return made_of(form_to_make()); }
  Message made_of(const Form& form) {
    Message message(sizeof(fuse_in_header) + form.fixed);
    add_numbers(message, form);
    if (form.handle >= 0) {
      put(message, sizeof(fuse_in_header) + static_cast<std::size_t>(form.handle), known(handles_));
    }
    if (form.node >= 0) {
      put(message, sizeof(fuse_in_header) + static_cast<std::size_t>(form.node), known(nodes_));
    }
    for (int i = 0; i < form.names; ++i) {
      append(message, std::as_bytes(std::span(kNames[input_.below(kNames.size())])));
      message.push_back(std::byte{0});
    }
    append(message, std::as_bytes(input_.bytes(input_.byte() % 64)));
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(message.size());
    header.opcode = form.opcode;
    header.nodeid = known(nodes_);
    header.uid = input_.byte() % 2;
    put(message, 0, header);
    return message;
  }

  void send(unsigned which, Message message, bool much_room, bool takes) {
    message.shrink_to_fit();  // so that a byte too many is seen
    fuse_in_header header{};
    const bool whole = message.size() >= sizeof(header);
    if (whole) {
      std::memcpy(&header, message.data(), sizeof(header));
    }
    const std::size_t room = much_room ? kRoom : input_.byte();
    int answers = 0;
    std::string answer;
    const test::GuestRoom memory(room, header.opcode == FUSE_READ);
    const std::span<std::byte> bytes(message);
    const std::size_t copied =
        std::min(bytes.size(), whole ? fuse::GuestSession::copied(bytes) : bytes.size());
    test::GuestRoom rest(bytes.size() - copied, true);
    rest.fill(bytes.subspan(copied));
    guests_[which]->serve(bytes.first(copied), rest.pieces(), memory.pieces(),
                          [&](std::span<const iovec> parts) {
                            ++answers;
                            for (const iovec& part : parts) {
                              answer.append(static_cast<const char*>(part.iov_base), part.iov_len);
                            }
                            return takes;
                          });
    const bool silent = !whole || header.opcode == FUSE_FORGET ||
                        header.opcode == FUSE_BATCH_FORGET || room < sizeof(fuse_out_header);
    demand_equal(silent ? 0 : 1, static_cast<std::uint64_t>(answers), "answers");
    if (answers == 1) {
      look_at(header, answer, room, takes);
    }
  }

  void look_at(const fuse_in_header& request, const std::string& answer, std::size_t room,
               bool takes) {
    fuse_out_header header{};
    demand(answer.size() >= sizeof(header) && answer.size() <= room, "an answer's length");
    std::memcpy(&header, answer.data(), sizeof(header));
    demand_equal(answer.size(), header.len, "the length that an answer tells");
    demand(header.unique == request.unique, "an answer to something else");
    demand(header.error <= 0 && header.error > -1000, "an answer's code");
    demand(header.error == 0 || answer.size() == sizeof(header), "an error with a value");
    if (header.error == 0 && takes) {
      learn(request.opcode, answer.substr(sizeof(header)));
    }
  }

  template <typename T>
  static T at(const std::string& body, std::size_t place) {
    T value{};
    if (body.size() >= place + sizeof(T)) {
      std::memcpy(&value, body.data() + place, sizeof(T));
    }
    return value;
  }
  void learn(std::uint32_t opcode, const std::string& body) {
    const bool creates = opcode == FUSE_CREATE || opcode == FUSE_TMPFILE;
    if (creates || opcode == FUSE_OPEN) {
      handles_.push_back(
          at<fuse_open_out>(body, creates ? sizeof(fuse_entry_out) : std::size_t{0}).fh);
    }
    if (creates || opcode == FUSE_LOOKUP || opcode == FUSE_MKDIR || opcode == FUSE_MKNOD ||
        opcode == FUSE_SYMLINK || opcode == FUSE_LINK) {
      const auto entry = at<fuse_entry_out>(body, 0);
      demand(InodeNo(entry.attr.ino) != secret_ino_, "a name of what has none");
      demand(entry.nodeid == 0 || entry.attr.blksize == 4096, "a mark that is not for guests");
      if (entry.nodeid != 0) {
        nodes_.push_back(entry.nodeid);
      }
    }
  }

  Input& input_;
  Rig rig_;
  std::array<std::unique_ptr<fuse::GuestSession>, 2> guests_{};
  std::vector<std::uint64_t> nodes_{1};  // of both
  std::vector<std::uint64_t> handles_{};
  HandleId secret_ = 0;
  InodeNo secret_ino_{};
  InodeNo shared_ino_{};
};

}  // namespace
}  // namespace pmemfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pmemfs;
  fuzz::Input input(data, size);
  fuzz::TwoGuests guests(input);
  guests.run();
  return 0;
}
