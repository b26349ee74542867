#!/usr/bin/env python3
"""Plants bugs in copies of the protocol's sources and demands that the simulator catches each.

A checker that never fired proves nothing.  Each mutant is one edit of one source file.  The edit
must find its place exactly once, whatever the formatting, so that code that moved makes this test
fail rather than pass: whoever moved it plants the bug in its new place.  The mutated object stands
before the archives in the simulator's own link command, so that it takes the place of the real one.

    mutants.py BUILD_DIR [NAME...]
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import shrink  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RECEIVERS = "60"
SHRUNK = "answers_a_crowd_one_by_one"  # its run is made small as well

# (name, file, what is there, what takes its place, story, seeds, invariants that may be reported).
# Invariant 0 is a contract or liveness.  Story "lean": the lean simulator with these options holds a
# bound no more; its exit code says so.
MUTANTS = [
    ("accepts_lower_version", "protocol/session/scope_rx.c",
     "if (head->version < scope->version) {", "if (false) {",
     "replay", "1", {5}),
    ("ignores_epoch_of_heads", "protocol/session/scope_rx.c",
     "if (head->epoch < shard_epoch || head->epoch < scope->epoch) {", "if (false) {",
     "zombie_engine", "1", {7}),
    ("ignores_epoch_of_fresh", "protocol/session/fresh_rx.c",
     "if (fresh->epoch < f->epoch) {", "if (false) {",
     "zombie_engine", "1", {7}),
    ("forgets_epoch_of_floor", "protocol/session/receiver.c",
     "scope->epoch = floor_epoch;", "(void)floor_epoch;",
     "zombie_engine", "1", {7}),
    ("engine_ignores_epoch", "protocol/session/sender.c",
     "if (epoch < s->shards[shard].epoch) { return CONFCAST_ERR_FENCED; } s->shards[shard].epoch = epoch;",
     "s->shards[shard].epoch = epoch;",
     "takeover", "1", {0, 7}),
    ("swaps_before_the_floor", "protocol/session/receiver_events.c",
     "if (scope->is_accepted_due) {",
     "if (scope->is_accepted_due && scope->head.kind != CFC_HEAD_ROLLBACK) {",
     "rollback", "1", {5}),
    ("serves_another_arm", "protocol/session/scope_rx.c",
     "cohort < arm->threshold", "cohort > arm->threshold",
     "stages", "1", {4}),
    ("label_means_everybody", "protocol/session/scope_rx.c",
     "arm->selector == CFC_SELECT_LABEL && has_label(labels, label_count, arm)",
     "arm->selector == CFC_SELECT_LABEL && (has_label(labels, label_count, arm) || label_count > 0)",
     "label_arm", "1", {4}),
    ("activates_early", "protocol/session/scope_rx.c",
     "head->activation == CFC_ACTIVATE_AT && unix_ns >= head->activate_unix_ns",
     "head->activation == CFC_ACTIVATE_AT && unix_ns > 0",
     "activate_at", "1", {4}),
    ("holds_nothing_back", "protocol/session/scope_rx.c",
     "if (head->activation == CFC_ACTIVATE_NOW ||", "if (head->activation != CFC_ACTIVATE_AT ||",
     "hold_activate", "1", {4}),
    ("reverts_without_a_deadline", "protocol/session/scope_rx.c",
     "head->confirm_by_unix_ns != 0 && unix_ns >= head->confirm_by_unix_ns &&",
     "head->confirm_by_unix_ns != 0 && unix_ns > 0 &&",
     "confirm_by", "1", {4}),
    ("claims_before_it_serves", "protocol/session/scope_rx.c",
     "out->state = apply_state(scope, arm_entry);",
     "out->state = scope->version > 0 ? CFC_APPLY_APPLIED : apply_state(scope, arm_entry);",
     "publish", "1", {6}),
    ("never_reverts", "protocol/session/scope_rx.c",
     "if (scope->is_reverted) { *state = CFC_APPLY_REVERTED;",
     "if (false) { *state = CFC_APPLY_REVERTED;",
     "confirm_by", "1", {0}),
    ("forgets_floors_without_heads", "protocol/session/receiver_fresh.c",
     "code == CONFCAST_OK && is_below_a_floor(r, &fresh)", "false",
     "zombie_engine", "1", {7}),
    ("drops_the_last_good_content", "protocol/session/receiver_heads.c",
     "replace_names(r, scope, names, count); cfc_receiver_rename(r, scope);",
     "replace_names(r, scope, names, count); cfc_receiver_rename(r, scope); "
     "if (scope->serving != NULL) { "
     "cfc_content_set_release(&r->contents, scope->serving, CFC_NEED_KEEP); scope->serving = NULL; }",
     "publish", "1", {8}),
    ("forgets_what_it_served", "protocol/session/receiver_events.c",
     "scope->pending_state = state; if (version == scope->version",
     "cfc_content_set_release(&r->contents, scope->pending, CFC_NEED_KEEP); scope->pending = NULL; "
     "return CONFCAST_OK; if (version == scope->version",
     "cold_cache", "1", {8}),
    ("serves_again_what_was_reverted", "protocol/session/receiver_events.c",
     "scope->is_reverted = scope->is_reverted || state == CFC_APPLY_REVERTED;", "",
     "confirm_by", "1", {4}),
    ("comes_back_without_a_floor", "protocol/session/receiver.c",
     "scope->version = floor_version;", "scope->version = head_frame != NULL ? 0 : floor_version;",
     "replay", "1", {0, 5, 8}),
    ("takes_a_second_decision", "protocol/session/receiver_heads.c",
     "verdict == CFC_HEAD_REENDORSED && !cfc_head_same_decision(&scope->head, &head)", "false",
     "equivocation", "1", {3, 7}),
    ("believes_any_signature", "protocol/session/receiver_heads.c",
     "code = cfc_head_verify(head, &r->config.verifier, r->now.unix_ns);", "code = CONFCAST_OK;",
     "forgery", "1", {4, 7}),
    ("counts_replayed_reports", "protocol/session/roster.c",
     "if (age >= CFC_REPLAY_WINDOW || (session->seq_seen >> age & 1) != 0) {",
     "if (age >= CFC_REPLAY_WINDOW) {",
     "replay_up", "1", {6}),
    ("never_asks_for_a_head", "protocol/session/receiver_frames.c",
     "scope->head_ask.at_ns <= now_ns && count < capacity", "false",
     "lost_heads", "1", {0}),
    ("never_misses_a_tail", "protocol/session/loss_rx.c",
     "if (rx->sent_block == block_count || now_ns < rx->tail_at_ns) {", "if (block_count > 0) {",
     "tail_loss", "1", {0}),
    ("stores_any_symbol", "protocol/session/content_rx.c",
     "return cfc_tree_verify_symbol(&rx->tree, sha, block, index, bytes, size, "
     "rx->digests + leaf * CFC_SHORT_DIGEST_SIZE);",
     "(void)sha; (void)bytes; (void)size; (void)leaf; return CONFCAST_OK;",
     "publish", "1..4", {0}),
    ("refuses_a_content_for_its_delta", "protocol/session/receiver_contents.c",
     "if (entry->encoding == CFC_ENCODING_ZSTD_DELTA && is_bytes_error(code)) {",
     "if (code == CONFCAST_ERR_NO_BASE) {",
     "deltas", "1", {0}),
    ("tries_a_damaged_base_for_ever", "protocol/session/receiver_contents.c",
     "note_bad_delta(entry, code);", "(void)note_bad_delta;",
     "deltas", "1", {0}),
    ("sends_the_whole_as_well", "protocol/session/content_tx.c",
     "if (s->is_pull_only || groups == 0) {", "if (groups == 0) {",
     "deltas", "1", {0}),
    ("keeps_nothing_early", "protocol/session/receiver.c",
     "cfc_receiver_keep_early(r, &frame);", "(void)0;",
     "random_loss", "1", {0}),
    ("asks_without_waiting", "protocol/session/nack_wait.c",
     "first_due_ns + (wait->has_rest ? 0 : cfc_nack_wait_draw(&prng, nack_us));",
     "first_due_ns + (wait->has_rest ? 0 : nack_us - nack_us);",
     "lean", "--receivers 2000 --nacks-max 100", None),
    ("waits_evenly", "protocol/session/nack_wait.c",
     "return window_ns * (log2_of(u) - log2_of(256)) / (log2_of(end) - log2_of(256));",
     "return cfc_prng_below(prng, window_ns + u - u);",
     "lean", "--receivers 5000 --nacks-max 100", None),
    ("helps_each_asker_alone", "protocol/session/repair_ask.c",
     "return rt->is_asker_many && count <= CFC_REPAIR_FEW &&",
     "return false && rt->is_asker_many && count <= CFC_REPAIR_FEW &&",
     "lean", "--receivers 5000 --price-max 1190", None),
    ("answers_with_others_for_ever", "protocol/session/repair_ask.c",
     "count <= CFC_REPAIR_FEW && r->groups != 0 && !asks_again(&rt->roster->consumers[slot], r);",
     "count <= CFC_REPAIR_FEW && r->groups != 0;",
     "late_joiner", "1", {0}),
    ("repairs_what_one_asker_lacks", "protocol/session/repair.c",
     "if (!rt->is_asker_many && !cfc_repair_are_others_likely(rt, r) && !r->is_blind &&",
     "if (!r->is_blind &&",
     "lean", "--receivers 5000 --price-max 1185", None),
    ("answers_a_crowd_one_by_one", "protocol/session/sender_in.c",
     "cfc_gone_tx_covers(&s->gone, entry->key, slot, now_ns)) {",
     "false) {",
     "unpublished", "1", {0}),
    ("does_not_hear_gone", "protocol/session/receiver_contents.c",
     "cfc_ask_back_off(ask, spacing_ns, (uint8_t)(CFC_ASK_DOUBLINGS_MIN + scope->gone_count), r->now.mono_ns);",
     "(void)spacing_ns;",
     "unpublished", "1", {0}),
    ("repeats_heads_as_for_few", "protocol/session/head_tx.c",
     "s->is_for_many = !s->is_stop &&", "s->is_for_many = s->is_stop &&",
     "lean", "--receivers 20000 --price-max 1215", None),
    ("does_not_hear_the_close", "protocol/session/loss_rx.c",
     "uint64_t at_ns = now_ns + rx->timing->delay_ns / CFC_LOSS_CLOSE_SHARE;",
     "uint64_t at_ns = now_ns + rx->timing->delay_ns;",
     "lean", "--receivers 8 --size 4096 --contents 1000 --p99-max 1000", None),
    ("never_slows_down", "protocol/session/fleet_loss.c",
     "if (f->loss > f->config.loss_max && f->rate > f->config.rate_floor) {", "if (false) {",
     "congestion", "1", {0}),
    ("never_recovers", "protocol/session/fleet_loss.c",
     "f->rate = rate < f->config.rate ? rate : f->config.rate;", "(void)rate;",
     "congestion", "1", {0}),
    ("counts_no_loss", "protocol/session/loss_rx.c",
     "rx->count.lost += before - rx->count_end;", "(void)0;",
     "congestion", "1", {0}),
    ("slows_by_the_worst", "protocol/session/fleet_loss.c",
     "f->loss = loss_at(f->heard, rank);", "f->loss = loss_at(f->heard, rank > 0 ? f->heard_count : 0);",
     "one_bad_receiver", "1", {0}),
    ("advises_nobody", "protocol/session/sender_in.c",
     "if (cfc_fleet_loss_note(&s->loss, slot, &loss)) {",
     "if (cfc_fleet_loss_note(&s->loss, slot, &loss) && false) {",
     "one_bad_receiver", "1", {0}),
    ("advises_everybody", "protocol/session/fleet_loss.c",
     "if (f->config.outlier_min == 0 || !f->has_loss || loss->loss < f->config.outlier_min || loss->loss < many) {",
     "if (f->config.outlier_min == 0 || many > CFC_LOSS_ONE * CFC_OUTLIER_FACTOR) {",
     "one_bad_receiver", "1", {0}),
    ("believes_any_advice", "protocol/session/receiver_pull.c",
     "code = cfc_advice_check(frame, &r->link.key);", "code = CONFCAST_OK;",
     "one_bad_receiver", "1", {0}),
    ("keeps_the_coding_that_an_engine_began", "protocol/session/receiver_pull.c",
     "r->is_pulled = true;", "r->is_pulled = false;",
     "pull", "1", {0}),
    ("has_no_floor", "protocol/session/fleet_loss.c",
     "f->rate = rate > f->config.rate_floor ? rate : f->config.rate_floor;", "f->rate = rate + 1;",
     "liars", "1", {0}),
    ("never_decodes", "protocol/session/content_rx_fec.c",
     "if (slot == NULL || slot->row_count == 0 ||", "if (true || slot == NULL || slot->row_count == 0 ||",
     "random_loss", "1", {0}),
    ("believes_what_it_decodes", "protocol/session/content_rx_fec.c",
     "if (cfc_rx_verify(rx, sha, block, index, cfc_rx_place(rx, block, index), size) == CONFCAST_OK) {",
     "(void)size; (void)sha; if (true) {",
     "poisoned_repair", "1", {0}),
    ("leaves_known_symbols_in", "protocol/fec/fec.c",
     "if (s->known_count == 0) {", "if (s->known_count > 0) {",
     "random_loss", "1", {0}),
]


def find(pattern, text):
    """Where `pattern` stands, spaces and line breaks aside."""
    words = re.findall(r"\w+|[^\w\s]", pattern)
    return list(re.finditer(r"\s*".join(re.escape(word) for word in words), text))


def run(command, cwd):
    try:
        return subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, timeout=120)
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, -1, f"no end after {error.timeout} s")


class Builder:
    def __init__(self, build):
        self.build = os.path.abspath(build)
        with open(os.path.join(self.build, "compile_commands.json"), encoding="utf-8") as file:
            self.commands = {os.path.normpath(os.path.join(entry["directory"], entry["file"])): entry
                             for entry in json.load(file)}
        listing = run(["ninja", "-t", "commands", "tests/sim/sim"], self.build)
        assert listing.returncode == 0, listing.stdout
        self.link = shlex.split(listing.stdout.strip().splitlines()[-1])
        listing = run(["ninja", "-t", "commands", "tests/sim/lean"], self.build)
        assert listing.returncode == 0, listing.stdout
        self.link_lean = shlex.split(listing.stdout.strip().splitlines()[-1])

    def compile(self, path, source, target):
        entry = self.commands[os.path.join(ROOT, path)]
        command = shlex.split(entry["command"])
        for flag, value in (("-o", target), ("-MF", target + ".d"), ("-MQ", target), ("-c", source)):
            command[command.index(flag) + 1] = value
        # A mutant leaves things unused.
        return run(command + ["-Wno-error", "-w"], entry["directory"])

    def link_with(self, mutated, target, is_lean):
        command = list(self.link_lean if is_lean else self.link)
        command[command.index("-o") + 1] = target
        first = next(i for i, word in enumerate(command) if word.endswith(".a"))
        command.insert(first, mutated)
        return run(command, self.build)


def try_mutant(builder, folder, mutant):
    """None when the simulator caught it, else what is wrong."""
    name, path, old, new, story, seeds, invariants = mutant
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read()
    places = find(old, text)
    if len(places) != 1:
        return f"its place in {path} was found {len(places)} times"
    source = os.path.join(folder, name + ".c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text[:places[0].start()] + new + text[places[0].end():])
    target = os.path.join(folder, name + ".o")
    result = builder.compile(path, source, target)
    if result.returncode != 0:
        return "does not compile:\n" + result.stdout[:1000]
    program = os.path.join(folder, name)
    result = builder.link_with(target, program, story == "lean")
    if result.returncode != 0:
        return "does not link:\n" + result.stdout[:1000]
    if story == "lean":
        result = run([program, *seeds.split()], None)
        if result.returncode != 1:
            return f"survived lean {seeds}: exit code {result.returncode}: {result.stdout}"
        print(f"{name}: caught, {result.stdout[:170]}", flush=True)
        return None
    first, _, last = seeds.partition("..")
    for seed in range(int(first), int(last or first) + 1):
        result = run([program, "--story", story, "--seed", str(seed), "--receivers", RECEIVERS], None)
        if result.returncode == 1:
            break
    if result.returncode != 1:
        return f"survived {story}: exit code {result.returncode}"
    found = {int(number) for number in re.findall(r"invariant (\d) is broken", result.stdout)}
    if not found or not found <= invariants:
        return f"broke invariant {found}, wanted {invariants}: {result.stdout}"
    line = next(line for line in result.stdout.splitlines() if "is broken" in line)
    print(f"{name}: caught, {line.partition('sim: ')[2]}", flush=True)
    return None


def try_shrinking(builder, folder):
    """A failing run becomes a small file that fails with the bug and passes without.  None, or what is wrong."""
    program = os.path.join(folder, SHRUNK)
    fine = os.path.join(builder.build, "tests/sim/sim")
    mutant = next(mutant for mutant in MUTANTS if mutant[0] == SHRUNK)
    path = shrink.keep(program, ["--story", mutant[4], "--seed", mutant[5], "--receivers", RECEIVERS, "--rate", "62500000"],
                       folder)
    if path is None:
        return "the run of a mutant does not fail when it is shrunk"
    options = shrink.read(path)
    if int(shrink.get(options, "--receivers")) >= int(RECEIVERS) or shrink.get(options, "--rate") is not None:
        return f"was not made smaller: {options}"
    codes = [run([sys.executable, shrink.__file__, "--replay", path, tried], None).returncode for tried in (program, fine)]
    if codes != [1, 0]:
        return f"{options} gives {codes} with the bug and without"
    print(f"shrunk: {' '.join(options)} fails with {SHRUNK}, and passes without", flush=True)
    return None


def main():
    names = sys.argv[2:]
    builder = Builder(sys.argv[1])
    failures = 0
    count = 0
    with tempfile.TemporaryDirectory(prefix="confcast-mutants-") as folder:
        for mutant in MUTANTS:
            if names and mutant[0] not in names:
                continue
            count += 1
            problem = try_mutant(builder, folder, mutant)
            if problem is None and mutant[0] == SHRUNK:
                problem = try_shrinking(builder, folder)
            if problem is not None:
                failures += 1
                print(f"{mutant[0]}: {problem}", flush=True)
    print(f"{count - failures} of {count} mutants caught")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
