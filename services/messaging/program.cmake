# The demo page beside the binary: build/<preset>/share/tern/page. The stock Socket.IO client comes from
# npm (scripts/setup runs npm ci in page/).
set(page_source ${CMAKE_CURRENT_LIST_DIR}/page)
set(page_out ${CMAKE_BINARY_DIR}/share/tern/page)
file(GLOB page_files CONFIGURE_DEPENDS ${page_source}/*.html ${page_source}/*.css ${page_source}/*.js ${page_source}/*.svg)
set(page_client ${page_source}/node_modules/socket.io-client/dist/socket.io.esm.min.js)
if(EXISTS ${page_client})
  list(APPEND page_files ${page_client})
else()
  message(STATUS "The demo page lacks the Socket.IO client: run scripts/setup, or npm ci in services/messaging/page")
endif()
add_custom_command(
  OUTPUT ${page_out}/.stamp
  COMMAND ${CMAKE_COMMAND} -E make_directory ${page_out}
  COMMAND ${CMAKE_COMMAND} -E copy ${page_files} ${page_out}
  COMMAND ${CMAKE_COMMAND} -E touch ${page_out}/.stamp
  DEPENDS ${page_files}
  VERBATIM)
add_custom_target(tern_page ALL DEPENDS ${page_out}/.stamp)
install(DIRECTORY ${page_out} DESTINATION share/tern PATTERN .stamp EXCLUDE)
