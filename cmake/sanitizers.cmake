# Sanitizers and coverage, added to pmemfs::flags; chosen by the presets.
if(PMEMFS_SANITIZE)
  # A finding ends the program, so that a test cannot pass over it.
  set(flags -fsanitize=${PMEMFS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # Instrumented code makes gcc 12 see uninitialized members inside std::function (gcc bug 105562); the other presets keep
  # that warning. A report names functions and lines, for which -g1 is enough; -g takes a quarter longer to compile.
  target_compile_options(pmemfs_flags INTERFACE ${flags} -O1 -g1 $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(pmemfs_flags INTERFACE ${flags})
endif()
if(PMEMFS_FUZZER)
  target_compile_options(pmemfs_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(PMEMFS_COVERAGE)
  target_compile_options(pmemfs_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(pmemfs_flags INTERFACE --coverage)
endif()
