# libjq has neither a .pc file nor a CMake config in Debian 12.
find_path(JQ_INCLUDE_DIR jq.h REQUIRED)
find_library(JQ_LIBRARY jq REQUIRED)
target_include_directories(tern_ctl_parts SYSTEM PRIVATE ${JQ_INCLUDE_DIR})
target_link_libraries(tern_ctl_parts PUBLIC ${JQ_LIBRARY})
