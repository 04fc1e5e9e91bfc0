# Four programs, each only a handler table on the libraries, for the public protocol suites and tests/conformance/*.test.js.
# Built with everything else, never installed.
foreach(name engineio socketio websocket)
  add_executable(conf-${name} ${CMAKE_CURRENT_LIST_DIR}/conf_${name}.c ${CMAKE_CURRENT_LIST_DIR}/conf_host.c)
  target_link_libraries(conf-${name} PRIVATE tern_flags tern_realtime)
endforeach()
file(GLOB client CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/conf_client*.c)
add_executable(conf-client ${client} ${CMAKE_CURRENT_LIST_DIR}/conf_host.c)
target_link_libraries(conf-client PRIVATE tern_flags tern_realtime)
