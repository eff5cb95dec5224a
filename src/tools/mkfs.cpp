// mkfs.pmemfs: makes a region and an empty filesystem in it.
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "backing/host_dir.hpp"
#include "backing/layout.hpp"
#include "region/alignment.hpp"
#include "region/region_handle.hpp"
#include "store/store.hpp"
#include "tools/failure.hpp"
#include "tools/mkfs_options.hpp"
#include "tools/mount_table.hpp"
#include "tools/region_access.hpp"
#include "tools/size.hpp"
#include "tools/uuid.hpp"

namespace pmemfs::tools {
namespace {

void require(const Status& status, const std::string& path, const char* what) {
  if (!status) {
    fail(kExitFailure, "{}: {}: {}", path, what, error_text(status.code()));
  }
}

std::unique_ptr<region::RegionHandle> make_region(const MkfsOptions& options) {
  region::CreateOptions create;
  create.emulate = options.emulate;
  create.force = options.force;
  create.size = options.size;
  std::string why;
  auto handle = region::create(options.path, create, why);
  if (handle) {
    return std::move(handle).value();
  }
  if (handle.code() == EBUSY) {
    fail(kExitFailure, "{}: in use: {}", options.path, describe_user(options.path));
  }
  fail(kExitFailure, "{}",
       why.empty() ? options.path + ": cannot make a region there: " + error_text(handle.code())
                   : why);
}

// A former region's backing files go; what is not of pmemfs stays and is said.
void prepare_data(const region::RegionHandle& handle) {
  const std::string& path = handle.path();
  require(backing::make_layout(handle.data_fd()), path, "cannot prepare its data directory");
  auto host = backing::HostDir::open_at(handle.data_fd(), false);
  if (!host) {
    fail(kExitFailure, "{}: cannot open its data directory: {}", path, error_text(host.code()));
  }
  backing::HostDir& dir = **host;
  Status removed;
  const Status listed = dir.for_each(
      [&](BackingName name) {
        if (const Status one = dir.unlink(name); !one) {
          removed = one;
        }
      },
      [&](const std::string& foreign) {
        complain("mkfs.pmemfs", path + "/data/" + foreign + ": not a file of pmemfs, left there");
      });
  require(listed, path, "cannot list its old data");
  require(removed, path, "cannot remove its old data");
  require(dir.sync_all(), path, "cannot sync its data directory");
}

store::FormatOptions format_options(const MkfsOptions& options,
                                    const region::RegionHandle& handle) {
  store::FormatOptions format = facts_for_superblock(handle);
  format.emulated = options.emulate && !handle.host().map_sync;
  format.uuid = options.uuid == format::Uuid{} ? make_uuid() : options.uuid;
  format.label = options.label;
  format.root_mode = options.root_mode;
  format.root_uid = options.root_uid;
  format.root_gid = options.root_gid;
  return format;
}

// The line for people; empty where the host aligns, or has no huge pages to give.
std::string advice(const region::RegionHandle& handle) {
  const auto geometry = region::xfs_geometry(handle.data_fd());
  if (geometry && !region::aligns_to_huge_pages(*geometry)) {
    return "this xfs does not align files to 2 MiB, so that mappings take page faults of 4 KiB; "
           "for "
           "those of 2 MiB make it with mkfs.xfs -d su=2m,sw=1";
  }
  const auto mount = find_mount_holding(handle.data_fd());
  if (handle.host().map_sync && mount && mount->type == "ext4" &&
      !region::ext4_aligns_to_huge_pages(mount->super_options)) {
    return "this ext4 does not align all of a growing file to 2 MiB, so that parts of mappings "
           "take "
           "page faults of 4 KiB; for those of 2 MiB mount it with -o stripe=512";
  }
  return {};
}

void advise(const region::RegionHandle& handle) {
  if (const std::string text = advice(handle); !text.empty()) {
    complain("mkfs.pmemfs", handle.path() + ": " + text);
  }
}

void print_summary(const region::RegionHandle& handle, const store::FormatOptions& format) {
  const bool directory = handle.kind() == region::HostKind::kDirectory;
  fmt::print("mkfs.pmemfs {}\n", version());
  fmt::print("{}: {} region on {}, granularity {}{}\n", handle.path(), to_string(handle.kind()),
             handle.host().filesystem, to_string(handle.region().granularity()),
             format.emulated ? " (emulated: not persistent)" : "");
  fmt::print("Filesystem UUID: {}\n", show_uuid(format.uuid));
  if (!format.label.empty()) {
    fmt::print("Label: {}\n", format.label);
  }
  fmt::print("{}: {} in {} blocks of 4 KiB{}\n", directory ? "Metadata" : "Size",
             show_size(handle.region().size()), handle.region().size() / format::kBlockSize,
             directory ? ", grows as needed; files share the host filesystem's space" : "");
}

int make_filesystem(const MkfsOptions& options) {
  const auto handle = make_region(options);
  const store::FormatOptions format = format_options(options, *handle);
  if (handle->kind() == region::HostKind::kDirectory) {
    prepare_data(*handle);
    require(backing::write_owner(handle->data_fd(), format.uuid), options.path,
            "cannot mark its data directory");
    advise(*handle);
  }
  require(store::Store::format(handle->region(), format), options.path,
          "cannot write the filesystem");
  if (!options.quiet) {
    print_summary(*handle, format);
  }
  return kExitOk;
}

}  // namespace
}  // namespace pmemfs::tools

int main(int argc, char** argv) {
  namespace tools = pmemfs::tools;
  return tools::run_program("mkfs.pmemfs", [&] {
    std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is an error with a line, not a death
    const auto options = tools::parse_mkfs_options(argc, argv);
    return options ? tools::make_filesystem(*options) : tools::kExitOk;
  });
}
