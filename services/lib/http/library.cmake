# civetweb.c is somebody else's: compiled with what Tern uses, and without our warnings.
set_source_files_properties(${CMAKE_SOURCE_DIR}/services/lib/http/civetweb_unit.c PROPERTIES
    COMPILE_OPTIONS "-w"
    COMPILE_DEFINITIONS "USE_IPV6;NO_SSL;NO_CGI;NO_CACHING;NO_FILES;NO_NONCE_CHECK;SOCKET_TIMEOUT_QUANTUM=200"
    OBJECT_DEPENDS ${CIVETWEB_SOURCE_DIR}/src/civetweb.c)
