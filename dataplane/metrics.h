/* The engine's counters as Prometheus text (exposition format 0.0.4).  It only writes text: who
 * asks for it is the exporter's business. */
#ifndef CFC_DATAPLANE_METRICS_H
#define CFC_DATAPLANE_METRICS_H

#include <stddef.h>

#include "dataplane/engine.h"

enum {
    CFC_METRICS_SIZE_MAX = 65536 /* more than all of it ever takes */
};

/* Writes all metrics to `text` and ends it with NUL.  The size without the NUL, or 0 when it does
 * not fit into `capacity`. */
size_t cfc_metrics_write(const struct cfc_engine_snapshot *snapshot, char *text, size_t capacity);

/* What enum cfc_tx_kind is called in metrics. */
const char *cfc_metrics_kind(int kind);

#endif
