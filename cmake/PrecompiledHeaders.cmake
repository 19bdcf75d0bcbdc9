# Precompiled headers: what nearly every file includes is parsed once, which takes a third off a build from nothing. CI
# makes such a build; elsewhere they are off: with them a compiler cache does not recognize the files of another working
# tree, and a file that forgets an include compiles.
#
#   ashlar_precompile(target ashlar_headers|ashlar_test_headers)
option(ASHLAR_PRECOMPILED_HEADERS "parse common headers once" OFF)

set(ASHLAR_COMMON_HEADERS
  <algorithm> <filesystem> <fstream> <functional> <map> <memory> <optional> <set> <string> <thread> <utility> <variant> <vector>
  <absl/container/flat_hash_map.h> <absl/status/statusor.h> <absl/strings/match.h> <absl/strings/str_cat.h>
  <absl/strings/str_join.h> <absl/strings/str_split.h> <absl/time/time.h>
  <google/protobuf/generated_message_reflection.h> <google/protobuf/message.h> <google/protobuf/map_entry.h> <nlohmann/json.hpp>)

if(ASHLAR_PRECOMPILED_HEADERS)
  # GCC takes a precompiled header only where these flags are the same, too.
  add_compile_options(-pthread)
  # GCC 12 reports these falsely on std::string at -O2 (GCC bug 105329), and does not know that a header of the system was
  # one when it comes precompiled. Builds without precompiled headers have them on.
  target_compile_options(ashlar_warnings INTERFACE -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
  file(WRITE "${CMAKE_BINARY_DIR}/headers/empty.cc" "")
  add_library(ashlar_headers STATIC "${CMAKE_BINARY_DIR}/headers/empty.cc")
  target_link_libraries(ashlar_headers PRIVATE absl::statusor protobuf::libprotobuf)
  target_precompile_headers(ashlar_headers PRIVATE ${ASHLAR_COMMON_HEADERS})
  add_executable(ashlar_test_headers EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/headers/empty.cc")
  target_link_libraries(ashlar_test_headers PRIVATE absl::statusor protobuf::libprotobuf GTest::gmock GTest::gtest_main)
  target_precompile_headers(ashlar_test_headers PRIVATE ${ASHLAR_COMMON_HEADERS} <gmock/gmock.h> <gtest/gtest.h>)
endif()

function(ashlar_precompile target headers)
  if(ASHLAR_PRECOMPILED_HEADERS)
    target_precompile_headers(${target} REUSE_FROM ${headers})
  endif()
endfunction()
