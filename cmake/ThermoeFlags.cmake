# SPDX-License-Identifier: Apache-2.0
# Language level, warnings, optimisation and sanitizers: one place, the same for every target.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

# -g1 (line tables) keeps stack traces useful and the LibTorch objects and precompiled header small.
# Never -march=native: binaries run on any x86-64, and hot kernels are compiled for several
# instruction sets (src/core/cpu_isa.h).
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wall> $<$<COMPILE_LANGUAGE:CXX>:-Wextra>
                    $<$<COMPILE_LANGUAGE:CXX>:-Wpedantic>)
if(THERMOE_WERROR)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()

# RUNPATH, not RPATH: LD_LIBRARY_PATH can then point a built binary at another machine's LibTorch.
add_link_options(-Wl,--enable-new-dtags)

if(THERMOE_SANITIZE STREQUAL "address")
  # vptr needs type information that LibTorch's shared objects do not export.
  set(flags -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined
      -fno-omit-frame-pointer)
elseif(THERMOE_SANITIZE STREQUAL "thread")
  set(flags -fsanitize=thread -fno-omit-frame-pointer)
elseif(THERMOE_SANITIZE STREQUAL "fuzz")
  # A value that does not fit its integer is not in clang's `undefined`, and what parsers do wrong.
  # The words that compares would teach are in the dictionaries: tracing takes a third of the time.
  set(flags -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow -fno-sanitize=vptr
      -fno-sanitize-coverage=trace-cmp,indirect-calls
      -fno-sanitize-recover=all -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS -DTHERMOE_FUZZ)
elseif(THERMOE_SANITIZE STREQUAL "")
  set(flags "")
else()
  message(FATAL_ERROR "THERMOE_SANITIZE is '${THERMOE_SANITIZE}'; it may be empty, 'address', 'thread' or 'fuzz'.")
endif()
if(flags)
  add_compile_options(${flags})
  add_link_options(${flags})
endif()

# gcc's ThreadSanitizer aborts on kernels with many random mmap bits; run its tests without them.
if(THERMOE_SANITIZE STREQUAL "thread")
  execute_process(COMMAND setarch -R true RESULT_VARIABLE setarch_failed OUTPUT_QUIET ERROR_QUIET)
  if(NOT setarch_failed)
    set(CMAKE_CROSSCOMPILING_EMULATOR "setarch;-R")
  endif()
endif()
