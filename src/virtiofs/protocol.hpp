// What goes over the socket and lies in the guest's memory: vhost-user and virtio 1.2, as the
// specifications number it. Plain numbers and structures; nothing here checks anything.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pmemfs::virtiofs::wire {

// The socket speaks the machine's order, virtio 1 little-endian.
static_assert(std::endian::native == std::endian::little);

// Of the VMM to us.
enum class Request : std::uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kResetOwner = 4,
  kSetMemTable = 5,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kSetVringErr = 14,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
  kSetBackendReqFd = 21,
  kGetConfig = 24,
  kSetConfig = 25,
  kResetDevice = 34,
  kGetMaxMemSlots = 36,
  kAddMemReg = 37,
  kRemMemReg = 38,
  kGetShmemConfig = 44,
};

// Of us to the VMM, over the channel that it gives.
enum class BackendRequest : std::uint32_t { kShmemMap = 9, kShmemUnmap = 10 };

constexpr std::uint64_t bit(unsigned number) {
  return std::uint64_t{1} << number;
}

// Features of the device.
constexpr std::uint64_t kRingIndirect = bit(28);
constexpr std::uint64_t kRingEventIdx = bit(29);
constexpr std::uint64_t kHasProtocolFeatures = bit(30);
constexpr std::uint64_t kVersion1 = bit(32);

// Features of the protocol.
constexpr std::uint64_t kMultiQueue = bit(0);
constexpr std::uint64_t kReplyAck = bit(3);
constexpr std::uint64_t kBackendReq = bit(5);
constexpr std::uint64_t kConfig = bit(9);
constexpr std::uint64_t kBackendSendFd = bit(10);
constexpr std::uint64_t kCanResetDevice = bit(13);
constexpr std::uint64_t kMemSlots = bit(15);
constexpr std::uint64_t kShmem = bit(22);

struct Header {
  std::uint32_t request;
  std::uint32_t flags;
  std::uint32_t size;  // bytes of payload that follow
};
static_assert(sizeof(Header) == 12);
constexpr std::uint32_t kVersionMask = 3;
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kIsReply = 1U << 2U;
constexpr std::uint32_t kNeedReply = 1U << 3U;
constexpr std::uint32_t kKnownFlags = kVersionMask | kIsReply | kNeedReply;

struct VringState {
  std::uint32_t index;
  std::uint32_t num;
};
static_assert(sizeof(VringState) == 8);

struct VringAddr {
  std::uint32_t index;
  std::uint32_t flags;
  std::uint64_t descriptors;  // addresses of the VMM, here and below
  std::uint64_t used;
  std::uint64_t available;
  std::uint64_t log;
};
static_assert(sizeof(VringAddr) == 40);

// The payload of the messages that bring a ring's event descriptor.
constexpr std::uint64_t kVringIndexMask = 0xff;
constexpr std::uint64_t kNoFd = bit(8);

struct MemoryRegion {
  std::uint64_t guest;   // physical address in the guest
  std::uint64_t size;    // bytes
  std::uint64_t user;    // address in the VMM
  std::uint64_t offset;  // in the descriptor that comes with it
};
static_assert(sizeof(MemoryRegion) == 32);
constexpr std::size_t kTableRegions = 8;

struct MemoryTable {
  std::uint32_t count;
  std::uint32_t padding;
  std::array<MemoryRegion, kTableRegions> regions;
};
static_assert(sizeof(MemoryTable) == 264);

struct SingleRegion {
  std::uint64_t padding;
  MemoryRegion region;
};
static_assert(sizeof(SingleRegion) == 40);

struct ConfigAccess {
  std::uint32_t offset;
  std::uint32_t size;
  std::uint32_t flags;
};
static_assert(sizeof(ConfigAccess) == 12);
constexpr std::uint32_t kMostConfig = 256;

struct ShmemConfig {
  std::uint32_t count;  // of regions that have a size
  std::uint32_t padding;
  std::array<std::uint64_t, 256> sizes;  // bytes, by identifier
};
static_assert(sizeof(ShmemConfig) == 2056);

struct ShmemRange {
  std::uint8_t shmid;
  std::array<std::uint8_t, 7> padding;
  std::uint64_t fd_offset;
  std::uint64_t shm_offset;
  std::uint64_t len;
  std::uint64_t flags;
};
static_assert(sizeof(ShmemRange) == 40);
constexpr std::uint64_t kMapWritable = 1;

// The configuration space of a virtio file system device.
constexpr std::size_t kTagSize = 36;
struct FsConfig {
  std::array<char, kTagSize> tag;  // padded with zeros
  std::uint32_t request_queues;
  std::uint32_t notify_buf_size;
};
static_assert(sizeof(FsConfig) == 44);

// Split virtqueues.
struct Descriptor {
  std::uint64_t address;  // physical, in the guest
  std::uint32_t len;      // bytes
  std::uint16_t flags;
  std::uint16_t next;
};
static_assert(sizeof(Descriptor) == 16 && std::is_trivially_copyable_v<Descriptor>);
constexpr std::uint16_t kNext = 1;
constexpr std::uint16_t kDeviceWrites = 2;
constexpr std::uint16_t kIndirect = 4;

struct UsedElement {
  std::uint32_t id;
  std::uint32_t len;  // bytes written
};
static_assert(sizeof(UsedElement) == 8);

constexpr std::uint16_t kNoInterrupt = 1;  // flags of the available ring
constexpr std::uint16_t kNoNotify = 1;     // flags of the used ring

}  // namespace pmemfs::virtiofs::wire
