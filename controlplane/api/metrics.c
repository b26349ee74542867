/* What the control plane tells Prometheus, in its text format 0.0.4. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"

enum {
    METRICS_SCOPES_MAX = 1000, /* scopes that get their own series */
};

static void
put_http_metrics(FILE *out, struct cfc_api *api)
{
    static const unsigned statuses[] = {
#define STATUS_(status) status,
        CFC_API_STATUSES(STATUS_)
#undef STATUS_
    };

    fputs("# HELP confcast_http_requests_total Requests answered, by status.\n"
          "# TYPE confcast_http_requests_total counter\n",
          out);
    for (size_t i = 0; i < CFC_API_STATUS_COUNT; i++) {
        fprintf(out, "confcast_http_requests_total{code=\"%u\"} %llu\n", statuses[i],
                (unsigned long long)atomic_load(&api->replies[i]));
    }
    fprintf(out,
            "# HELP confcast_http_body_bytes_total Bytes of request bodies.\n"
            "# TYPE confcast_http_body_bytes_total counter\n"
            "confcast_http_body_bytes_total %llu\n"
            "# HELP confcast_http_in_flight Requests begun and not yet answered.\n"
            "# TYPE confcast_http_in_flight gauge\n"
            "confcast_http_in_flight %llu\n",
            (unsigned long long)atomic_load(&api->body_bytes),
            (unsigned long long)atomic_load(&api->in_flight));
}

/* The series of a histogram; `labels` ends in a comma, or is empty. */
static void
put_histogram(FILE *out, const char *name, const char *labels,
              const struct cfc_histogram *histogram)
{
    static const double bounds_s[] = {
#define BOUND_(us) (us) / 1e6,
        CFC_HISTOGRAM_BOUNDS_US(BOUND_)
#undef BOUND_
    };
    int size = (int)strlen(labels) - 1; /* without the comma */
    double sum_s = (double)atomic_load(&histogram->sum_ns) / 1e9;
    unsigned long long below = 0;

    for (size_t i = 0; i < CFC_HISTOGRAM_COUNT; i++) {
        below += atomic_load(&histogram->buckets[i]);
        fprintf(out, "%s_bucket{%sle=\"%g\"} %llu\n", name, labels, bounds_s[i], below);
    }
    below += atomic_load(&histogram->buckets[CFC_HISTOGRAM_COUNT]);
    fprintf(out, "%s_bucket{%sle=\"+Inf\"} %llu\n", name, labels, below);
    if (size < 0) {
        fprintf(out, "%s_sum %.9f\n%s_count %llu\n", name, sum_s, name, below);
    } else {
        fprintf(out, "%s_sum{%.*s} %.9f\n%s_count{%.*s} %llu\n", name, size, labels, sum_s, name,
                size, labels, below);
    }
}

/* "method="GET",route="/v1/config/"," */
static void
route_labels(char labels[128], const struct cfc_api_route *route)
{
    snprintf(labels, 128, "method=\"%s\",route=\"%s\",", route->method, route->path);
}

/* Routes that nobody asked for have no series. */
static void
put_route_metrics(FILE *out, struct cfc_api *api)
{
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);
    char labels[128];

    fputs(
        "# HELP confcast_http_route_requests_total Requests that a route handled, by the class of "
        "their status.\n# TYPE confcast_http_route_requests_total counter\n",
        out);
    for (size_t i = 0; i < count && i < CFC_API_ROUTES_MAX; i++) {
        route_labels(labels, &routes[i]);
        for (size_t c = 0; c < CFC_API_CLASS_COUNT; c++) {
            unsigned long long handled = atomic_load(&api->routes[i].classes[c]);

            if (handled > 0) {
                fprintf(out, "confcast_http_route_requests_total{%sclass=\"%zuxx\"} %llu\n", labels,
                        c + 1, handled);
            }
        }
    }
    fputs("# HELP confcast_http_handler_seconds What a route's handler took, without reading, "
          "writing, waiting for the disk, and work that is put off.\n"
          "# TYPE confcast_http_handler_seconds histogram\n",
          out);
    for (size_t i = 0; i < count && i < CFC_API_ROUTES_MAX; i++) {
        if (atomic_load(&api->routes[i].is_used)) {
            route_labels(labels, &routes[i]);
            put_histogram(out, "confcast_http_handler_seconds", labels, &api->routes[i].handling);
        }
    }
}

static void
put_store_metrics(FILE *out, struct cfc_api *api)
{
    const struct cfc_histogram *syncs = cfc_service_syncs(api->service);

    fprintf(out,
            "# HELP confcast_store_bytes Bytes of the store's tables, in memory and on disk.\n"
            "# TYPE confcast_store_bytes gauge\nconfcast_store_bytes %llu\n"
            "# HELP confcast_scopes Scopes that are known.\n"
            "# TYPE confcast_scopes gauge\nconfcast_scopes %zu\n",
            (unsigned long long)cfc_service_store_size(api->service),
            cfc_service_scope_count(api->service));
    if (syncs != NULL) {
        fputs("# HELP confcast_store_sync_seconds Syncs of the disk, each for all changes that "
              "waited for it.\n# TYPE confcast_store_sync_seconds histogram\n",
              out);
        put_histogram(out, "confcast_store_sync_seconds", "", syncs);
    }
}

static void
put_node_metrics(FILE *out, struct cfc_api *api)
{
    fprintf(out,
            "# HELP confcast_store_sequence Sequence of the last commit.\n"
            "# TYPE confcast_store_sequence gauge\n"
            "confcast_store_sequence %llu\n"
            "# HELP confcast_epoch Fencing token of this owner.\n"
            "# TYPE confcast_epoch gauge\n"
            "confcast_epoch %llu\n",
            (unsigned long long)cfc_service_seq(api->service),
            (unsigned long long)cfc_service_epoch(api->service));
}

static const struct {
    const char *name;
    size_t offset;
    const char *type;
    const char *help;
} publisher_series[] = {
    {"heads", offsetof(struct cfc_publisher_status, heads), "gauge", "Signed heads in force."},
    {"contents", offsetof(struct cfc_publisher_status, contents), "gauge", "Coded contents held."},
    {"heads_handed_total", offsetof(struct cfc_publisher_status, heads_handed), "counter",
     "Heads handed to the engine."},
    {"contents_handed_total", offsetof(struct cfc_publisher_status, contents_handed), "counter",
     "Contents handed to the engine."},
    {"deltas_published_total", offsetof(struct cfc_publisher_status, deltas_published), "counter",
     "Contents that went to all as what changed, in place of the whole."},
    {"fresh_signed_total", offsetof(struct cfc_publisher_status, fresh_signed), "counter",
     "Freshness beacons signed."},
    {"engine_connections_total", offsetof(struct cfc_publisher_status, connections), "counter",
     "Connections made to the engine."},
    {"engine_refusals_total", offsetof(struct cfc_publisher_status, engine_refusals), "counter",
     "Messages that the engine refused."},
    {"reports_total", offsetof(struct cfc_publisher_status, reports), "counter", "Reports taken."},
    {"reports_refused_total", offsetof(struct cfc_publisher_status, reports_refused), "counter",
     "Reports with a bad tag or shape."},
    {"consumers_seen", offsetof(struct cfc_publisher_status, consumers), "gauge",
     "Consumers seen since the start."},
};

static uint64_t
count_at(const void *base, size_t offset)
{
    uint64_t value;

    memcpy(&value, (const char *)base + offset, sizeof(value));
    return value;
}

static void
put_access_metrics(FILE *out, struct cfc_api *api)
{
    if (api->access == NULL) {
        return;
    }
    fputs("# HELP confcast_access_denied_total Requests turned away, by reason.\n"
          "# TYPE confcast_access_denied_total counter\n",
          out);
    for (int i = 0; i < CFC_DENIAL_COUNT; i++) {
        fprintf(out, "confcast_access_denied_total{reason=\"%s\"} %llu\n",
                cfc_denial_word((enum cfc_denial)i),
                (unsigned long long)atomic_load(&api->access->denials[i]));
    }
}

static void
put_publisher_metrics(FILE *out, struct cfc_api *api)
{
    struct cfc_publisher_status status = {0};

    if (api->publisher == NULL) {
        return;
    }
    api->publisher_status(api->publisher, &status);
    fprintf(out,
            "# HELP confcast_publisher_connected An engine has everything that is current.\n"
            "# TYPE confcast_publisher_connected gauge\nconfcast_publisher_connected %d\n"
            "# HELP confcast_publisher_refusing This store is older than what was published.\n"
            "# TYPE confcast_publisher_refusing gauge\nconfcast_publisher_refusing %d\n",
            status.is_connected, status.is_refusing);
    for (size_t i = 0; i < sizeof(publisher_series) / sizeof(publisher_series[0]); i++) {
        fprintf(out,
                "# HELP confcast_publisher_%s %s\n# TYPE confcast_publisher_%s %s\n"
                "confcast_publisher_%s %llu\n",
                publisher_series[i].name, publisher_series[i].help, publisher_series[i].name,
                publisher_series[i].type, publisher_series[i].name,
                (unsigned long long)count_at(&status, publisher_series[i].offset));
    }
}

struct scope_counts {
    const char *scope; /* in the block of names */
    struct cfc_apply_counts counts;
};

static const struct {
    const char *name;
    size_t offset;
    const char *help;
} gauges[] = {
    {"version", offsetof(struct cfc_apply_counts, version), "Version decided."},
    {"published_version", offsetof(struct cfc_apply_counts, published),
     "Highest version handed over for sending."},
    {"consumers", offsetof(struct cfc_apply_counts, total), "Consumers that follow the scope."},
    {"accepted", offsetof(struct cfc_apply_counts, accepted),
     "Consumers that accepted the published version."},
    {"prepared", offsetof(struct cfc_apply_counts, prepared),
     "Consumers that hold the content of the published version."},
    {"applied", offsetof(struct cfc_apply_counts, applied),
     "Consumers that serve the published version."},
    {"durable", offsetof(struct cfc_apply_counts, durable),
     "Consumers that would serve it after a power loss."},
    {"rejected", offsetof(struct cfc_apply_counts, rejected),
     "Consumers that rejected, reverted or degraded it."},
    {"stale", offsetof(struct cfc_apply_counts, stale), "Consumers silent for too long."},
    {"alive", offsetof(struct cfc_apply_counts, alive), "Consumers that are not."},
    {"receiving", offsetof(struct cfc_apply_counts, receiving),
     "Consumers to which the content of the published version is on its way."},
    {"reverted", offsetof(struct cfc_apply_counts, reverted), "Consumers that reverted it."},
    {"degraded", offsetof(struct cfc_apply_counts, degraded), "Consumers that degraded it."},
};

/* Reports, and how long it took from publishing to applying. */
static void
put_apply_metrics(FILE *out, struct cfc_api *api)
{
    static const double bounds_s[] = {
#define BOUND_(ms) (ms) / 1e3,
        CFC_LAG_BOUNDS_MS(BOUND_)
#undef BOUND_
    };
    struct cfc_apply_totals totals;
    unsigned long long below = 0;

    cfc_service_apply_totals(api->service, &totals);
    fprintf(out,
            "# HELP confcast_report_entries_total Entries of reports, by what became of them.\n"
            "# TYPE confcast_report_entries_total counter\n"
            "confcast_report_entries_total{result=\"taken\"} %llu\n"
            "confcast_report_entries_total{result=\"repeated\"} %llu\n"
            "confcast_report_entries_total{result=\"refused\"} %llu\n"
            "confcast_report_entries_total{result=\"unknown_scope\"} %llu\n",
            (unsigned long long)totals.taken, (unsigned long long)totals.repeated,
            (unsigned long long)totals.refused, (unsigned long long)totals.unknown);
    fprintf(out,
            "# HELP confcast_consumers_known Consumers that said hello or reported.\n"
            "# TYPE confcast_consumers_known gauge\nconfcast_consumers_known %llu\n"
            "# HELP confcast_consumers_cloned Consumer ids that two live consumers use.\n"
            "# TYPE confcast_consumers_cloned gauge\nconfcast_consumers_cloned %llu\n"
            "# HELP confcast_apply_states Apply states: consumers times the scopes they follow.\n"
            "# TYPE confcast_apply_states gauge\nconfcast_apply_states %llu\n"
            "# HELP confcast_apply_unwritten_pages Pages of apply states not written yet.\n"
            "# TYPE confcast_apply_unwritten_pages gauge\nconfcast_apply_unwritten_pages %llu\n",
            (unsigned long long)totals.consumers, (unsigned long long)totals.cloned,
            (unsigned long long)totals.states, (unsigned long long)totals.unwritten_pages);
    fputs("# HELP confcast_propagation_seconds From handing a version over to the report of a "
          "consumer that serves it.\n"
          "# TYPE confcast_propagation_seconds histogram\n",
          out);
    for (size_t i = 0; i < CFC_LAG_BUCKET_COUNT; i++) {
        below += totals.lag.buckets[i];
        fprintf(out, "confcast_propagation_seconds_bucket{le=\"%g\"} %llu\n", bounds_s[i], below);
    }
    fprintf(out,
            "confcast_propagation_seconds_bucket{le=\"+Inf\"} %llu\n"
            "confcast_propagation_seconds_sum %.9f\nconfcast_propagation_seconds_count %llu\n",
            (unsigned long long)totals.lag.count, (double)totals.lag.sum_ns / 1e9,
            (unsigned long long)totals.lag.count);
}

/* Scope paths need no escaping in a label: their alphabet holds no quote, backslash or newline. */
static void
put_scope_metrics(FILE *out, struct cfc_api *api)
{
    char *scopes = NULL;
    size_t count = 0;
    size_t known = 0;
    struct scope_counts *rows;
    const char *scope;

    if (cfc_service_scopes(api->service, &scopes, &count) != CONFCAST_OK) {
        return;
    }
    count = count < METRICS_SCOPES_MAX ? count : METRICS_SCOPES_MAX;
    rows = calloc(count + 1, sizeof(*rows));
    scope = scopes;
    for (size_t i = 0; rows != NULL && i < count; i++, scope += strlen(scope) + 1) {
        rows[known].scope = scope;
        if (cfc_service_status(api->service, scope, &rows[known].counts) == CONFCAST_OK) {
            known++;
        }
    }
    for (size_t g = 0; g < sizeof(gauges) / sizeof(gauges[0]); g++) {
        fprintf(out, "# HELP confcast_scope_%s %s\n# TYPE confcast_scope_%s gauge\n",
                gauges[g].name, gauges[g].help, gauges[g].name);
        for (size_t i = 0; i < known; i++) {
            fprintf(out, "confcast_scope_%s{scope=\"%s\"} %llu\n", gauges[g].name, rows[i].scope,
                    (unsigned long long)count_at(&rows[i].counts, gauges[g].offset));
        }
    }
    free(rows);
    free(scopes);
}

void
cfc_api_get_metrics(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    (void)request;
    if (out == NULL) {
        cfc_reply_failure(reply, CONFCAST_ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    put_http_metrics(out, api);
    put_route_metrics(out, api);
    put_node_metrics(out, api);
    put_store_metrics(out, api);
    put_access_metrics(out, api);
    put_publisher_metrics(out, api);
    if (api->pull != NULL) {
        cfc_pull_put_metrics(api->pull, out);
    }
    put_apply_metrics(out, api);
    put_scope_metrics(out, api);
    if (fclose(out) != 0) {
        free(text);
        cfc_reply_failure(reply, CONFCAST_ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    cfc_reply_text(reply, "text/plain; version=0.0.4; charset=utf-8", text, size);
}
