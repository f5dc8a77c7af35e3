//! What stands below the flags in `--help`.

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  it went well
  1  it failed in a way nobody foresaw; the peer's log may know more
  2  the command line, the configuration or an argument is wrong; nothing was sent
  3  the peer refused, in one of the ways that the command declares
  4  there is no such target, or it is not connected
  5  no answer came: timed out, connection lost, or the peer has too much to do
  6  no region process can be reached through the data directory";

pub(super) const DEV: &str = "\
The processes listen on free ports of the loopback address and keep everything in a directory of \
their own below the system's temporary directory; it is removed at the end. A process that dies \
is started again, five times within a minute at most, and then given up. SIGINT (Ctrl-C), \
SIGTERM and SIGHUP end it all in good order, a second one at once. A process that is still there \
after 5 s is killed. The exit code is 1 if one had been given up.";

pub(super) const REGION: &str = r#"The process is known by a key of its own, region-NAME.key in
the data directory, made on first use. Clusters join with a token that `ampmesh invite` writes.

Plain AMP, for stock peers on a trusted network, is accepted with --plain or --secret-file only.
With a certificate (the three --start-tls flags) it has to go on in TLS before anything else.

SIGTERM, SIGINT and SIGHUP end the process in good order: asks in progress are finished, operators'
too, and peers are told. What has not finished within 10 s is dropped, and the exit code is 1. A
second signal ends it at once, with 128 plus the signal's number.

With --json it says when it is up:
  {"role":"region","name":…,"id":…,"address":"[::]:5250","operator_socket":…,
   "threads":1}"#;

pub(super) const CLUSTER: &str = r#"The process has to join first: `ampmesh join TOKEN`, with a
token from `ampmesh invite`. It is known by its key from then on, cluster.key in the data directory.

With --plain or --secret-file it speaks plain AMP instead, and needs the secret of its mesh: the
file `secret` from a region process's data directory. With a certificate (the three --start-tls
flags) what is plain goes on in TLS before anything else, and nothing is said in the clear.

SIGTERM, SIGINT and SIGHUP end the process in good order: asks in progress are finished, peers are
told. What has not finished within 10 s is dropped, and the exit code is 1. A second signal ends it
at once, with 128 plus the signal's number.

With --json it says when it is up:
  {"role":"cluster","name":…,"uuid":…,"threads":1}"#;

pub(super) const INVITE: &str = "\
The token goes to stdout. It holds the addresses and the keys of the region processes, and a \
secret that is good once. Whoever has it before it is used or has expired can join in the \
cluster's place: hand it over as you would a password.

With --json: {\"token\":…,\"expires_s\":…}";

pub(super) const JOIN: &str = "\
The cluster makes itself a key, cluster.key in the data directory, and keeps whom it may believe \
in regions.json beside it. The secret of the token is shown to nobody but a region process whose \
key stands in the token.

A cluster that has joined stays as it is, and does not use another token: had_joined is true then.

With --json: {\"uuid\":…,\"name\":…,\"key\":…,\"regions\":[…],
              \"had_joined\": true or false}";

pub(super) const KEYS: &str = r#"A key is `amp1` and 56 letters and digits.

With --json:
  ls      [{"key":…,"role":…,"ident":…,"name":…,"known_s":…,"good":…,"revoked":…,
            "ends_in_s":…},…]
  revoke  {"revoked":[KEY,…]}
  rotate  [{"name":…,"key":…,"error":…},…]"#;

pub(super) const LS: &str = r#"Region processes with a socket in the data directory are asked for a
sign of life. One that does not answer within 1 s is marked. One that is not in the registry of the
process that gives the list, because it has another or was forgotten, is listed without what only a
registry knows; the connections of such a process are not listed. Processes without a socket here
are not asked.

With -v every region process that has a socket here is asked for its connections, as only it knows
what was agreed on them. Those that run elsewhere, or do not answer within 1 s, are named below the
tables; of their connections there is what the registry has. TO is towards the cluster, FROM towards
the region process. CALLS are those under way, then how many of them the other end works on at
once; BOX and LARGE the largest that both ends take, whole and in pieces; WINDOW what is taken ahead
on a stream. A stock peer has agreed on nothing.

With --json, one object:
  {"regions": [{"name", "id": text or null, "addresses": [text], "version": text or null,
                "uptime_s": number or null,
                "registered": true or false, "answer": "yes", "none" or "not-asked",
                "waited_ms": number or null}],
   "clusters": [{"name", "uuid", "version", "connections"}],
   "connections": [{"region", "region_id", "cluster", "cluster_uuid", "address",
                    "round_trip_ms": number or null, "uptime_s"}],
   "registry_error": text or null}
A registry_error says why the registry cannot be asked. The regions are those that were known last
then, and the connections those of the process that gives the list, and with -v of the others that
have a socket here; stderr says so, and the exit code is 0.

With --json -v, each region has "details" as well: "given", "none", "not-asked" or "failed"; and
each connection "details", null if its region process gave none:
  {"transport": "tls" or "plain", "proved_by": "key", "secret" or "nothing", "key": text or null,
   "calls_to_cluster", "calls_to_region",
   "agreed": null or {"version", "features": [text], "box_bytes_max", "large_bytes_max",
                      "calls_to_cluster_max", "calls_to_region_max",
                      "window_to_cluster_bytes", "window_to_region_bytes"}}"#;

pub(super) const DESCRIBE: &str = r#"The application's commands come first; of the mesh's own, which
are the same everywhere, the names. A question mark after a type says that the key may be absent.
integer(u64) and the like stand for the whole range of that type: u for numbers from 0, i for those
with a sign, and the bits; JSON has the bounds in figures.

  ampmesh describe any
  ampmesh describe any EatCheez

With --json, an array with one object per process:
  {"target": {"kind": "region" or "cluster", "name", "id"},
   "commands": [{"name", "doc", "answered_by": [text],
                 "arguments": [{"name", "type", "optional", "doc"}], "response": likewise,
                 "errors": [code], "requires_answer", "of_the_mesh": true or false}]}"#;

pub(super) const CALL_USAGE: &str =
    "ampmesh call [OPTIONS] <TARGET> <COMMAND> [JSON | - | KEY=VALUE]...";

pub(super) const CALL: &str = r#"Arguments are checked against the target's own description before
anything is sent. In key=value, lists and structures are written in JSON: tags='["a","b"]'.
A key that is given twice is refused.

  ampmesh call any EatCheez name=Idiazabal origin=Navarra
  ampmesh call all EatCheez '{"name": "Idiazabal", "origin": "Navarra"}'
  ampmesh call region RateCheez name=Idiazabal rating=9

With --json, one object (for `all`, an array of them, one per cluster):
  {"target": {"kind": "region" or "cluster", "name", "id"},
   "command", "round_trip_ms": number or null, "response": {…}, "exit_code"}
or, instead of "response":
   "error": {"kind", "code": text or null, "description", "maybe_done": true or false}

A command that is called with a stream is called from a program: it is unhandled here, with the code
STREAM_NEEDED.

The kind of an error is declared, unhandled, undeclared, overloaded, timed-out, lost,
not-connected, unreadable or unsendable; maybe_done is whether the command may have been carried
out all the same. round_trip_ms is null where no answer came.

If nothing was sent at all, one object, also for `all`:
  {"error": {…}, "exit_code"}
The kind is usage, no-target, no-answer, no-region or failed then, one for each exit code.

The exit code for `all` is the highest of the single ones."#;

pub(super) const PING: &str = r#"With --json, one object (for `all`, an array of them):
  {"target": {"kind": "region" or "cluster", "name", "id"},
   "sent", "received", "round_trips_ms": [number],
   "min_ms", "avg_ms", "max_ms": number or null}

A region process is measured from here; a cluster from the region process that is asked."#;
