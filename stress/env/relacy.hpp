// SPDX-License-Identifier: BSL-1.0
/// @file
/// Debian's relacy-dev, tamed: included once, here, and nowhere else.
///
/// Relacy is from 2008: it defines `new`, `delete`, `malloc`, `assert`, `errno`, `$` and the names of the memory orders
/// as macros, so everything that might mention one of them must have been included before, and the macros must be gone
/// afterwards. Its emulations of pthread and Win32 are left out by their include guards; nobody here needs them.
///
/// Flags for a translation unit that includes this: g++ -std=c++20 -O2 -g -DRL_DO_ASSERT=1 -fno-lifetime-dse.
/// Without -fno-lifetime-dse gcc drops the store that marks a destroyed object, and with it all
/// detection of use after free, silently. One such translation unit per executable, never with a sanitizer.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <shared_mutex>
#include <source_location>
#include <span>
#include <sstream>
#include <stack>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>
#include <version>

#include <sys/times.h>
#include <ucontext.h>
#include <unistd.h>

#pragma push_macro("assert")
#pragma push_macro("errno")

#define RL_WINDOWS_HPP
#define RL_PTHREAD_HPP
#include <relacy/relacy.hpp>

#undef $
#undef TLS_T
#undef TlsAlloc
#undef TlsFree
#undef TlsGetValue
#undef TlsSetValue
#undef VAR
#undef VAR_T
#undef calloc
#undef delete
#undef free
#undef malloc
#undef memory_order_acq_rel
#undef memory_order_acquire
#undef memory_order_consume
#undef memory_order_relaxed
#undef memory_order_release
#undef memory_order_seq_cst
#undef new
#undef realloc

#pragma pop_macro("errno")
#pragma pop_macro("assert")
