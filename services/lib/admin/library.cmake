# The page is part of the program: plain files of page/, as bytes in a C file.
file(GLOB admin_page CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/services/lib/admin/page/*.html
     ${CMAKE_CURRENT_SOURCE_DIR}/services/lib/admin/page/*.css ${CMAKE_CURRENT_SOURCE_DIR}/services/lib/admin/page/*.js
     ${CMAKE_CURRENT_SOURCE_DIR}/services/lib/admin/page/*.svg)
set(admin_files ${CMAKE_BINARY_DIR}/generated/admin/admin_files.c)
add_custom_command(
  OUTPUT ${admin_files}
  COMMAND ${CMAKE_COMMAND} -DOUT=${admin_files} "-DFILES=${admin_page}" -P ${CMAKE_SOURCE_DIR}/cmake/embed_files.cmake
  DEPENDS ${admin_page} ${CMAKE_SOURCE_DIR}/cmake/embed_files.cmake
  VERBATIM)
target_sources(tern_admin PRIVATE ${admin_files})
