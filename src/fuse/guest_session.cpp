#include "fuse/guest_session.hpp"

#include <linux/fs.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "base/log.hpp"
#include "base/media_faults.hpp"
#include "fuse/buffers.hpp"
#include "fuse/convert.hpp"
#include "fuse/counters.hpp"
#include "fuse/guest_answer.hpp"
#include "fuse/guest_channel.hpp"
#include "fuse/guest_checks.hpp"
#include "fuse/guest_data.hpp"
#include "fuse/guest_ledger.hpp"
#include "fuse/guest_mapping.hpp"
#include "fuse/guest_message.hpp"
#include "fuse/guest_reply.hpp"
#include "fuse/guest_rights.hpp"
#include "fuse/operations.hpp"
#include "fuse/reply.hpp"

namespace pmemfs::fuse {
namespace {

// What operations find of the thread that serves them. Kept from one request to the next, whosever
// they are: that costs a thread as much memory as its largest answer.
struct Worker {
  Buffers buffers;
  Edge* edge = nullptr;  // of the request that is served
  Afterwork afterwork{[this](const Afterwork::Item& item) {
    do_afterwork(*edge, item);
  }};

  explicit Worker(Buffers b) : buffers(std::move(b)) {}
};

Result<Worker*> this_worker() {
  thread_local std::optional<Worker> worker;
  if (!worker) {
    PMEMFS_TRY(Buffers buffers, Buffers::create());
    worker.emplace(std::move(buffers));
  }
  return &*worker;
}

// A request of libfuse's under way on this thread.
class Serving {
 public:
  Serving(Worker& worker, Edge& edge, const GuestMessage& message) : worker_(worker) {
    worker_.edge = &edge;
    this_thread() = {Request(message.bytes()), base::media_errors_met(), &worker_.buffers,
                     &worker_.afterwork};
  }
  // What nobody waits for on a mount somebody may wait for here: RELEASE is answered by it.
  ~Serving() {
    worker_.afterwork.do_all();
    this_thread() = {};
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

 private:
  Worker& worker_;
};

// A node that a request is about.
class Held {
 public:
  Held(GuestLedger& ledger, GuestNode node)
      : ledger_(ledger), node_(node), held_(ledger.hold(node)) {}
  ~Held() {
    if (held_) {
      ledger_.let_go(node_);
    }
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  explicit operator bool() const { return held_; }

 private:
  GuestLedger& ledger_;
  GuestNode node_;
  bool held_;
};

// The nodes of a message.
struct Nodes {
  GuestNode first{};  // the header's
  GuestNode second{};
  std::optional<Held> first_held{};
  std::optional<Held> second_held{};
};

Edge make_edge(Filesystem& fs, const GuestOptions& options) {
  View view = view_of(options.cache);
  view.marks_durable = true;
  const Wanted wanted{.passthrough = false,
                      .region_is_stacked = false,
                      .compare = view.compare,
                      .by_handle = false};
  return {.fs = fs,
          .wanted = wanted,
          .view = view,
          .by_window = ByWindow::kNone,
          .reach = view.direct ? Reach::kDirect : Reach::kServed,
          .touch_atime = !options.read_only};
}

}  // namespace

struct GuestSession::Impl {
  Impl(Filesystem& fs, GuestOptions o)
      : options(std::move(o)),
        edge(make_edge(fs, options)),
        rights(fs, options.uids, options.gids),
        ledger(
            {options.max_nodes, options.max_handles},
            [this](InodeNo ino, std::uint64_t count) { forget_inode(edge, ino, count); },
            [this](InodeNo ino, std::uint64_t fh) { close_handle(edge, ino, fh); }) {
    edge.rights = &rights;
  }

  void serve(Worker& worker, GuestMessage& message, GuestReply& reply);
  void begin(Worker& worker, GuestMessage& message, GuestReply& reply);
  void leave();
  void finish();
  std::optional<int> dispatch(Worker& worker, GuestMessage& message, GuestReply& reply);
  int hold(GuestMessage& message, Nodes& nodes);
  void forget(const GuestMessage& message);
  int map(const GuestMessage& message, GuestNode node) const;
  void through_libfuse(Worker& worker, GuestMessage& message, GuestNode node, GuestReply& reply);
  int translate_caller(GuestMessage& message) const;
  int translate_handles(GuestMessage& message, InodeNo second);
  int refuse_stale(GuestNode node);
  void take(const GuestMessage& message, GuestNode node, std::span<iovec> parts, GuestReply& reply);
  void offer_mapping(const GuestMessage& message, iovec& part);

  GuestOptions options;
  Edge edge;
  const GuestRights rights;
  GuestLedger ledger;
  Counters counters;
  // Shared by requests; exclusive where the session begins and ends. What it guards is atomic for
  // status() alone.
  std::shared_mutex mutex;
  std::unique_ptr<GuestChannel> channel;
  std::atomic<bool> begun{false};
  std::atomic<bool> direct{false};  // nodes are GuestNode::kDirect where files are durable
};

void GuestSession::Impl::serve(Worker& worker, GuestMessage& message, GuestReply& reply) {
  const bool alone = message.opcode() == FUSE_INIT || message.opcode() == FUSE_DESTROY;
  std::shared_lock shared(mutex, std::defer_lock);
  std::unique_lock exclusive(mutex, std::defer_lock);
  if (alone) {
    exclusive.lock();
  } else {
    shared.lock();
  }
  const GuestMessage::Terms terms{begun, edge.granted.setxattr_ext, options.read_only};
  const int code = message.check(terms, reply.room());
  if (!message.wants_answer()) {
    if (code == 0) {
      forget(message);
    }
  } else if (code != 0) {
    (void)reply.error(code);
  } else if (message.opcode() == FUSE_INIT) {
    begin(worker, message, reply);
  } else if (message.opcode() == FUSE_DESTROY) {
    leave();
    (void)reply.error(0);
  } else if (const auto status = dispatch(worker, message, reply)) {
    (void)reply.error(*status);
  }
}

// A guest that boots anew may not have said that it goes.
void GuestSession::Impl::begin(Worker& worker, GuestMessage& message, GuestReply& reply) {
  leave();
  auto created = GuestChannel::create(edge, options.debug);
  if (!created) {
    (void)reply.error(created.code());
    return;
  }
  channel = std::move(*created);
  through_libfuse(worker, message, {}, reply);
  begun = edge.granted.answered;
}

// What a monitor has mapped outlives the kernel for which it was.
void GuestSession::Impl::leave() {
  finish();
  if (options.unmap_all) {
    options.unmap_all();
  }
}

void GuestSession::Impl::finish() {
  begun = false;
  direct = false;
  ledger.clear();
  channel.reset();
  edge.granted = {};
  edge.by_window = ByWindow::kNone;
}

void GuestSession::Impl::forget(const GuestMessage& message) {
  if (message.opcode() == FUSE_FORGET) {
    ledger.forget({message.header().nodeid}, message.argument<fuse_forget_in>().nlookup);
    return;
  }
  const std::uint32_t count = message.argument<fuse_batch_forget_in>().count;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto one = message.argument<fuse_forget_one>(sizeof(fuse_batch_forget_in) +
                                                       i * sizeof(fuse_forget_one));
    ledger.forget({one.nodeid}, one.nlookup);
  }
}

// ESTALE unless all are held that the message is about; puts inode numbers in place of nodes.
int GuestSession::Impl::hold(GuestMessage& message, Nodes& nodes) {
  fuse_in_header header = message.header();
  nodes.first.id = header.nodeid;
  if (message.about_node() && !nodes.first_held.emplace(ledger, nodes.first)) {
    return ESTALE;
  }
  if (const auto place = message.second_node()) {
    nodes.second.id = message.argument<std::uint64_t>(*place);
    if (message.about_node() && !nodes.second_held.emplace(ledger, nodes.second)) {
      return ESTALE;
    }
    message.set_argument(*place, nodes.second.ino().value);
  }
  header.nodeid = nodes.first.ino().value;
  message.set_header(header);
  return 0;
}

// What to answer, 0 included, unless libfuse did.
std::optional<int> GuestSession::Impl::dispatch(Worker& worker, GuestMessage& message,
                                                GuestReply& reply) {
  Nodes nodes;
  if (const int code = hold(message, nodes); code != 0) {
    return code;
  }
  switch (message.opcode()) {
    case FUSE_SETUPMAPPING:
    case FUSE_REMOVEMAPPING:
      return map(message, nodes.first);
    case FUSE_SYNCFS:
      return options.read_only ? 0 : guarded([&] { return edge.fs.sync(); }).code();
    case FUSE_OPEN:
      if (const int code = refuse_stale(nodes.first); code != 0) {
        return code;
      }
      break;
    default:
      break;
  }
  if (const int code = translate_caller(message); code != 0) {
    return code;
  }
  if (const int code = translate_handles(message, nodes.second.ino()); code != 0) {
    return code;
  }
  if (rights.limited()) {
    const Status status =
        guarded([&] { return check_rights(rights, message, edge.granted.setxattr_ext); });
    if (!status) {
      return status.code();
    }
  }
  if (message.opcode() == FUSE_READ) {
    const auto places = reply.places(message.argument<fuse_read_in>().size);
    if (!places.empty()) {
      return read_into(edge.fs, message, places, reply);
    }
  }
  if (message.opcode() == FUSE_WRITE) {
    return write_from(edge.fs, message,
                      [&](std::span<iovec> parts) { take(message, nodes.first, parts, reply); });
  }
  through_libfuse(worker, message, nodes.first, reply);
  return std::nullopt;
}

// A node that is mapped directly was found to be the guest's to store to when it was given out, and
// stays that as a file stays open to whom it was opened for.
int GuestSession::Impl::map(const GuestMessage& message, GuestNode node) const {
  if (!options.window || !options.map || !options.unmap) {
    return ENOSYS;
  }
  if (message.opcode() == FUSE_REMOVEMAPPING) {
    return guarded([&] { return remove_mappings(message, options); }).code();
  }
  return guarded([&]() -> Status {
           PMEMFS_TRY(const MappingRequest request, mapping_request(message, options));
           PMEMFS_TRY(const Attributes attributes, edge.fs.getattr(request.ino));
           if (!S_ISREG(attributes.mode)) {
             return Error(EINVAL);
           }
           const bool granted = node.direct() || rights.may_map(request.ino);
           return granted ? options.map(request) : Status(Error(EACCES));
         })
      .code();
}

// A guest's kernel decides whether it maps an inode directly when it meets it, and keeps to that as
// long as it has the inode: a file that became durable later could not be mapped. So the two states
// are two nodes. Names come to lead to the other one when they are looked up again, and for this
// OPEN fails with ESTALE: the kernel then walks the path once more, looks every name of it up,
// finds another node under the last one, and makes a new inode, which is mapped directly. The old
// one stays good for who has it.
//
// A second refusal on the way would be the program's to see. Where no lookup follows (a file opened
// anew by /proc/self/fd) the old node opens, without direct mappings, as kernels without them do.
int GuestSession::Impl::refuse_stale(GuestNode node) {
  if (!direct) {
    return 0;
  }
  const auto flags = guarded([&] { return edge.fs.inode_flags(node.ino()); });
  if (!flags) {
    return flags.code();
  }
  const bool mapped = (*flags & FS_NOCOW_FL) != 0 && rights.may_map(node.ino());
  return mapped != node.direct() && ledger.first_refusal(node) ? ESTALE : 0;
}

int GuestSession::Impl::translate_caller(GuestMessage& message) const {
  fuse_in_header header = message.header();
  header.pid = 0;  // of no process here: the core would look for it in /proc
  header.uid = options.uids.to_host(header.uid);
  header.gid = options.gids.to_host(header.gid);
  message.set_header(header);
  if (message.makes_inode() && (header.uid == kNoId || header.gid == kNoId)) {
    return EPERM;
  }
  if (message.opcode() == FUSE_SETATTR) {
    auto in = message.argument<fuse_setattr_in>();
    in.uid = options.uids.to_host(in.uid);
    in.gid = options.gids.to_host(in.gid);
    if (((in.valid & FATTR_UID) != 0 && in.uid == kNoId) ||
        ((in.valid & FATTR_GID) != 0 && in.gid == kNoId)) {
      return EPERM;
    }
    message.set_argument(0, in);
  }
  const auto list = message.acl_to_set(edge.granted.setxattr_ext);
  return translate_acl(list, options.uids, options.gids, Direction::kToHost) ? 0 : EPERM;
}

int GuestSession::Impl::translate_handles(GuestMessage& message, InodeNo second) {
  const InodeNo nodes[] = {InodeNo(message.header().nodeid), second};
  const GuestMessage::Places places = message.handles();
  const auto uses = message.handle_uses();
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!places[i]) {
      continue;
    }
    const auto number = message.argument<std::uint64_t>(*places[i]);
    const auto fh = message.opcode() == FUSE_RELEASE
                        ? ledger.take_handle(nodes[i], number)
                        : ledger.find_handle(nodes[i], number, uses[i]);
    if (!fh) {
      return EBADF;
    }
    message.set_argument(*places[i], *fh);
  }
  return 0;
}

void GuestSession::Impl::through_libfuse(Worker& worker, GuestMessage& message, GuestNode node,
                                         GuestReply& reply) {
  const GuestChannel::Take take_answer = [&](std::span<iovec> parts) {
    const Status taken = guarded_call([&] { take(message, node, parts, reply); });
    if (!taken) {
      (void)reply.error(taken.code());
    }
  };
  const GuestChannel::Taking taking(take_answer);
  const Serving serving(worker, edge, message);
  channel->serve(message.bytes());
}

void GuestSession::Impl::take(const GuestMessage& message, GuestNode node, std::span<iovec> parts,
                              GuestReply& reply) {
  if (message.opcode() == FUSE_INIT && parts.size() == 2) {
    offer_mapping(message, parts[1]);
  }
  const bool mapped = node.direct() || edge.by_window == ByWindow::kAll;
  GuestAnswer answer(message, options, {direct, mapped, rights}, ledger);
  if (const int code = answer.prepare(parts); code != 0) {
    (void)reply.error(code);
    return;
  }
  // Entered before it is sent: the guest may use what it gets before sending returns.
  if (!reply.send(parts)) {
    answer.take_back();
  }
}

void GuestSession::Impl::offer_mapping(const GuestMessage& message, iovec& part) {
  fuse_init_out out{};
  if (!options.window || (options.can_map && !options.can_map()) || part.iov_len < sizeof(out)) {
    return;
  }
  const auto flags = message.argument<std::uint32_t>(offsetof(fuse_init_in, flags));
  if ((flags & FUSE_MAP_ALIGNMENT) == 0) {
    return;
  }
  std::memcpy(&out, part.iov_base, sizeof(out));
  out.flags |= FUSE_MAP_ALIGNMENT;
  out.map_alignment = static_cast<std::uint16_t>(options.map_alignment);
  edge.by_window = ByWindow::kAll;
  constexpr auto kInodeDax = static_cast<std::uint32_t>(FUSE_HAS_INODE_DAX >> 32U);
  if ((flags & FUSE_INIT_EXT) != 0 && (message.argument<fuse_init_in>().flags2 & kInodeDax) != 0) {
    out.flags |= FUSE_INIT_EXT;
    out.flags2 |= kInodeDax;
    edge.by_window = ByWindow::kDurable;
    direct = true;
  }
  std::memcpy(part.iov_base, &out, sizeof(out));
}

GuestSession::GuestSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GuestSession::~GuestSession() {
  end();
}

Result<std::unique_ptr<GuestSession>> GuestSession::create(Filesystem& fs, GuestOptions options) {
  options.window = options.window && !options.read_only;
  auto impl = std::make_unique<Impl>(fs, std::move(options));
  PMEMFS_TRY(const auto trial, GuestChannel::create(impl->edge, false));
  return std::unique_ptr<GuestSession>(new GuestSession(std::move(impl)));
}

void GuestSession::serve(std::span<std::byte> bytes, std::span<const iovec> rest,
                         std::span<const iovec> room, const AnswerSink& sink) noexcept {
  guarded_void([&] {
    auto message = GuestMessage::of(bytes, rest);
    if (!message) {
      base::log::warn_once("guest-short-request",
                           "a guest sent a request without a header; it is dropped");
      return;
    }
    impl_->counters.count(message->opcode());
    GuestReply reply(message->unique(), room, sink);
    const Status served = guarded([&]() -> Status {
      // Before anything is done: RELEASE, for one, cannot be undone.
      PMEMFS_TRY(Worker* const worker, this_worker());
      impl_->serve(*worker, *message, reply);
      return {};
    });
    if (!served && message->wants_answer()) {
      (void)reply.error(served.code());  // unless it is answered
    }
  });
}

std::size_t GuestSession::copied(std::span<const std::byte> header) {
  return Request(header).opcode() == FUSE_WRITE ? sizeof(fuse_in_header) + sizeof(fuse_write_in)
                                                : std::numeric_limits<std::size_t>::max();
}

bool GuestSession::may_take_long(std::span<const std::byte> message) {
  const Request request(message);
  const std::uint32_t opcode = request.opcode();
  return request.may_take_long() || opcode == FUSE_SETUPMAPPING || opcode == FUSE_REMOVEMAPPING ||
         opcode == FUSE_INIT || opcode == FUSE_DESTROY;
}

void GuestSession::end() {
  const std::unique_lock lock(impl_->mutex);
  impl_->finish();
}

GuestStatus GuestSession::status() const {
  return {impl_->begun, impl_->direct, impl_->ledger.nodes(), impl_->ledger.handles(),
          impl_->counters.snapshot()};
}

}  // namespace pmemfs::fuse
