#include "controlplane/ctl/subject.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *route;
    const char *noun;
} nouns[] = {
    {"/v1/approve/", "revision to approve of"},
    {"/v1/config/", "definition of"},
    {"/v1/consumers/", "consumer"},
    {"/v1/effective/", "config for"},
    {"/v1/history/", "definition of"},
    {"/v1/layers/", "layers of"},
    {"/v1/release/", "revision to release of"},
    {"/v1/schema/", "schema of"},
    {"/v1/settings/", "settings for"},
    {"/v1/status/", "scope"},
    {"/v1/tokens/", "token"},
};

void
cfc_ctl_subject(const char *path, char text[CFC_SUBJECT_SIZE])
{
    text[0] = '\0';
    for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++) {
        size_t size = strlen(nouns[i].route);
        const char *revision = strstr(path, "revision=");

        if (strncmp(path, nouns[i].route, size) != 0) {
            continue;
        }
        if (revision != NULL && (revision[-1] == '?' || revision[-1] == '&')) {
            revision += strlen("revision=");
            snprintf(text, CFC_SUBJECT_SIZE, "%s %.*s, revision %.*s", nouns[i].noun,
                     (int)strcspn(path + size, "?"), path + size, (int)strcspn(revision, "&"),
                     revision);
        } else {
            snprintf(text, CFC_SUBJECT_SIZE, "%s %.*s", nouns[i].noun,
                     (int)strcspn(path + size, "?"), path + size);
        }
        return;
    }
}
