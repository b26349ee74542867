#include "controlplane/api/identify.h"

static void
read_certificate(const struct cfc_asker *asker, char name[CFC_AUTHOR_SIZE_MAX + 1],
                 struct cfc_credentials *credentials)
{
    const union MHD_ConnectionInfo *info;

    if (asker->connection == NULL || !asker->connection->is_tls) {
        return;
    }
    info = MHD_get_connection_info(asker->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info != NULL) {
        credentials->has_certificate =
            cfc_tls_peer(asker->tls, info->tls_session, name, CFC_AUTHOR_SIZE_MAX + 1);
        credentials->certificate_name = name[0] != '\0' ? name : NULL;
    }
}

int
cfc_identify(struct cfc_access *access, const struct cfc_asker *asker,
             struct cfc_identity *identity)
{
    const struct cfc_connection *connection = asker->connection;
    char text[CFC_PEER_TEXT_SIZE];
    char name[CFC_AUTHOR_SIZE_MAX + 1];
    struct cfc_credentials credentials = {
        .authorization = asker->authorization,
        .is_unix = connection != NULL && connection->is_unix,
        .peer_uid = connection != NULL ? connection->peer_uid : 0,
        .peer = cfc_connection_peer(connection, text),
        .unix_ns = asker->unix_ns,
    };

    read_certificate(asker, name, &credentials);
    return cfc_access_identify(access, &credentials, identity);
}
