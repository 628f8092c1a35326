# SPDX-License-Identifier: BSL-1.0
#
# How epoque's targets are made: one function for each kind of executable, and epoque_home() for a whole structure.
# Each function does nothing when its kind is switched off (EPOQUE_BUILD_*).

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
        if(EPOQUE_SANITIZE MATCHES "thread")
            # clang's runtime defines operator new and delete strongly; tests that replace them come first, and win.
            target_link_options(${target} PRIVATE LINKER:-z,muldefs)
        endif()
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

# epoque_test(<name> [LINK <library>...]): tests/<name>_test.cpp as executable <name>_test, each of its tests registered
# with CTest under the label `unit`. LINK replaces the C++ library.
function(epoque_test name)
    if(NOT EPOQUE_BUILD_TESTS)
        return()
    endif()
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
    if(NOT arg_LINK)
        set(arg_LINK epoque)
    endif()
    add_executable(${name}_test tests/${name}_test.cpp)
    epoque_compile_as_ours(${name}_test)
    target_include_directories(${name}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(${name}_test PRIVATE ${arg_LINK} GTest::gmock GTest::gtest_main rapidcheck Threads::Threads)
    gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST TEST_PREFIX "${name}." PROPERTIES LABELS unit)
    # And all of it without asymmetric barriers, in one process: a second start for each test would cost more than the tests.
    add_test(NAME ${name}.fallback COMMAND ${name}_test)
    set_tests_properties(${name}.fallback PROPERTIES LABELS unit ENVIRONMENT EPOQUE_BARRIER=fallback)
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

# epoque_stress_test(<path>): stress/<path>_test.cpp as executable <name>_test, in the way of epoque_test.
function(epoque_stress_test path)
    if(NOT EPOQUE_BUILD_STRESS OR NOT EPOQUE_BUILD_TESTS)
        return()
    endif()
    cmake_path(GET path FILENAME name)
    add_executable(${name}_test stress/${path}_test.cpp)
    epoque_compile_as_ours(${name}_test)
    target_link_libraries(${name}_test PRIVATE epoque epoque_harness GTest::gmock GTest::gtest_main rapidcheck)
    gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST TEST_PREFIX "${name}." PROPERTIES LABELS unit)
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
    target_compile_options(${name}_model PRIVATE -O1 -g -fno-lifetime-dse)
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
        if(arg_FREEZE AND EPOQUE_BUILD_TESTS)
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
