# tern-sim: the services' own objects on a simulated machine, log and database. tern-sim-mutants: the same with the deliberate bugs
# of mutations.def compiled in, to be switched on one at a time. The target sim_tests is both; they are not part of what
# is built by default, and never installed.
set(SIM_DIR ${CMAKE_CURRENT_LIST_DIR})
set(SIM_WRAPPED
    pthread_create pthread_join pthread_setname_np pthread_cond_wait pthread_cond_timedwait pthread_cond_signal
    pthread_cond_broadcast clock_gettime nanosleep usleep getrandom kill
    eventfd eventfd_read eventfd_write)
list(TRANSFORM SIM_WRAPPED PREPEND "-Wl,--wrap=" OUTPUT_VARIABLE SIM_LINK)
file(GLOB SIM_SOURCES CONFIGURE_DEPENDS ${SIM_DIR}/*.c)

function(sim_program name)
  add_executable(${name} EXCLUDE_FROM_ALL ${SIM_SOURCES} ${ARGN})
  target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
  target_link_options(${name} PRIVATE ${SIM_LINK})
  target_link_libraries(${name} PRIVATE tern_flags tern_messaging_parts tern_writer_parts tern_feed)
endfunction()

sim_program(tern-sim)

add_executable(sim-mutate EXCLUDE_FROM_ALL ${SIM_DIR}/tool/mutate.c)
set(SIM_MUTANTS)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${SIM_DIR}/mutations.def)
file(READ ${SIM_DIR}/mutations.def SIM_MUTATIONS)
foreach(folder lib/fanout lib/feed writer messaging)
  file(GLOB sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/services/${folder}/*.c)
  foreach(source ${sources})
    # What no mutation is about comes from its library, like everything else.
    string(FIND "${SIM_MUTATIONS}" "\"${source}\"" named)
    if(named EQUAL -1)
      continue()
    endif()
    set(out ${CMAKE_BINARY_DIR}/generated/mutants/${source})
    get_filename_component(out_dir ${out} DIRECTORY)
    file(MAKE_DIRECTORY ${out_dir})
    add_custom_command(
      OUTPUT ${out}
      COMMAND sim-mutate ${CMAKE_SOURCE_DIR}/${source} ${source} ${out}
      DEPENDS sim-mutate ${CMAKE_SOURCE_DIR}/${source} ${SIM_DIR}/mutations.def
      VERBATIM)
    list(APPEND SIM_MUTANTS ${out})
  endforeach()
endforeach()
sim_program(tern-sim-mutants ${SIM_MUTANTS})
set_source_files_properties(${SIM_MUTANTS} PROPERTIES COMPILE_OPTIONS "-w")
target_compile_definitions(tern-sim-mutants PRIVATE SIM_MUTANTS)

add_custom_target(sim_tests DEPENDS tern-sim tern-sim-mutants)
