// SPDX-License-Identifier: BSL-1.0
/// @file
/// All of epoque's C++ interface.
#pragma once

#include "epoque/bounded_queue.hpp"
#include "epoque/channel.hpp"
#include "epoque/concepts.hpp"
#include "epoque/deque.hpp"
#include "epoque/domain.hpp"
#include "epoque/mpsc_queue.hpp"
#include "epoque/object_table.hpp"
#include "epoque/queue.hpp"
#include "epoque/rcu.hpp"
#include "epoque/snapshot.hpp"
#include "epoque/spsc_queue.hpp"
#include "epoque/stack.hpp"
#include "epoque/task_pool.hpp"
