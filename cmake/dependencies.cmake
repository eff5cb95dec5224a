# Third-party libraries, all from Debian packages (scripts/setup installs them). libfuse has a file of its own.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# pmemfs_pkg(<target> <pkg-config module>): an imported target pmemfs::<target>
function(pmemfs_pkg target module)
  pkg_check_modules(PMEMFS_${target} QUIET IMPORTED_TARGET GLOBAL ${module})
  if(NOT PMEMFS_${target}_FOUND)
    message(FATAL_ERROR "${module} is missing: run scripts/setup")
  endif()
  add_library(pmemfs::${target} ALIAS PkgConfig::PMEMFS_${target})
endfunction()

pmemfs_pkg(libpmem libpmem)  # region alone
pmemfs_pkg(libisal libisal)  # base: crc32c
pmemfs_pkg(libcap libcap)

# Boost's own CMake files, the only ones that CMake 3.30 and newer know.
find_package(Boost 1.74 CONFIG REQUIRED COMPONENTS program_options)  # tools alone
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
