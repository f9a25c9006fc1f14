# SPDX-License-Identifier: Apache-2.0
# Target thermoe_header_check (not in `all`): compiles every header of src/ alone, and twice in one
# file, so that each includes what it uses and guards itself. tools/check builds it.

function(thermoe_header_check)
  file(GLOB headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/src"
       "${PROJECT_SOURCE_DIR}/src/*/*.h" "${PROJECT_SOURCE_DIR}/src/*/*/*.h")
  set(sources)
  foreach(header IN LISTS headers)
    string(REGEX MATCH "^[^/]+" folder "${header}")
    if(NOT folder IN_LIST THERMOE_FOLDERS)
      continue()
    endif()
    string(REPLACE "/" "_" source "${header}.cpp")
    set(source "${PROJECT_BINARY_DIR}/header_check/${source}")
    file(CONFIGURE OUTPUT "${source}" CONTENT "#include \"${header}\"\n#include \"${header}\"\n")
    list(APPEND sources "${source}")
  endforeach()
  if(NOT sources OR NOT THERMOE_TORCH)
    return()
  endif()
  add_library(thermoe_header_check OBJECT EXCLUDE_FROM_ALL ${sources})
  target_compile_options(thermoe_header_check PRIVATE -O0 -g0)
  target_include_directories(thermoe_header_check PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(thermoe_header_check PRIVATE
    fmt::fmt nlohmann_json::nlohmann_json CLI11::CLI11 thermoe::torch)
endfunction()
