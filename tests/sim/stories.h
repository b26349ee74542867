/* The stories that the simulator tells.  Each is a function that drives one simulation from start
 * to end and makes its claims through sim_converge() and sim_claim(). */
#ifndef TESTS_SIM_STORIES_H
#define TESTS_SIM_STORIES_H

#include "tests/sim/sim.h"

/* X(name, what it shows) */
#define SIM_STORIES(X)                                                                             \
    /* stories_release.c */                                                                        \
    X(publish, "a change reaches everybody, at a payload cost that does not follow the fleet")     \
    X(rollback, "a rollback is one head frame, no payload")                                        \
    X(stages, "the stages of a rollout nest")                                                      \
    X(abort, "an aborted rollout leaves everybody on the stable content")                          \
    X(label_arm, "an arm by label means exactly those with the label")                             \
    X(hold_activate, "held content is turned on by one frame")                                     \
    X(activate_at, "a stated time activates with everything else down")                            \
    X(confirm_by, "what nobody confirms goes back, with the control plane dead")                   \
    X(bad_content, "what cannot be served leaves the last good content")                           \
    X(kill_switch, "a layer is disabled and enabled again")                                        \
    /* stories_fault.c */                                                                          \
    X(lost_heads, "heads that are lost are found by FRESH and asked for")                          \
    X(tail_loss, "the last frames of a content are missed and asked for")                          \
    X(correlated_loss, "a switch that loses a burst costs multicast repair, not one per host")     \
    X(late_joiner, "who joins later gets one head and one content by asking")                      \
    X(engine_restart, "an engine that restarts is handed everything again")                        \
    X(engine_down, "without an engine everybody serves, and says STALE")                           \
    X(control_silent, "without a control plane everybody serves, and says so")                     \
    X(partition, "a partition heals")                                                              \
    X(restarts, "consumers die anywhere and come back with what they served")                      \
    X(power_loss, "after a power loss nothing is below what was durable")                          \
    X(cold_cache, "everything down: the cache serves")                                             \
    /* stories_pull.c */                                                                           \
    X(pull, "whom multicast does not serve pulls, and has it all the same")                        \
    /* stories_crowd.c */                                                                          \
    X(unpublished, "a crowd that follows what nobody published falls silent")                      \
    /* stories_fec.c */                                                                            \
    X(random_loss, "repair symbols heal 1 % of loss at a bounded price")                           \
    X(bursts, "repair symbols heal bursts of links and switches")                                  \
    X(poisoned_repair, "forged repair symbols spoil nothing")                                      \
    /* stories_delta.c */                                                                          \
    X(deltas,                                                                                      \
      "a revision costs its change, whoever holds, lacks or has damaged what it is against")       \
    /* stories_loss.c */                                                                           \
    X(congestion, "a congested fleet slows multicast down, and it recovers")                       \
    X(one_bad_receiver,                                                                            \
      "one receiver of the fleet that loses much slows nobody, and is told to pull")               \
    X(liars, "many that claim to lose everything slow multicast to its floor and no further")      \
    /* stories_owner.c */                                                                          \
    X(takeover, "late frames and late writes of the old owner are refused")                        \
    X(zombie_engine, "an engine that knows only the old owner is refused by consumers")            \
    X(half_done, "an owner dies between commit and publish")                                       \
    X(restore, "a restored backup moves everybody back by new versions")                           \
    X(restore_behind, "a store that is behind the fleet publishes nothing")                        \
    X(restore_live, "nor does it when the engine and all sessions live on")                        \
    X(replay, "recorded frames change nothing, also after a restart")                              \
    X(replay_up, "recorded frames of consumers are answered to nobody, and count once")            \
    X(forgery, "heads that are forged, foreign, late or too far ahead are refused")                \
    X(equivocation, "a second decision under one version is refused and kept as evidence")         \
    /* stories_attack.c */                                                                         \
    X(flood, "contents that nobody named cost no memory")                                          \
    X(mix_and_match, "pages and symbols of one content are none of another")                       \
    X(starvation, "what never comes is asked for ever more rarely, and the old content serves")    \
    X(lying_engine, "an engine that changes reports is found out by their tags")                   \
    X(clocks, "clocks a day off endanger nothing")                                                 \
    /* stories_chaos.c */                                                                          \
    X(chaos, "everything at once")

#define SIM_STORY_PROTOTYPE_(name, text) void sim_story_##name(struct sim *sim);
SIM_STORIES(SIM_STORY_PROTOTYPE_)
#undef SIM_STORY_PROTOTYPE_

#endif
