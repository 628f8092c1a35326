# SPDX-License-Identifier: BSL-1.0
"""ci/check_orderings accepts a header that explains its orders, and finds each kind of gap that is planted in it."""

import unittest

from support import ScratchRepository

HEADER = "include/epoque/core/cell.hpp"
GOOD = """
template <class Env>
struct cell {
    void push(int value) {
        // [push.write] relaxed: [push.publish] orders it.
        data.store(value, Env::relaxed);
        // [push.publish] release: pairs with [pop.take]
        //   The value must be visible to whoever reads full.
        state.store(1, Env::release);
    }
    int pop() {
        // [pop.take] acquire: pairs with [push.publish]
        //   We read the value next.
        while (state.load(std::memory_order_acquire) != 1) {
            Env::pause();
        }
        // [pop.read] relaxed: [pop.take] ordered it.
        return data.load(std::memory_order_relaxed);
    }
    void pin() {
        // [pin.publish] barrier: pairs with [scan.state]
        //   If our store is first, the scan sees it.
        //   If the scan is first, we see what it saw.
        Env::store_light(fast, mine, 1);
    }
    void scan() {
        // [scan.state] barrier: pairs with [pin.publish]
        //   As [pin.publish].
        if (Env::load_heavy(fast, mine) != 0) {
            return;
        }
        int seen = 0;
        // [scan.step] acq_rel: pairs with [scan.step]
        //   One scan sees the one before it. Failure (relaxed): somebody else does it.
        mine.compare_exchange_strong(seen, 2, Env::acq_rel, Env::relaxed);
    }
};
"""


class CheckOrderings(ScratchRepository):
    def check(self, text=None, *options):
        if text is not None:
            self.cpp(HEADER, text)
        return self.run_here("ci/check_orderings", *options)

    def planted(self, old, new):
        """The good header with one change."""
        self.assertEqual(GOOD.count(old), 1, f"the fixture must contain this once: {old}")
        return self.check(GOOD.replace(old, new))

    def test_an_explained_header_passes_with_its_counts(self):
        result = self.check(GOOD)
        self.assert_clean(result)
        self.assertEqual(result.stdout, "7 atomic calls, 7 tags, 100 % explained\n")

    def test_list_shows_each_tag_with_line_order_partners_and_calls(self):
        result = self.check(GOOD, "--list")
        self.assertIn(f"{HEADER}:8: [push.publish] release [pop.take] calls=1\n", result.stdout)

    # ---- the call

    def test_a_call_without_order_is_found(self):
        self.assert_finds(
            self.planted("state.store(1, Env::release)", "state.store(1)"),
            "cell.hpp:10: store(1) needs an explicit order",
            "[push.publish] explains no atomic call",
        )

    def test_a_cas_with_one_order_is_found(self):
        self.assert_finds(
            self.planted("Env::acq_rel, Env::relaxed", "Env::acq_rel"),
            "needs both orders, success and failure",
            "[scan.step] explains no atomic call",
        )

    def test_consume_is_found(self):
        self.assert_finds(
            self.planted("state.load(std::memory_order_acquire)", "state.load(std::memory_order_consume)"),
            "memory_order_consume, which no compiler implements",
            "[pop.take] explains no atomic call",
        )

    def test_a_fence_or_a_free_function_is_found(self):
        self.assert_finds(
            self.planted("Env::pause();", "std::atomic_thread_fence(Env::seq_cst);"), "std::atomic_thread_fence"
        )

    def test_a_call_without_tag_is_found(self):
        self.assert_finds(
            self.planted("Env::pause();", "other.fetch_add(1, Env::relaxed);"), "cell.hpp:16: fetch_add has no tag"
        )

    def test_a_loop_s_tag_does_not_cover_what_its_body_orders(self):
        self.assert_finds(
            self.planted("Env::pause();", "(void)state.load(Env::acquire);"), "cell.hpp:16: load has no tag"
        )

    def test_a_relaxed_tag_covers_the_body_of_its_statement(self):
        self.assert_clean(
            self.check(
                "void raise(int n) {\n"
                "    // [raise.max] relaxed: a statistic.\n"
                "    if (most.load(Env::relaxed) < n) {\n"
                "        most.store(n, Env::relaxed);\n"
                "    }\n"
                "}\n"
            )
        )

    def test_a_tag_does_not_reach_over_another_statement(self):
        self.assert_finds(
            self.planted("        return data.load(", "        int x = 0;\n        return x + data.load("),
            "load has no tag above it",
            "[pop.read] explains no atomic call",
        )

    def test_calls_in_lambdas_and_initializers_are_statements_of_their_own(self):
        self.assert_finds(
            self.check(
                "auto f = [] {\n"
                "    work();\n"
                "    // [f.look] relaxed: a statistic.\n"
                "    return pair{a.load(Env::relaxed), b.load(Env::relaxed)};\n"
                "};\n"
                "void g() {\n"
                "    call([&] {\n"
                "        c.store(0, Env::relaxed);\n"
                "    });\n"
                "}\n"
            ),
            "cell.hpp:9: store has no tag",
        )

    def test_code_in_comments_and_strings_is_not_code(self):
        self.assert_clean(
            self.check('// a.load()\n/* b.store(1) */\nconst char* s = "c.load()";\n' + GOOD)
        )

    # ---- the tag

    def test_a_tag_that_is_there_twice_is_found(self):
        self.assert_finds(
            self.planted("[pop.read] relaxed", "[push.write] relaxed"),
            "[push.write] is already in line 6",
            "cell.hpp:19: load has no tag",
        )

    def test_a_tag_with_an_unknown_order_is_found(self):
        self.assert_finds(
            self.planted("[pop.read] relaxed:", "[pop.read] relaxd:"),
            "[pop.read] has the order 'relaxd'",
            "mentions [pop.read], which does not exist",
            "load has no tag",
        )

    def test_an_order_that_differs_from_the_comment_is_found(self):
        self.assert_finds(
            self.planted("state.store(1, Env::release)", "state.store(1, Env::seq_cst)"),
            "store is seq_cst, but its comment says [push.publish] release",
        )

    def test_a_weakened_order_is_found(self):
        self.assert_finds(
            self.planted("state.store(1, Env::release)", "state.store(1, Env::relaxed)"),
            "a part of the statement is relaxed, of which its comment",
            "[push.publish] says release, but what it stands above is relaxed",
        )

    def test_a_weakened_cas_is_found_although_its_comment_names_the_failure(self):
        self.assert_finds(
            self.planted("Env::acq_rel, Env::relaxed", "Env::relaxed, Env::relaxed"),
            "[scan.step] says acq_rel, but what it stands above is relaxed",
        )

    def test_a_failure_order_that_the_comment_leaves_out_is_found(self):
        self.assert_finds(
            self.planted("Failure (relaxed): somebody else does it.", "Nothing else."), "its failure is relaxed"
        )

    def test_a_missing_reason_is_found(self):
        self.assert_finds(self.planted(" [pop.take] ordered it.", ""), "[pop.read] gives no reason")
        self.assert_finds(
            self.planted("        //   We read the value next.\n", ""), "[pop.take] gives no reason"
        )

    def test_a_relaxed_operation_with_a_partner_is_found(self):
        self.assert_finds(
            self.planted("relaxed: [pop.take] ordered it.", "relaxed: pairs with [pop.take]\n        //   Why not."),
            "[pop.read] is relaxed, which pairs with nothing",
        )

    def test_a_missing_partner_is_found(self):
        self.assert_finds(
            self.planted("acquire: pairs with [push.publish]", "acquire: we need it"),
            "[pop.take] is acquire and names no partner",
            "[push.publish] pairs with [pop.take] (" + HEADER + ":13), which does not name [push.publish] in turn",
        )

    def test_a_dangling_partner_is_found(self):
        self.assert_finds(
            self.planted("release: pairs with [pop.take]", "release: pairs with [pop.take], [pop.gone]"),
            "[push.publish] pairs with [pop.gone], which does not exist",
        )

    def test_a_one_sided_partner_is_found(self):
        self.assert_finds(
            self.planted("barrier: pairs with [pin.publish]", "barrier: pairs with [pin.publish], [push.publish]"),
            "[scan.state] pairs with [push.publish] (" + HEADER + ":8), which does not name [scan.state] in turn",
        )

    def test_partners_that_cannot_synchronize_are_found(self):
        self.assert_finds(
            self.check(
                GOOD.replace("[pop.take] acquire", "[pop.take] release").replace(
                    "state.load(std::memory_order_acquire)", "state.exchange(2, Env::release)"
                )
            ),
            "[push.publish] (release) cannot synchronize with [pop.take] (release)",
            "[pop.take] (release) cannot synchronize with [push.publish] (release)",
        )

    def test_a_barrier_without_its_two_cases_is_found(self):
        self.assert_finds(
            self.planted("        //   If the scan is first, we see what it saw.\n", ""),
            "[pin.publish] does not give the two cases",
            "[scan.state] does not give the two cases",
        )

    def test_a_seq_cst_without_its_two_cases_is_found(self):
        self.assert_finds(
            self.check(
                GOOD.replace("[push.publish] release", "[push.publish] seq_cst").replace(
                    "state.store(1, Env::release)", "state.store(1, Env::seq_cst)"
                )
            ),
            "[push.publish] does not give the two cases",
        )

    def test_a_mention_of_a_tag_that_is_gone_is_found(self):
        self.assert_finds(
            self.planted("[pop.take] ordered it.", "[pop.grab] ordered it."),
            "mentions [pop.grab], which does not exist",
        )

    # ---- several files

    def test_partners_in_another_file_are_mutual_too(self):
        self.cpp(
            "src/reader.cpp",
            "int read() {\n"
            "    // [read.state] acquire: pairs with [cell:push.publish]\n"
            "    //   Why.\n"
            "    return state.load(std::memory_order_acquire);\n"
            "}\n",
        )
        self.assert_finds(
            self.check(GOOD),
            f"pairs with [cell:push.publish] ({HEADER}:8), which does not name [reader:read.state] in turn",
        )
        self.assert_clean(
            self.planted("release: pairs with [pop.take]", "release: pairs with [pop.take], [reader:read.state]")
        )

    def test_a_proof_that_cites_a_tag_that_is_gone_is_found(self):
        self.write("docs/memory-model.md", "By [push.publish] and [cell:pop.take], see [base.page](x): [pop.grab].\n")
        self.assert_finds(self.check(GOOD), "docs/memory-model.md:1: cites [pop.grab]")

    def test_a_tree_without_sources_is_an_error_and_not_a_success(self):
        self.assertEqual(self.check().returncode, 2)


if __name__ == "__main__":
    unittest.main()
