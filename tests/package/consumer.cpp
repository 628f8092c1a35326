// SPDX-License-Identifier: BSL-1.0
// A user's first program against an installed epoque.
#include <epoque/queue.hpp>

#include <cstdio>
#include <memory>

int main() {
    epoque::queue<std::unique_ptr<int>> queue;
    queue.push(std::make_unique<int>(42));
    auto answer = queue.try_pop();
    if (!answer || **answer != 42) {
        std::fputs("the element did not come back\n", stderr);
        return 1;
    }
    return 0;
}
