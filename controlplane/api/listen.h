/* Listening sockets of the API: TCP on a literal address, and a unix socket. */
#ifndef CFC_API_LISTEN_H
#define CFC_API_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

/* `address` is "IPv4:PORT" or "[IPv6]:PORT"; port 0 lets the kernel choose.  *fd is listening and
 * non-blocking, *port what it is bound to.  CONFCAST_ERR_INVALID: not such an address;
 * CONFCAST_ERR_BUSY: in use; CONFCAST_ERR_IO: errno says why. */
int cfc_listen_tcp(const char *address, int *fd, uint16_t *port);

/* Whether such an address is 127.0.0.0/8 or ::1; false for what is no address. */
bool cfc_listen_is_loopback(const char *address);

/* A unix socket at `path`, mode 0660.  A socket that a dead process left there is replaced; a live
 * one is not.  CONFCAST_ERR_INVALID: the path is too long or something else is there;
 * CONFCAST_ERR_BUSY: another process listens there; CONFCAST_ERR_IO.  Whoever opened it unlinks the
 * path after closing. */
int cfc_listen_unix(const char *path, int *fd);

#endif
