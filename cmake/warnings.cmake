# pmemfs::flags: what all our own code is compiled and linked with. Third-party headers come in as SYSTEM.
add_library(pmemfs_flags INTERFACE)
add_library(pmemfs::flags ALIAS pmemfs_flags)

target_compile_definitions(pmemfs_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
target_compile_options(pmemfs_flags INTERFACE
  -Werror -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor
  -Woverloaded-virtual -Wcast-align -Wformat=2 -Wimplicit-fallthrough)
# -Wnull-dereference is left out: at -O2 gcc 12 reports it inside libstdc++ and fmt.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(pmemfs_flags INTERFACE -Wduplicated-cond -Wlogical-op)
endif()

# Hardening. FORTIFY_SOURCE wants optimisation and disturbs the sanitizers.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported()
target_compile_options(pmemfs_flags INTERFACE -fstack-protector-strong)
target_link_options(pmemfs_flags INTERFACE -Wl,-z,relro -Wl,-z,now)
if(NOT PMEMFS_SANITIZE AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(pmemfs_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

# Inodes are 256 bytes and are copied at each step; for that gcc 12 takes "rep movs", which starts slowly. A pair of create and
# unlink in process takes 4 % less without (bench/core_pairs.cpp).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(pmemfs_flags INTERFACE
    -mmemcpy-strategy=unrolled_loop:512:noalign,libcall:-1:noalign
    -mmemset-strategy=unrolled_loop:512:noalign,libcall:-1:noalign)
endif()
