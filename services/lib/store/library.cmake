# migrations/NNNN_name.sql become migrations_embedded[] (see store/migrate.h).
set(migrations_dir ${CMAKE_SOURCE_DIR}/migrations)
file(GLOB migration_files CONFIGURE_DEPENDS ${migrations_dir}/*.sql)
set(migrations_out ${CMAKE_BINARY_DIR}/generated/migrations/migrations_embedded.c)
add_custom_command(
  OUTPUT ${migrations_out}
  COMMAND ${CMAKE_COMMAND} -DOUT=${migrations_out} "-DFILES=${migration_files}" -P ${CMAKE_SOURCE_DIR}/cmake/embed_migrations.cmake
  DEPENDS ${migration_files} ${CMAKE_SOURCE_DIR}/cmake/embed_migrations.cmake
  VERBATIM)
target_sources(tern_store PRIVATE ${migrations_out})
