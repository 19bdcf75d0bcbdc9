# Interface definitions that their owners publish as Go modules (the CSI spec, the kubelet's protos). They are fetched
# at configure time, checked against the pinned sums of the Go checksum database, and kept in the Go module cache;
# nothing of theirs is committed.
#
#   ashlar_go_module(OUT_DIR_VARIABLE path version h1-sum)
find_program(GO_EXECUTABLE go PATHS /usr/local/go/bin REQUIRED)

function(ashlar_go_module out path version sum)
  set(key "ASHLAR_GO_${path}_${version}")
  string(MAKE_C_IDENTIFIER "${key}" key)
  if(NOT DEFINED CACHE{${key}} OR NOT EXISTS "$CACHE{${key}}")
    execute_process(
      COMMAND "${CMAKE_COMMAND}" -E env GOFLAGS=-mod=mod GO111MODULE=on
              "${GO_EXECUTABLE}" mod download -json "${path}@${version}"
      WORKING_DIRECTORY "${CMAKE_BINARY_DIR}" OUTPUT_VARIABLE json RESULT_VARIABLE rc ERROR_VARIABLE err)
    if(NOT rc EQUAL 0)
      message(FATAL_ERROR "cannot fetch Go module ${path}@${version}: ${err}${json}")
    endif()
    string(JSON got GET "${json}" Sum)
    if(NOT got STREQUAL sum)
      message(FATAL_ERROR "Go module ${path}@${version} has sum ${got}, pinned is ${sum}")
    endif()
    string(JSON dir GET "${json}" Dir)
    set(${key} "${dir}" CACHE INTERNAL "")
  endif()
  set(${out} "$CACHE{${key}}" PARENT_SCOPE)
endfunction()
