# Sanitizers and coverage, added to pmemfs::flags; chosen by the presets.
if(PMEMFS_SANITIZE)
  # A finding ends the program, so that a test cannot pass over it.
  set(flags -fsanitize=${PMEMFS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(pmemfs_flags INTERFACE ${flags} -O1)
  target_link_options(pmemfs_flags INTERFACE ${flags})
endif()
if(PMEMFS_COVERAGE)
  target_compile_options(pmemfs_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(pmemfs_flags INTERFACE --coverage)
endif()
