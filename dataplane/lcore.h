/* Bounds of an engine's lcores. */
#ifndef CFC_DATAPLANE_LCORE_H
#define CFC_DATAPLANE_LCORE_H

enum {
    CFC_LCORES_MAX = 8
};

#endif
