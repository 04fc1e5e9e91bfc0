# Civetweb is compiled from its source package as part of services/lib/http (one translation unit
# of ours includes civetweb.c), because the hand-over of sockets needs its private structures.
# scripts/setup puts the source into the cache folder and names it; CIVETWEB_SOURCE_DIR lets others
# point at their own copy.
set(CIVETWEB_SOURCE_DIR "$ENV{CIVETWEB_SOURCE_DIR}" CACHE PATH "Civetweb 1.15 source tree")
if(NOT CIVETWEB_SOURCE_DIR)
  set(cache "$ENV{TERN_CACHE_DIR}")
  if(NOT cache)
    set(cache "$ENV{HOME}/.cache/tern")
  endif()
  file(GLOB found ${cache}/civetweb-1.*)
  foreach(dir ${found})
    if(EXISTS ${dir}/src/civetweb.c)
      set(CIVETWEB_SOURCE_DIR ${dir} CACHE PATH "Civetweb 1.15 source tree" FORCE)
    endif()
  endforeach()
endif()
if(NOT EXISTS ${CIVETWEB_SOURCE_DIR}/src/civetweb.c)
  message(FATAL_ERROR "Civetweb's source is missing: run scripts/setup, or set CIVETWEB_SOURCE_DIR")
endif()
add_library(civetweb_headers INTERFACE)
target_include_directories(civetweb_headers SYSTEM INTERFACE
    ${CIVETWEB_SOURCE_DIR}/include ${CIVETWEB_SOURCE_DIR}/src)
