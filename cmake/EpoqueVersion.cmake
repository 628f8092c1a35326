# SPDX-License-Identifier: BSL-1.0
#
# The versions are written once: the library's in include/epoque/base/config.hpp, the C interface's in ffi/epoque.h.

# epoque_read_version(<library version> <ABI version>): sets both variables in the caller's scope, "0.1.0" and "1.0".
function(epoque_read_version library abi)
    set(config ${CMAKE_CURRENT_SOURCE_DIR}/include/epoque/base/config.hpp)
    file(STRINGS ${config} lines REGEX "^#define EPOQUE_VERSION_(MAJOR|MINOR|PATCH) [0-9]+$")
    list(TRANSFORM lines REPLACE "^.* " "")
    list(LENGTH lines count)
    if(NOT count EQUAL 3)
        message(FATAL_ERROR "${config} must define EPOQUE_VERSION_MAJOR, _MINOR and _PATCH, in this order, as numbers.")
    endif()
    list(JOIN lines "." version)
    set(${library} ${version} PARENT_SCOPE)

    set(header ${CMAKE_CURRENT_SOURCE_DIR}/ffi/epoque.h)
    file(STRINGS ${header} line REGEX "^#define EPQ_ABI_VERSION [0-9]+u$")
    if(NOT line MATCHES "([0-9]+)u$")
        message(FATAL_ERROR "${header} must define EPQ_ABI_VERSION as <major * 1000 + minor>u.")
    endif()
    math(EXPR major "${CMAKE_MATCH_1} / 1000")
    math(EXPR minor "${CMAKE_MATCH_1} % 1000")
    set(${abi} ${major}.${minor} PARENT_SCOPE)

    # A change of either file configures again.
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${config} ${header})
endfunction()
