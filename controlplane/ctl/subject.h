/* What a request was about, for sentences about what is not there. */
#ifndef CFC_CTL_SUBJECT_H
#define CFC_CTL_SUBJECT_H

#include <stddef.h>

enum {
    CFC_SUBJECT_SIZE = 640,
};

/* "/v1/config/acme/web?revision=3": "definition of acme/web, revision 3".  Empty for a route that
 * this program does not ask. */
void cfc_ctl_subject(const char *path, char text[CFC_SUBJECT_SIZE]);

#endif
