# pmemfs::libfuse, version 3.17 or newer, for src/fuse alone: the system's, if it takes requests from memory too (custom I/O,
# for guests), else the static one that scripts/setup builds into its private prefix, else the system's, without guests.
set(PMEMFS_FUSE_MIN 3.17)

pkg_check_modules(PMEMFS_FUSE QUIET IMPORTED_TARGET GLOBAL "fuse3>=${PMEMFS_FUSE_MIN}")
if(PMEMFS_FUSE_FOUND AND NOT DEFINED PMEMFS_FUSE_CUSTOM_IO)
  try_run(PMEMFS_FUSE_PROBE PMEMFS_FUSE_PROBE_BUILT ${CMAKE_BINARY_DIR}/probe ${CMAKE_CURRENT_LIST_DIR}/custom_io.cpp
    LINK_LIBRARIES PkgConfig::PMEMFS_FUSE)
  set(PMEMFS_FUSE_CUSTOM_IO OFF)
  if(PMEMFS_FUSE_PROBE_BUILT AND PMEMFS_FUSE_PROBE EQUAL 0)
    set(PMEMFS_FUSE_CUSTOM_IO ON)
  endif()
  set(PMEMFS_FUSE_CUSTOM_IO ${PMEMFS_FUSE_CUSTOM_IO} CACHE INTERNAL "the system's libfuse takes requests from memory")
endif()

# The same rule as in scripts/setup.
if(DEFINED ENV{PMEMFS_PREFIX})
  file(REAL_PATH "$ENV{PMEMFS_PREFIX}" prefix BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(prefix "$ENV{XDG_CACHE_HOME}/pmemfs")
else()
  set(prefix "$ENV{HOME}/.cache/pmemfs")
endif()
set(prefix "${prefix}/fuse3")

if(PMEMFS_FUSE_FOUND AND (PMEMFS_FUSE_CUSTOM_IO OR NOT EXISTS "${prefix}/lib/libfuse3.a"))
  add_library(pmemfs::libfuse ALIAS PkgConfig::PMEMFS_FUSE)
  message(STATUS "libfuse ${PMEMFS_FUSE_VERSION} of the system")
  if(NOT PMEMFS_FUSE_CUSTOM_IO)
    message(STATUS "it has no custom I/O: no virtual machines can be served; scripts/setup builds one that has")
  endif()
  return()
endif()

if(NOT EXISTS "${prefix}/lib/libfuse3.a")
  message(FATAL_ERROR "libfuse ${PMEMFS_FUSE_MIN} or newer was found neither in the system nor in ${prefix}: run scripts/setup")
endif()

unset(PMEMFS_PRIVATE_FUSE_FOUND CACHE)
unset(__pkg_config_checked_PMEMFS_PRIVATE_FUSE CACHE)
set(saved "$ENV{PKG_CONFIG_PATH}")
set(ENV{PKG_CONFIG_PATH} "${prefix}/lib/pkgconfig")
pkg_check_modules(PMEMFS_PRIVATE_FUSE REQUIRED QUIET "fuse3>=${PMEMFS_FUSE_MIN}")
set(ENV{PKG_CONFIG_PATH} "${saved}")

# The archive by its full path; what it needs itself (pthread, perhaps liburing and numa) by name.
set(needs ${PMEMFS_PRIVATE_FUSE_STATIC_LIBRARIES})
list(REMOVE_ITEM needs fuse3)
add_library(pmemfs_libfuse INTERFACE)
add_library(pmemfs::libfuse ALIAS pmemfs_libfuse)
target_include_directories(pmemfs_libfuse SYSTEM INTERFACE ${PMEMFS_PRIVATE_FUSE_INCLUDE_DIRS})
target_link_libraries(pmemfs_libfuse INTERFACE ${prefix}/lib/libfuse3.a ${needs} Threads::Threads)
message(STATUS "libfuse ${PMEMFS_PRIVATE_FUSE_VERSION} of ${prefix}")
