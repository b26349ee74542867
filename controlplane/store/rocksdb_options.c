/* How the database is set up. */
#include "controlplane/store/store_rocksdb.h"

enum {
    WAL_TOLERATE_TORN_TAIL = 0, /* WALRecoveryMode::kTolerateCorruptedTailRecords */
    INFO_LOG_FATAL = 4,
    WRITE_BUFFER_BYTES = 32 * 1024 * 1024,
    BLOCK_CACHE_BYTES = 64 * 1024 * 1024,
    FILTER_BITS_PER_KEY = 10, /* one in a hundred absent keys costs a look into a table */
};

/* Of the write buffer, for a filter of the keys in it. */
#define MEMTABLE_FILTER_SHARE 0.05

/* Each guard of a batch is a lookup, most of them of keys that are not there: without filters each
 * would search every table whose range holds the key, so that a put grew dearer with the store. */
static void
set_table_options(rocksdb_options_t *options)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(BLOCK_CACHE_BYTES);

    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(FILTER_BITS_PER_KEY));
    /* Both take what they need from `table`: the policy itself, a reference to the cache. */
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_cache_destroy(cache);
    rocksdb_block_based_options_destroy(table);
}

void
cfc_store_rocksdb_set_options(rocksdb_options_t *options, rocksdb_readoptions_t *read)
{
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_wal_recovery_mode(options, WAL_TOLERATE_TORN_TAIL);
    /* One write() per sync, not one per batch: what is staged may be lost until then anyway. */
    rocksdb_options_set_manual_wal_flush(options, 1);
    rocksdb_options_set_write_buffer_size(options, WRITE_BUFFER_BYTES);
    /* Guards look for absent keys among those that no table holds yet, too. */
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, MEMTABLE_FILTER_SHARE);
    rocksdb_options_set_memtable_whole_key_filtering(options, 1);
    set_table_options(options);
    rocksdb_options_set_max_open_files(options, 256);
    rocksdb_options_set_keep_log_file_num(options, 2);
    /* Its own log file lies on the same disk, and this version asserts when a line follows one that
     * a full disk refused.  What fails reaches us as a status anyway. */
    rocksdb_options_set_info_log_level(options, INFO_LOG_FATAL);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_readoptions_set_verify_checksums(read, 1);
}
