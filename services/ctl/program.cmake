# libjq has neither a .pc file nor a CMake config in Debian 12.
find_path(JQ_INCLUDE_DIR jq.h REQUIRED)
find_library(JQ_LIBRARY jq REQUIRED)
target_include_directories(tern_ctl_parts SYSTEM PRIVATE ${JQ_INCLUDE_DIR})
target_link_libraries(tern_ctl_parts PUBLIC ${JQ_LIBRARY})

# The man page and the completion come from the program's own table.
add_custom_command(TARGET ternctl POST_BUILD
  COMMAND ${CMAKE_COMMAND} -E env ASAN_OPTIONS=detect_leaks=0 $<TARGET_FILE:ternctl> --man > ${CMAKE_BINARY_DIR}/ternctl.1
  COMMAND ${CMAKE_COMMAND} -E env ASAN_OPTIONS=detect_leaks=0 $<TARGET_FILE:ternctl> --completion > ${CMAKE_BINARY_DIR}/ternctl.bash
  BYPRODUCTS ${CMAKE_BINARY_DIR}/ternctl.1 ${CMAKE_BINARY_DIR}/ternctl.bash
  VERBATIM)
install(FILES ${CMAKE_BINARY_DIR}/ternctl.1 DESTINATION share/man/man1)
install(FILES ${CMAKE_BINARY_DIR}/ternctl.bash DESTINATION share/bash-completion/completions RENAME ternctl)
