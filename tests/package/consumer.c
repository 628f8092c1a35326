/* SPDX-License-Identifier: BSL-1.0
 * A user's first C program against the installed shared library. */
#include <epoque.h>

#include <stdio.h>
#include <string.h>

int main(void) {
    epq_options options;
    epq_queue queue;
    int sent = 42;
    int received = 0;

    if (epq_abi_version() / 1000 != EPQ_ABI_VERSION / 1000) {
        fputs("header and library have different major versions\n", stderr);
        return 1;
    }
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.element_size = sizeof sent;
    if (epq_queue_create(&options, &queue, NULL) != EPQ_OK ||
        epq_queue_try_send(queue, &sent, sizeof sent, NULL) != EPQ_OK ||
        epq_queue_try_recv(queue, &received, sizeof received, NULL) != EPQ_OK || received != sent ||
        epq_queue_destroy(queue, NULL) != EPQ_OK || epq_queue_destroy(queue, NULL) != EPQ_STALE) {
        fputs("the element did not come back, or the handle lived on\n", stderr);
        return 1;
    }
    return 0;
}
