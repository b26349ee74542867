"""Rows of one program each."""

from harness.rows import Goal, ProgramRow, RowSkipped, Sample
from rows.puts import Etcd


LOCK = ("What a lock costs two threads is what its cache line costs to go from one processor to the other, twice a read: "
        "{a cache line from one processor to the other;ns;ours} here, {=;ns/read;pthread_rwlock} for the whole. A twentieth of that is less than the lookup alone takes, "
        "{=;ns/read;plain pointer}. The goal is for processors whose lines take several times as long, as between sockets.")
TAIL = ("What is in it: the wake-up of the client's thread, one Ed25519 check, the digests, zstd, validation, the file of the cache, and a look of the reader on the "
        "other core. For 4 KB that is already held a head alone takes {4 KB: head of a rollback to visible;us;ours}, so most of it is there before any byte of the "
        "content is touched.")
HEAD = ("No byte of the content is touched: what is in it is the wake-up of the client's thread, one Ed25519 check and the publication. Of 4 KB it is "
        "{4 KB: head of a rollback to visible;us;ours} and {4 KB: head of an activation to visible;us;ours}; of 1 MB {1 MB: head of a rollback to visible;us;ours} and "
        "{1 MB: head of an activation to visible;us;ours}. The four differ by what else the machine did.")


class Read(ProgramRow):
    """Beside them one get of etcd over gRPC on loopback, of a value that is there, by one and by two clients: what services do that ask for a value
    instead of holding it.  Serializable: the server answers from what it holds."""

    name = "read"
    title = "typed reads by key through the public API, beside a plain pointer, a map under pthread_rwlock and a get of etcd"
    program = "bench_read"
    limits = ("plain pointer", "pthread_rwlock")
    goals = (Goal("ns/read", "<=", 1.15, "plain pointer", "one call, 1*"), Goal("ns/read", "<=", 1.15, "plain pointer", "one call, 2*"),
             Goal("ns/read", "<=", 1.3, "one call", "one call through*"), Goal("ns/read", "<=", 0.05, "pthread_rwlock", "one call, 2*", bound=LOCK))
    seconds = 9

    def run(self, ctx):
        yield from super().run(ctx)
        with ctx.folder() as folder:
            try:
                etcd = Etcd(ctx, folder)
            except RowSkipped as missing:
                ctx.note(f"etcd get: {missing}")
                return
            try:
                etcd.load("etcd-grpc", 1, 1, clients=1)
                for _ in range(ctx.rounds(2, 5)):
                    for clients in (1, 2):
                        rate, _, _ = etcd.load("etcd-get", 1, 1, clients=clients)
                        yield Sample(f"one call, {clients} thread(s)", "ns/read", "etcd get", clients * 1e9 / rate)
            finally:
                etcd.stop()


READ = Read()

RECEIVE = ProgramRow(
    "receive", "a consumer beside the parts that it cannot do without: stream of 64 MB, last symbol to visible, serving from disk, rollback",
    program="bench_receive", seconds=35, limits=("bare wake-up",),
    goals=(Goal("ratio", ">=", 0.8, None, "64 MB of random text: sum*"), Goal("us", "<=", 100, None, "10 KB*", bound=TAIL), Goal("ms", "<=", 8, None, "10 MB*"),
           Goal("ms", "<=", 10, None, "1 MB from disk*"), Goal("us", "<=", 300, None, "4 KB: head of*", bound=HEAD),
           Goal("us", "<=", 300, None, "1 MB: head of*", bound=HEAD)))

REPORTS = ProgramRow(
    "reports", "reports of a whole fleet taken in, a second of processor time, beside the check of their tags alone", program="bench_reports",
    quick_args=(100000, 1), full_args=(1000000, 2), full_runs=1, seconds=6, is_smaller_when_quick=True, limits=("tag alone",),
    goals=(Goal("reports/s", ">=", 500000, None, "stored"), Goal("reports/s", ">=", 500000, None, "inbox")))

STATUS = ProgramRow(
    "status", "reading one scope's status", program="bench_status", quick_args=(100000, 300), full_args=(1000000, 2000), full_runs=1, seconds=4)

SCALE = ProgramRow(
    "scopes", "many scopes: one edit until the engine has what it changes, a start, memory", program="bench_scale", quick_args=(100, 100),
    full_args=(1000, 100), full_runs=1, seconds=10, is_smaller_when_quick=True,
    goals=(Goal("ms", "<=", 2, None, "leaf_edit_back_to_back"), Goal("ms", "<=", 50, None, "tenant_edit"),
           Goal("s", "<=", 10, None, "start_service"), Goal("MiB", "<=", 2048, None, "memory_after_start")))

BODY = ProgramRow("body", "a body: validate, index, look up, code, delta", program="bench_body", seconds=3, limits=("memcpy",),
                  goals=(Goal("MB/s", ">=", 300, None, "validate_and_index"),))

FEC = ProgramRow("fec", "the erasure code on blocks of 64 symbols", program="bench_fec", seconds=2)

ROWS = [READ, RECEIVE, BODY, FEC, REPORTS, STATUS, SCALE]
