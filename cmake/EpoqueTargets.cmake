# SPDX-License-Identifier: BSL-1.0
#
# How epoque's targets are made: one function for each kind of executable, and epoque_home() for a whole structure.
# Each function that makes a target does nothing when its kind is switched off (EPOQUE_BUILD_*).

include(GoogleTest)

# epoque_compile_as_ours(<target>): our warnings and the sanitizers of this build.
function(epoque_compile_as_ours target)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
        # gcc's bug 105651: it sees overlaps inside of std::string that cannot be.
        target_compile_options(${target} PRIVATE -Wno-restrict)
    endif()
    # libstdc++ 12 uses what it deprecates, and clang does not take it for a system header's business; g++ tells of ours.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-deprecated-declarations>)
    if(EPOQUE_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
    if(EPOQUE_SANITIZE)
        target_compile_options(${target} PRIVATE -fsanitize=${EPOQUE_SANITIZE} -fno-omit-frame-pointer)
        target_link_options(${target} PRIVATE -fsanitize=${EPOQUE_SANITIZE})
        if(EPOQUE_SANITIZE MATCHES "undefined")
            target_compile_options(${target} PRIVATE -fno-sanitize-recover=all)
        endif()
    endif()
    set_target_properties(${target} PROPERTIES CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
endfunction()

# ---- tests -----------------------------------------------------------------------------------------------------------

if(EPOQUE_BUILD_TESTS)
    find_package(GTest REQUIRED)
    find_package(rapidcheck REQUIRED)
endif()

# epoque_register(<name>): what <name>_test tests, under the label `unit`. Without sanitizers each test is one of CTest's;
# under a sanitizer, where a start costs more than most tests, all of them run in one process. What such a process ran is in
# reports/<name>.xml, where ci/count_tests counts it.
function(epoque_register name)
    if(EPOQUE_SANITIZE)
        epoque_register_whole(${name})
    else()
        gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST TEST_PREFIX "${name}." PROPERTIES LABELS unit)
    endif()
endfunction()

# epoque_register_whole(<name> [SUFFIX <suffix>] [ENVIRONMENT <variable>]): all of <name>_test as the test <name><suffix>.
function(epoque_register_whole name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "SUFFIX;ENVIRONMENT" "")
    set(test ${name}${arg_SUFFIX})
    add_test(NAME ${test} COMMAND ${name}_test --gtest_output=xml:${PROJECT_BINARY_DIR}/reports/${test}.xml)
    set_tests_properties(${test} PROPERTIES LABELS unit ENVIRONMENT "${arg_ENVIRONMENT}")
endfunction()

# epoque_compile_for_tests(<target>): as ours, but soon. The typed suites take g++ two and clang five times as long with full
# optimisation, and a sanitizer sees more without it, not less. As it ships, the code is tested by epoque-stress, the freeze
# tests and the benchmarks.
function(epoque_compile_for_tests target)
    epoque_compile_as_ours(${target})
    if(EPOQUE_SANITIZE)
        target_compile_options(${target} PRIVATE -O0)
    else()
        target_compile_options(${target} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
    endif()
    if(EPOQUE_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
        # clang++ would bring an operator new and delete that win over those of a test that replaces them.
        set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
        target_link_libraries(${target} PRIVATE stdc++ m)
    endif()
endfunction()

# epoque_precompile_headers(<target>): what almost every test includes is compiled once, for the first one. (ci/lint reads
# each file without that.)
function(epoque_precompile_headers target)
    get_property(first GLOBAL PROPERTY EPOQUE_PRECOMPILED_FOR)
    if(first)
        target_precompile_headers(${target} REUSE_FROM ${first})
    else()
        set_property(GLOBAL PROPERTY EPOQUE_PRECOMPILED_FOR ${target})
        target_precompile_headers(${target} PRIVATE <gtest/gtest.h> <gmock/gmock.h> <rapidcheck.h>
            <algorithm> <atomic> <barrier> <chrono> <functional> <future> <iterator> <map> <memory> <memory_resource> <numeric>
            <optional> <random> <set> <span> <string> <thread> <vector>)
    endif()
endfunction()

# epoque_test(<name> [LINK <library>...]): tests/<name>_test.cpp as executable <name>_test. LINK replaces the C++ library.
function(epoque_test name)
    if(NOT EPOQUE_BUILD_TESTS)
        return()
    endif()
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
    if(NOT arg_LINK)
        set(arg_LINK epoque)
    endif()
    add_executable(${name}_test tests/${name}_test.cpp)
    epoque_compile_for_tests(${name}_test)
    epoque_precompile_headers(${name}_test)
    target_include_directories(${name}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(${name}_test PRIVATE ${arg_LINK} GTest::gmock GTest::gtest_main rapidcheck Threads::Threads)
    epoque_register(${name})
    # And all of it without asymmetric barriers.
    epoque_register_whole(${name} SUFFIX .fallback ENVIRONMENT EPOQUE_BARRIER=fallback)
endfunction()

# epoque_c_test(<name>): tests/<name>_test.c, C99, against the shared library; one CTest test with the label `unit`.
function(epoque_c_test name)
    if(NOT EPOQUE_BUILD_TESTS)
        return()
    endif()
    add_executable(${name}_test tests/${name}_test.c)
    epoque_compile_as_ours(${name}_test)
    set_target_properties(${name}_test PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
    # Its operator new, written in C, lets std::bad_alloc through.
    target_compile_options(${name}_test PRIVATE -fexceptions)
    if(EPOQUE_SANITIZE MATCHES "undefined")
        # The C++ half of UBSan's runtime, which the library needs. (TSan's would bring its own operator new.)
        set_target_properties(${name}_test PROPERTIES LINKER_LANGUAGE CXX)
    endif()
    target_link_libraries(${name}_test PRIVATE epoque_c Threads::Threads ${CMAKE_DL_LIBS})
    add_test(NAME ${name} COMMAND ${name}_test)
    set_tests_properties(${name} PROPERTIES LABELS unit)
endfunction()

# epoque_abi_client(<version>): tests/abi/<version>/client.c, C99, a program of an older version of the C interface: compiled against
# the frozen epoque.h beside it, run with the shared library of today; one CTest test with the label `unit`.
function(epoque_abi_client version)
    if(NOT EPOQUE_BUILD_TESTS)
        return()
    endif()
    set(target abi_${version}_client)
    add_executable(${target} tests/abi/${version}/client.c)
    epoque_compile_as_ours(${target})
    set_target_properties(${target} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
    if(EPOQUE_SANITIZE MATCHES "undefined")
        set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX) # as epoque_c_test
    endif()
    # Not epoque_c's header: an #include "epoque.h" finds the one in its own folder first.
    target_link_libraries(${target} PRIVATE epoque_c)
    add_test(NAME ${target} COMMAND ${target})
    set_tests_properties(${target} PROPERTIES LABELS unit)
endfunction()

# ---- stress and models -----------------------------------------------------------------------------------------------

# epoque_harness(<source>...): what epoque-stress and the models share: histories, monitors, reports.
function(epoque_harness)
    if(NOT EPOQUE_BUILD_STRESS)
        return()
    endif()
    find_package(CLI11 REQUIRED)
    find_package(fmt REQUIRED)
    find_package(nlohmann_json REQUIRED)
    find_package(Boost REQUIRED)
    add_library(epoque_harness STATIC ${ARGN})
    epoque_compile_as_ours(epoque_harness)
    target_include_directories(epoque_harness PUBLIC ${PROJECT_SOURCE_DIR}/stress ${PROJECT_SOURCE_DIR}/include)
    # Where failures look up the source tags that they show.
    target_compile_definitions(epoque_harness PUBLIC EPOQUE_INCLUDE_DIR="${PROJECT_SOURCE_DIR}/include")
    target_link_libraries(epoque_harness PUBLIC
        CLI11::CLI11 fmt::fmt nlohmann_json::nlohmann_json Boost::headers Threads::Threads)
endfunction()

# epoque_stress_test(<path>): stress/<path>_test.cpp as executable <name>_test, in the way of epoque_test. Not under TSan:
# these run one thread at a time, and hand on by locks, so that it has no race to see.
function(epoque_stress_test path)
    if(NOT EPOQUE_BUILD_STRESS OR NOT EPOQUE_BUILD_TESTS OR EPOQUE_SANITIZE MATCHES "thread")
        return()
    endif()
    cmake_path(GET path FILENAME name)
    add_executable(${name}_test stress/${path}_test.cpp)
    epoque_compile_as_ours(${name}_test)
    target_link_libraries(${name}_test PRIVATE epoque epoque_harness GTest::gmock GTest::gtest_main rapidcheck)
    epoque_register(${name})
endfunction()

# epoque_stress_program(<main>...): the executable epoque-stress, to which each home adds its scenarios.
function(epoque_stress_program)
    if(NOT EPOQUE_BUILD_STRESS)
        return()
    endif()
    add_executable(epoque-stress ${ARGN})
    epoque_compile_as_ours(epoque-stress)
    target_link_libraries(epoque-stress PRIVATE epoque epoque_harness)
    set_target_properties(epoque-stress PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/stress)
    # A short run, so that every sanitizer sees every scenario (label `stress`); ci/stress is the long one.
    add_test(NAME epoque-stress.short COMMAND epoque-stress --seconds 10)
    set_tests_properties(epoque-stress.short PROPERTIES LABELS stress)
endfunction()

# epoque_model(<name>): stress/<name>_model.cpp as executable <name>_model, run by CTest under the label `model`.
# Relacy needs g++, these flags (gcc drops its use-after-free detection without -fno-lifetime-dse), and no sanitizer.
# It has its own Env and its own `misuse`, so it links nothing of the library.
function(epoque_model name)
    if(NOT EPOQUE_BUILD_STRESS OR EPOQUE_SANITIZE OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        return()
    endif()
    find_path(EPOQUE_RELACY relacy/relacy.hpp REQUIRED)
    add_executable(${name}_model stress/${name}_model.cpp)
    epoque_compile_as_ours(${name}_model)
    target_compile_definitions(${name}_model PRIVATE RL_DO_ASSERT=1)
    target_compile_options(${name}_model PRIVATE -O1 -fno-lifetime-dse)
    target_include_directories(${name}_model SYSTEM PRIVATE ${EPOQUE_RELACY})
    target_link_libraries(${name}_model PRIVATE epoque_harness)
    add_test(NAME ${name}_model COMMAND ${name}_model)
    set_tests_properties(${name}_model PROPERTIES LABELS model)
endfunction()

# ---- fuzzing ---------------------------------------------------------------------------------------------------------

# epoque_fuzz(<home> [SOURCES <source>...]): fuzz/<home>_fuzz.cpp, and what else it needs, as executable <home>_fuzz. With
# libFuzzer where EPOQUE_SANITIZE says `fuzzer`; elsewhere with a main that replays inputs. Either way CTest replays the
# corpus under the label `fuzz`.
function(epoque_fuzz home)
    if(NOT EPOQUE_BUILD_FUZZ)
        return()
    endif()
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES")
    add_executable(${home}_fuzz fuzz/${home}_fuzz.cpp fuzz/allocation.cpp ${arg_SOURCES})
    epoque_compile_as_ours(${home}_fuzz)
    target_include_directories(${home}_fuzz PRIVATE ${PROJECT_SOURCE_DIR}/fuzz ${PROJECT_SOURCE_DIR}/ffi)
    target_link_libraries(${home}_fuzz PRIVATE epoque Threads::Threads)
    set(corpus ${PROJECT_SOURCE_DIR}/fuzz/corpus/${home})
    if(EPOQUE_SANITIZE MATCHES "fuzzer")
        target_link_options(${home}_fuzz PRIVATE -fsanitize=fuzzer)
        add_test(NAME ${home}_fuzz.corpus COMMAND ${home}_fuzz -runs=0 ${corpus})
    else()
        target_sources(${home}_fuzz PRIVATE fuzz/replay_main.cpp)
        add_test(NAME ${home}_fuzz.corpus COMMAND ${home}_fuzz ${corpus})
    endif()
    set_tests_properties(${home}_fuzz.corpus PROPERTIES LABELS fuzz)
endfunction()

# ---- benchmarks ------------------------------------------------------------------------------------------------------

# epoque_bench_program(<main>...): the executable epoque-bench, to which each home adds its benchmarks. CTest runs each for a
# moment (label `bench`), so that none of them rots; the figures of such a run mean nothing.
function(epoque_bench_program)
    if(NOT EPOQUE_BUILD_BENCH)
        return()
    endif()
    find_package(benchmark REQUIRED)
    find_package(Boost REQUIRED)
    add_executable(epoque-bench ${ARGN})
    epoque_compile_as_ours(epoque-bench)
    target_link_libraries(epoque-bench PRIVATE epoque benchmark::benchmark Boost::headers Threads::Threads)
    add_test(NAME epoque-bench.starts COMMAND epoque-bench --benchmark_min_time=0.001 --benchmark_repetitions=1)
    set_tests_properties(epoque-bench.starts PROPERTIES LABELS bench)
endfunction()

# ---- a whole structure -----------------------------------------------------------------------------------------------

# epoque_home(<home> [MODEL] [FREEZE]): everything that the structure include/epoque/<home>.hpp brings along.
function(epoque_home home)
    cmake_parse_arguments(PARSE_ARGV 1 arg "MODEL;FREEZE" "" "")
    epoque_test(${home})
    if(EPOQUE_BUILD_STRESS)
        target_sources(epoque-stress PRIVATE stress/${home}_stress.cpp)
        if(arg_FREEZE AND TARGET freeze_test)
            target_sources(freeze_test PRIVATE stress/${home}_freeze.cpp)
        endif()
    endif()
    if(arg_MODEL)
        epoque_model(${home})
    endif()
    epoque_fuzz(${home})
    if(EPOQUE_BUILD_BENCH)
        target_sources(epoque-bench PRIVATE bench/${home}_bench.cpp)
    endif()
endfunction()
