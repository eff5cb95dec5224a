# pmemfs_add_test(<name> SOURCES <files…> [LINK <libraries…>] [LABELS unit|mount|crash|tools…] [LANE <1 or 2>]
#                 [TIMEOUT <seconds>] [SERIAL])
#
# A Catch2 program in build/<preset>/bin/tests, registered as one CTest test. Tests include "harness/catch.hpp" and skip
# with PMEMFS_SKIP(reason); a program whose cases were all skipped exits with 77. The default label is unit.
# Label mount: of the tests of one LANE one runs at a time, so that two mounts are in use at most; without a LANE no other
# mount test runs meanwhile. SERIAL: nothing else at all. TIMEOUT is for a release build; sanitizers get four times as long.
# The longer the TIMEOUT, the earlier a test starts.
#
# pmemfs_test_code(<target>): compiles a library that only test programs link as they are themselves.
set(PMEMFS_TEST_PROPERTIES SKIP_RETURN_CODE 77)

# The test cases themselves are not optimised: with Catch2's macros that would be half the time of a build, and what they
# test, and the simulators, are compiled as their preset says. Linked last, so that it has the last word. SHELL, because
# CMake would drop a -U that pmemfs::flags has given before.
add_library(pmemfs_test_flags INTERFACE)
target_compile_options(pmemfs_test_flags INTERFACE "SHELL:-O0 -g1 -U_FORTIFY_SOURCE")

# Catch2's header alone is half of what compiling a small test takes, so it is precompiled, once for all (tests/harness).
# Launchers such as ccache cannot cache what uses a precompiled header; with one, each file is compiled by itself.
if(CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON)
endif()

function(pmemfs_test_code target)
  target_link_libraries(${target} PRIVATE pmemfs::flags pmemfs_test_flags)
  # Unset, neither on nor off: -fPIC in the one and -fPIE in the other could not share a precompiled header.
  set_property(TARGET ${target} PROPERTY POSITION_INDEPENDENT_CODE)
  if(TARGET pmemfs_precompiled AND NOT target STREQUAL "pmemfs_precompiled")
    target_precompile_headers(${target} REUSE_FROM pmemfs_precompiled)
  endif()
endfunction()

function(pmemfs_set_test_properties name timeout serial labels lanes)
  set(cost ${timeout})
  if(PMEMFS_SANITIZE)
    math(EXPR timeout "${timeout} * 4")
  endif()
  set_tests_properties(${name} PROPERTIES
    ${PMEMFS_TEST_PROPERTIES} TIMEOUT ${timeout} COST ${cost} RUN_SERIAL ${serial} LABELS "${labels}"
    ENVIRONMENT "PMEMFS_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  if("mount" IN_LIST labels)
    list(TRANSFORM lanes PREPEND mount_)
    set_tests_properties(${name} PROPERTIES RESOURCE_LOCK "${lanes}")
  endif()
endfunction()

function(pmemfs_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "SERIAL" "TIMEOUT" "SOURCES;LINK;LABELS;LANE")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
    message(FATAL_ERROR "pmemfs_add_test(${name}): SOURCES missing or unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  foreach(label IN LISTS arg_LABELS)
    if(NOT label MATCHES "^(unit|mount|crash|tools)$")
      message(FATAL_ERROR "pmemfs_add_test(${name}): '${label}' is not one of the labels unit, mount, crash, tools")
    endif()
  endforeach()
  if(NOT arg_LANE)
    set(arg_LANE 1 2)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/tests)
  target_include_directories(${name} PRIVATE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${arg_LINK} pmemfs_harness)
  pmemfs_test_code(${name})
  add_test(NAME ${name} COMMAND ${name})
  pmemfs_set_test_properties(${name} ${arg_TIMEOUT} ${arg_SERIAL} "${arg_LABELS}" "${arg_LANE}")
endfunction()
